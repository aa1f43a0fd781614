"""What a byte costs on its way: sysbench through every mode over one hop, and the relay alone on loopback.

client ── hop ── server: the daemon and HAProxy run on the hop, which also forwards. client ── plain ── server: the same cables
and a node that forwards and does nothing else: the direct path over the same kind of hop, without a rule or a tracked flow.
"""
import json
import pathlib
import re
import resource
import statistics
import subprocess
import time

from peers import RELAYING, HAProxy, version
from results import Results, say
from spaces import Spaces, mariadb_command, mariadb_sql

from labsession import Failed

STREAM, KERNEL, HAPROXY, DIRECT = "10.90.1.2:3306", "10.90.1.2:13307", "10.90.1.2:13308", "10.90.4.2:3306"
SERVER = "10.90.2.2:3306"
THREADS = (1, 8)
IDLE_CONNECTIONS = 10_000
PASSWORD = "bench"  # of a server that lives in a namespace for some minutes


def build_hop(spaces: Spaces) -> None:
    for middle, first, second in (("hop", "10.90.1", "10.90.2"), ("plain", "10.90.3", "10.90.4")):
        spaces.link("client", f"{first}.1", middle, f"{first}.2")
        spaces.link(middle, f"{second}.1", "server", f"{second}.2")
        spaces.run("client", "ip", "route", "add", f"{second}.0/24", "via", f"{first}.2")
        spaces.run("server", "ip", "route", "add", f"{first}.0/24", "via", f"{second}.1")
        spaces.run(middle, "sysctl", "-qw", "net.ipv4.ip_forward=1")


def start_server(spaces: Spaces) -> None:
    data = spaces.data / "server"
    spaces.spawn("server", "mariadbd.log", *mariadb_command(data, 1), "--log-bin=binlog")
    mariadb_sql(data, f"CREATE DATABASE sbtest; CREATE USER bench@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO bench@'%'")


def start_daemon(spaces: Spaces, build: pathlib.Path, modes: list[str]) -> None:
    password = spaces.out / "bench.password"
    password.touch(mode=0o600)
    password.write_text(PASSWORD + "\n")
    lines = {"stream": f"  - {{name: stream, cluster: one, listen: '{STREAM}'}}\n",
             "kernel": f"  - {{name: kernel, cluster: one, mode: kernel, listen: '{KERNEL}'}}\n"}
    for stale in spaces.out.glob("signalbox.db*"):
        stale.unlink()
    (spaces.out / "signalbox.yaml").write_text(
        "store: signalbox.db\napi: {listen: 'unix:signalbox.sock'}\nclusters:\n  - name: one\n    engine: mariadb\n    user: bench\n"
        f"    password_file: bench.password\n    members: [{{name: one, address: '{SERVER}'}}]\n"
        f"endpoints:\n{''.join(lines[mode] for mode in modes)}")
    child = spaces.spawn("hop", "serve.log", str(build / "signalbox"), "serve", "-c", "signalbox.yaml")
    deadline = time.monotonic() + 20
    while "endpoint" not in (spaces.out / "serve.log").read_text():
        if child.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"the daemon does not serve:\n{(spaces.out / 'serve.log').read_text()[-2000:]}")
        time.sleep(0.1)


def has_kernel_rules(spaces: Spaces) -> bool:
    """Whether the kernel does it: a figure of that name must not be another mode's."""
    return "signalbox" in spaces.run("hop", "nft", "list", "tables")


def start_haproxy(spaces: Spaces, space: str, listen: str, target: str) -> HAProxy | None:
    text = RELAYING.format(socket=spaces.data / "haproxy.sock", listen=listen, target=target)
    try:
        peer = HAProxy(spaces.out, "relaying", text, spaces.within(space))
    except OSError as error:
        say(f"  HAProxy could not start: {error}")
        return None
    time.sleep(0.5)
    if peer.running():
        return peer
    say(f"  HAProxy could not start: {peer.words()}")
    return None


def sysbench(spaces: Spaces, address: str, threads: int, seconds: float, what: str = "run") -> float:
    """Point selects a second."""
    host, port = address.split(":")
    config = spaces.out / "sysbench.conf"
    config.touch(mode=0o600)
    config.write_text(f"mysql-password={PASSWORD}\n")
    out = spaces.run("client", "sysbench", f"--config-file={config}", "oltp_point_select", "--db-driver=mysql", f"--mysql-host={host}",
                     f"--mysql-port={port}", "--mysql-user=bench", "--tables=1", "--table-size=100000", f"--threads={threads}",
                     f"--time={seconds:g}", what, timeout=seconds + 60)
    if what != "run":
        return 0
    found = re.search(r"queries:\s+\d+\s+\(([\d.]+) per sec", out)
    if not found:
        raise Failed(f"sysbench printed no rate:\n{out[-1000:]}")
    return float(found.group(1))


def reachable(spaces: Spaces, address: str) -> bool:
    try:
        return sysbench(spaces, address, 1, 1) > 0
    except (Failed, subprocess.TimeoutExpired) as error:
        say(f"  {address} does not serve: {str(error)[-300:]}")
        return False


