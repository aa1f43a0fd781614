"""A lab, a daemon in it and a meter beside it, as the demo and the benchmarks use them: only the programs' own command lines."""
import json
import pathlib
import re
import shutil
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "demo"
ENDPOINT = "10.0.1.10:3306"


class Failed(Exception):
    """A part could not do its work; the text says which and shows its last words."""


class LabSession:
    """Everything runs in the folder `out` and is gone after close(); use it in a with statement."""

    def __init__(self, build: pathlib.Path, out: pathlib.Path, name: str, example: pathlib.Path = EXAMPLE):
        self.signalbox = str(build / "signalbox")
        self.lab = str(build / "signalbox-lab")
        self.out = out
        self.name = name
        self.children: list[subprocess.Popen] = []
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(example, out)
        # Every copy of the example speaks to its own lab.
        config = out / "signalbox.yaml"
        if config.exists():
            config.write_text(config.read_text().replace("/run/signalbox-lab/demo/", f"/run/signalbox-lab/{name}/"))
        # The lab's passwords stand in its file and guard nothing; programs take theirs from files as everywhere.
        for user, password in re.findall(r"name: (\w+)\n\s+password: (\S+)", (out / "lab.yaml").read_text()):
            file = out / f"{user}.password"
            file.touch(mode=0o600)
            file.write_text(password + "\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def socket(self) -> str:
        return f"/run/signalbox-lab/{self.name}/api.sock"

    def run(self, *command: str, ok=(0,), timeout=120) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=self.out)
        if done.returncode not in ok:
            raise Failed(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def spawn(self, command: list[str], log: str) -> subprocess.Popen:
        with open(self.out / log, "wb") as file:
            child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=self.out)
        self.children.append(child)
        return child

    def log(self, name: str) -> str:
        return (self.out / name).read_text(errors="replace")

    def on_node(self, node: str, *command: str) -> list[str]:
        return [self.lab, "exec", "--name", self.name, "--node", node, "--", *command]

    def up(self, file: str = "lab.yaml") -> None:
        subprocess.run([self.lab, "down", "--name", self.name], capture_output=True, timeout=60)
        self.run(self.lab, "up", file, "--name", self.name, timeout=120)

    def lab_do(self, *words: str, timeout=90) -> str:
        return self.run(self.lab, *words, "--name", self.name, timeout=timeout)

    def members(self) -> list[dict]:
        clusters = json.loads(self.run("curl", "-sS", "--unix-socket", self.socket, "http://lab/v1/clusters"))["items"]
        return clusters[0]["members"]

    def wait_until_whole(self, seconds: float = 60) -> None:
        """Until one writer is followed and every other member replicates again."""
        deadline = time.monotonic() + seconds
        members: list[dict] = []
        while time.monotonic() < deadline:
            members = json.loads(self.lab_do("status", "--output", "json"))["clusters"][0]["members"]
            if [m["role"] for m in members].count("writer") == 1 and all(m["state"] == "available" for m in members):
                self.wait_for_writer(20)
                return
            time.sleep(0.3)
        raise Failed(f"the cluster was not whole again within {seconds} s: {json.dumps(members)[:800]}")

    def serve(self) -> None:
        child = self.spawn(self.on_node("ops", self.signalbox, "serve", "-c", "signalbox.yaml"), "serve.log")
        try:
            self.wait_for_writer(20)
        except Failed as error:
            raise Failed(f"{error}; the daemon {'runs' if child.poll() is None else 'ended'}, its log:\n"
                         f"{self.log('serve.log')[-3000:]}") from None

    def cluster(self) -> dict:
        out = self.run(*self.on_node("ops", self.signalbox, "cluster", "status", "-c", "signalbox.yaml", "--output", "json"),
                       ok=(0, 1, 3))
        clusters = json.loads(out)["clusters"] if out.strip() else []
        return clusters[0] if clusters else {}

    def wait_for_writer(self, seconds: float, other_than: str = "") -> str:
        deadline = time.monotonic() + seconds
        seen: dict = {}
        while time.monotonic() < deadline:
            seen = self.cluster()
            if seen.get("state") == "following" and seen.get("writer") not in ("", None, other_than):
                return seen["writer"]
            time.sleep(0.1)
        raise Failed(f"no writer was followed within {seconds} s; last seen: {json.dumps(seen)[:500]}")

    def journal(self) -> list[dict]:
        out = self.run(*self.on_node("ops", self.signalbox, "journal", "-c", "signalbox.yaml", "--limit", "100000",
                                     "--output", "json"))
        return json.loads(out)["items"]

    def meter_url(self, address: str) -> str:
        return f"mysql://meter@{address}/signalbox_meter?password_file={self.out / 'meter.password'}"

    def start_meter(self, *flags: str, paths: dict[str, str] | None = None) -> subprocess.Popen:
        """Returns when every path works. Without `paths` (name → address): each member directly, the lab's DNS name, and
        Signalbox. The result is in measure.json."""
        if paths is None:
            paths = {f"direct-{i}": f"{m['address']}:{m['port']}" for i, m in enumerate(self.members(), 1)}
            paths |= {"dns": "orders.cluster.lab:3306", "signalbox": ENDPOINT}
        arguments = [word for name, address in paths.items() for word in ("--path", f"{name}={self.meter_url(address)}")]
        ready = self.out / "meter-is-ready"
        ready.unlink(missing_ok=True)
        meter = self.spawn(self.on_node("client", self.signalbox, "measure", *arguments, "--json", "measure.json", "--ready-file",
                                        ready.name, *flags), "measure.log")
        deadline = time.monotonic() + 20
        while not (ready.exists() and ready.stat().st_size):
            if meter.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the meter is not ready:\n{self.log('measure.log')[-2000:]}")
            time.sleep(0.02)
        return meter

    def measured(self, meter: subprocess.Popen, timeout: float = 120) -> dict:
        code = meter.wait(timeout)
        if code not in (0, 1):
            raise Failed(f"the meter ended with {code}:\n{self.log('measure.log')[-2000:]}")
        return json.loads((self.out / "measure.json").read_text())

    def close(self) -> None:
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(15)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        self.children.clear()
        subprocess.run([self.lab, "down", "--name", self.name], capture_output=True, timeout=60)
