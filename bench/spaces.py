"""Network namespaces of a benchmark's own, and processes in them: gone with this process, however it ends."""
import ctypes
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from labsession import Failed

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Spaces:
    """Named namespaces and the processes in them, with a folder in memory for their data. Use it in a with statement."""

    def __init__(self, out: pathlib.Path, names: list[str]):
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="signalbox-bench-", dir="/dev/shm"))
        self.children: list[subprocess.Popen] = []
        self.holders: dict[str, subprocess.Popen] = {}
        for name in names:
            holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=_die_with_parent)
            self.holders[name] = holder
        deadline = time.monotonic() + 5
        own = pathlib.Path("/proc/self/ns/net").readlink()
        for name, holder in self.holders.items():
            while pathlib.Path(f"/proc/{holder.pid}/ns/net").readlink() == own:
                if time.monotonic() > deadline:
                    raise Failed(f"the namespace {name} did not come up")
                time.sleep(0.01)
            self.run(name, "ip", "link", "set", "lo", "up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def within(self, space: str, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self.holders[space].pid), "-n", *command]

    def run(self, space: str, *command: str, timeout: float = 120, environment: dict | None = None) -> str:
        done = subprocess.run(self.within(space, *command), capture_output=True, text=True, timeout=timeout, cwd=self.out,
                              env=environment, preexec_fn=_die_with_parent)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def spawn(self, space: str, log: str, *command: str) -> subprocess.Popen:
        with open(self.out / log, "wb") as file:
            child = subprocess.Popen(self.within(space, *command), stdout=file, stderr=subprocess.STDOUT, cwd=self.out,
                                     preexec_fn=_die_with_parent)
        self.children.append(child)
        return child

    def link(self, one: str, one_address: str, other: str, other_address: str) -> None:
        """A cable between two namespaces; the addresses are of one /24."""
        one_device, other_device = f"to-{other}", f"to-{one}"
        self.run(one, "ip", "link", "add", one_device, "type", "veth", "peer", "name", other_device, "netns",
                 str(self.holders[other].pid))
        for space, device, address in ((one, one_device, one_address), (other, other_device, other_address)):
            self.run(space, "ip", "addr", "add", f"{address}/24", "dev", device)
            self.run(space, "ip", "link", "set", device, "up")

    def close(self) -> None:
        for child in [*reversed(self.children), *self.holders.values()]:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        self.children.clear()
        self.holders.clear()
        shutil.rmtree(self.data, ignore_errors=True)


def mariadb_command(data: pathlib.Path, number: int, port: int = 3306) -> list[str]:
    """A small MariaDB on a data folder of its own, made here."""
    data.mkdir(parents=True)
    made = subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data / 'db'}", "--skip-test-db",
                           "--auth-root-authentication-method=socket"], capture_output=True, text=True, timeout=120)
    if made.returncode != 0:
        raise Failed(f"mariadb-install-db ended with {made.returncode}:\n{made.stdout[-1000:]}{made.stderr[-1000:]}")
    return ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data / 'db'}", f"--socket={data / 'sock'}", f"--port={port}",
            f"--pid-file={data / 'pid'}", "--bind-address=0.0.0.0", f"--server-id={number}", "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M",
            "--innodb-use-native-aio=0", "--performance-schema=0", "--max-connections=200"]


def mariadb_sql(data: pathlib.Path, statements: str, timeout: float = 30) -> str:
    """As root over the server's own socket; waits until the server answers."""
    deadline = time.monotonic() + timeout
    while True:
        done = subprocess.run(["mariadb", "--no-defaults", "-S", str(data / "sock"), "-NBe", statements], capture_output=True,
                              text=True, timeout=timeout)
        if done.returncode == 0:
            return done.stdout
        if "2002" not in done.stderr or time.monotonic() > deadline:
            raise Failed(f"{statements[:60]}…: {done.stderr.strip()}")
        time.sleep(0.1)