def throughput(build: pathlib.Path, out: pathlib.Path, pairs: int, seconds: float, results: Results) -> None:
    with Spaces(out, ["client", "hop", "plain", "server"]) as spaces:
        build_hop(spaces)
        start_server(spaces)
        try:
            start_daemon(spaces, build, ["stream", "kernel"])
        except Failed as error:
            say(f"  with a kernel endpoint: {error}")
            start_daemon(spaces, build, ["stream"])
        haproxy = start_haproxy(spaces, "hop", HAPROXY, SERVER)
        try:
            sysbench(spaces, DIRECT, 1, 1, "prepare")
            for address in (DIRECT, STREAM, KERNEL, HAPROXY):
                reachable(spaces, address)
            series = [("stream", STREAM, HAPROXY if haproxy else None, version(), "ratio >= 1.2"),
                      ("kernel", KERNEL, DIRECT, "direct, routed over a node that does nothing else", "ratio >= 0.95")]
            for mode, ours, theirs, peer, goal in series:
                if not reachable(spaces, ours) or (mode == "kernel" and not has_kernel_rules(spaces)):
                    say(f"  relay.throughput.{mode}: not measured, the endpoint does not serve")
                    continue
                for threads in THREADS:
                    measure_pair(spaces, f"relay.throughput.{mode}.{threads}", threads, pairs, seconds, (ours, theirs), peer, goal, results)
        finally:
            if haproxy:
                haproxy.close()


def measure_pair(spaces: Spaces, id_: str, threads: int, pairs: int, seconds: float, addresses: tuple[str, str | None], peer: str,
                 goal: str, results: Results) -> None:
    say(f"{id_}: {pairs} pairs of {seconds:g} s each")
    ours, theirs = [], []
    for _ in range(pairs):
        ours.append(sysbench(spaces, addresses[0], threads, seconds))
        if addresses[1]:
            theirs.append(sysbench(spaces, addresses[1], threads, seconds))
        say(f"    {ours[-1]:.0f} q/s" + (f", {peer}: {theirs[-1]:.0f}, ratio {ours[-1] / theirs[-1]:.3f}" if theirs else ""))
    if theirs:
        results.add_paired(id_, "q/s", goal, ours, theirs, peer)
    else:
        results.add(id_, statistics.median(ours), "q/s", goal, ours, {"name": peer, "value": None, "why": f"{peer} could not start"})


def relay_alone(build: pathlib.Path, out: pathlib.Path, pairs: int, results: Results) -> None:
    """relay.rtt, relay.bulk, relay.memory: an echo server, the relay and HAProxy on the loopback of one namespace."""
    bench = str(build / "relay_bench")
    server, ours, theirs = "127.0.0.1:4000", "127.0.0.1:4001", "127.0.0.1:4002"
    with Spaces(out, ["loop"]) as spaces:
        spaces.spawn("loop", "server.log", bench, "server", "--listen", server)
        time.sleep(0.3)
        relay = spaces.spawn("loop", "relay.log", bench, "relay", "--listen", ours, "--target", server)
        haproxy = start_haproxy(spaces, "loop", theirs, server)
        time.sleep(0.5)
        paths = [f"direct={server}", f"ours={ours}"] + ([f"haproxy={theirs}"] if haproxy else [])
        try:
            round_trips(spaces, bench, paths, pairs, results)
            bulk(spaces, bench, paths, pairs, results)
        finally:
            if haproxy:
                haproxy.close()
        # A relay holds two descriptors for each; on a machine with a low hard limit it is measured with as many as fit.
        connections = min(IDLE_CONNECTIONS, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100) // 2)
        say(f"relay.memory.idle_connection: {connections} connections")
        relay.terminate()
        relay.wait(10)
        # A fresh one: what an allocator kept of earlier work would make connections look cheaper.
        relay = spaces.spawn("loop", "relay.log", bench, "relay", "--listen", ours, "--target", server)
        time.sleep(1)
        idle = json.loads(spaces.run("loop", bench, "idle", "--target", ours, "--pid", str(relay.pid), "--connections",
                                     str(connections)))
        results.add("relay.memory.idle_connection", idle["each"], "KiB", "<= 32", [idle["each"]], connections=idle["connections"])


def round_trips(spaces: Spaces, bench: str, paths: list[str], runs: int, results: Results) -> None:
    say(f"relay.rtt.stream.min_added: {runs} rounds of 20,000 round trips of 64 bytes on each path")
    least: dict[str, list[float]] = {}
    for _ in range(runs):
        found = json.loads(spaces.run("loop", bench, "rtt", *paths, "--rounds", "1", "--size", "64"))["paths"]
        for name, path in found.items():
            least.setdefault(name, []).append(path["min"])
        say("    least: " + ", ".join(f"{name} {path['min']:.1f} µs (median {path['median']:.1f})" for name, path in found.items()))
    added = [a - d for a, d in zip(least["ours"], least["direct"], strict=True)]
    peer = min(least["haproxy"]) - min(least["direct"]) if "haproxy" in least else None
    results.add("relay.rtt.stream.min_added", min(least["ours"]) - min(least["direct"]), "µs", "<= 18", added,
                {"name": version(), "value": peer, "why": "HAProxy could not start"}, direct=round(min(least["direct"]), 2))


def bulk(spaces: Spaces, bench: str, paths: list[str], pairs: int, results: Results) -> None:
    say(f"relay.bulk.stream: {pairs} rounds of 512 MiB on each path")
    found = json.loads(spaces.run("loop", bench, "bulk", *paths, "--rounds", str(pairs), timeout=600))["paths"]
    if "haproxy" in found:
        results.add_paired("relay.bulk.stream", "MiB/s", "ratio >= 1.0", found["ours"]["rounds"], found["haproxy"]["rounds"], version(),
                           direct=round(found["direct"]["median"]))
    else:
        results.add("relay.bulk.stream", found["ours"]["median"], "MiB/s", "ratio >= 1.0", found["ours"]["rounds"],
                    {"name": version(), "value": None, "why": "HAProxy could not start"})
