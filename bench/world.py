"""The world of the follower's figures: a lab with the daemon, its peers and a probe that writes on every path at once."""
import calendar
import http.client
import json
import pathlib
import random
import signal
import socket
import subprocess
import time

from peers import HAProxy, following, version, write_secret
from results import ROOT, say

from labsession import Failed, LabSession

OPS = "10.0.1.10"
PORTS = {"mariadb": 3306, "postgresql": 5432}
PROBE_ENGINE = {"mariadb": "mysql", "postgresql": "postgresql"}
# Beside the engine's own port, where the stream endpoint listens.
KERNEL_PORT, HAPROXY_PORT, GROUP_PORT = 13307, 13308, 13309
READY_S = 15


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("lab", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def seconds_of(stamp: str) -> float:
    """Of a journal's "2026-01-02T03:04:05.678Z"."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + (fraction or "0"))


def daemon_config(engine: str, members: list[dict], lab_socket: str, endpoints: list[str], channels: str = "") -> str:
    """A daemon with the named endpoints of: stream, kernel, group."""
    known = {
        "stream": f"  - {{name: stream, cluster: orders, listen: '{OPS}:{PORTS[engine]}', hold: {{time: 30s, connections: 1000}}}}\n",
        "kernel": f"  - {{name: kernel, cluster: orders, mode: kernel, listen: '{OPS}:{KERNEL_PORT}'}}\n",
        "group": "  - {name: group, cluster: orders, mode: target-group, target_group: {haproxy: haproxy-group.sock, backend: targets}}\n",
    }
    lines = "".join(f"      - {{name: {m['id']}, address: '{m['address']}:{m['port']}'}}\n" for m in members)
    return (f"store: signalbox.db\napi: {{listen: 'unix:signalbox.sock'}}\nclusters:\n  - name: orders\n    engine: {engine}\n"
            f"    user: signalbox\n    password_file: signalbox.password\n    members:\n{lines}"
            f"endpoints:\n{''.join(known[name] for name in endpoints)}{channels}")


class Probe:
    """A running failover_probe; its lines are read from the file that it writes."""

    def __init__(self, child: subprocess.Popen, file: pathlib.Path):
        self.child = child
        self.file = file

    def lines(self) -> list[dict]:
        text = self.file.read_text(errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    def events(self, after: float = 0) -> list[dict]:
        return [line for line in self.lines() if "at" in line and line["at"] > after]

    def wait_for(self, paths: list[str], seconds: float, after: float = 0, other_than: str = "") -> set[str]:
        """The paths that have an event after that moment (on another server), once all have, or the seconds are over."""
        deadline = time.monotonic() + seconds
        while True:
            seen = {e["path"] for e in self.events(after) if e["server"] != other_than} & set(paths)
            if seen == set(paths) or time.monotonic() > deadline or self.child.poll() is not None:
                return seen
            time.sleep(0.02)

    def stop(self) -> dict[str, dict]:
        """The summaries of the paths, by name."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        return {line["path"]: line for line in self.lines() if "ok" in line}


class World(LabSession):
    """A lab of one engine. up(), then serve_with(…), then what a series needs."""

    def __init__(self, build: pathlib.Path, out: pathlib.Path, engine: str):
        name = "bench-follow-" + engine
        super().__init__(build, out, name, example=ROOT / "bench" / engine)
        self.engine = engine
        self.build = build
        self.peers: list[HAProxy] = []
        self.haproxy: HAProxy | None = None
        self.random = random.Random(20)  # only spreads the moments of the faults over HAProxy's interval

    def serve_with(self, endpoints: list[str], channels: str = "") -> None:
        (self.out / "signalbox.yaml").write_text(daemon_config(self.engine, self.members(), self.socket, endpoints, channels))
        if "kernel" in endpoints:
            self.run(*self.on_node("ops", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0",
                                   "net.ipv4.conf.eth0.send_redirects=0"))
        self.serve()
        # A figure of that name must not be another mode's.
        if "kernel" in endpoints and "signalbox" not in self.run(*self.on_node("ops", "nft", "list", "tables")):
            raise Failed(f"the daemon has a kernel endpoint, but no table of nftables:\n{self.log('serve.log')[-1500:]}")

    def start_haproxy(self, name: str, text: str, node: str = "ops") -> HAProxy:
        peer = HAProxy(self.out, name, text, self.on_node(node))
        self.peers.append(peer)
        time.sleep(2.5)  # its first checks
        if not peer.running():
            raise Failed(f"haproxy ({name}) ended:\n{peer.words()}")
        return peer

    def start_following_haproxy(self) -> None:
        """The peer, or None with a word of why; the figures then say that it could not start."""
        password = (self.out / "signalbox.password").read_text().strip()
        try:
            text = following(self.out, self.engine, f"{OPS}:{HAPROXY_PORT}", self.members(), "signalbox", password)
            self.haproxy = self.start_haproxy("following", text)
        except (Failed, OSError) as error:
            say(f"  the peer could not start: {error}")

    def peer(self, value: float | None) -> dict:
        return {"name": f"{version()}, external role check each 1 s", "value": value, "why": "HAProxy could not start"}

    def fault(self, action: str, member: str) -> float:
        """Asks the lab for it and returns the moment before the asking."""
        connection = _UnixConnection(self.socket)
        query = "?" if "?" in action else ""
        before = time.time()
        connection.request("POST", f"/v1/admin/members/{member}/{action}{query}")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        if answer.status >= 400:
            raise Failed(f"the lab can't {action} {member}: {text}")
        return before

    def sql(self, statement: str, host: str, user: str = "meter", port: int | None = None) -> str:
        """What the engine's own client prints, on the node `client`."""
        port = port or PORTS[self.engine]
        secret = write_secret(self.out, self.engine, user, (self.out / f"{user}.password").read_text().strip())
        if self.engine == "mariadb":
            client = ["mariadb", f"--defaults-extra-file={secret}", "-h", host, "-P", str(port), "-NBe", statement, "signalbox_meter"]
        else:
            client = ["env", f"PGPASSFILE={secret}", "psql", "-XAtq", "-h", host, "-p", str(port), "-U", user, "-c", statement,
                      "signalbox_meter"]
        return self.run(*self.on_node("client", *client))

    def make_probe_table(self) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS failover_probe (path varchar(40))", "orders.cluster.lab")

    def start_probe(self, paths: dict[str, str], replicas: dict[str, str] | None = None) -> Probe:
        """Writes directly to each member and on every path, until it is stopped; at most ten minutes."""
        command = [str(self.build / "failover_probe"), "--engine", PROBE_ENGINE[self.engine], "--user", "meter", "--password-file",
                   str(self.out / "meter.password"), "--duration", "600", "--interval", "5"]
        for member in self.members():
            command += ["--direct", f"{member['id']}={member['address']}:{member['port']}"]
        for name, address in paths.items():
            command += ["--path", f"{name}={address}"]
        for name, address in (replicas or {}).items():
            command += ["--replica", f"{name}={address}"]
        child = self.spawn(self.on_node("client", *command), "probe.log")
        return Probe(child, self.out / "probe.log")

    def writer_from_lab(self) -> str:
        clusters = json.loads(self.lab_do("status", "--output", "json"))["clusters"]
        return next((m.get("name") or m.get("id")) for m in clusters[0]["members"] if m["role"] == "writer")

    def last_sequence(self) -> int:
        entries = self.journal()
        return entries[-1]["sequence"] if entries else 0

    def entries(self, after: int, kinds: tuple[str, ...]) -> list[dict]:
        return [e for e in self.journal() if e["sequence"] > after and e["kind"] in kinds]

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.peers.clear()
        super().close()
