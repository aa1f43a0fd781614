"""How soon replicas outside the cluster read again after the writer moved: ours, and their own retry beside it."""
import shutil
import statistics
import tempfile
import pathlib
import time

from results import Results, say
from spaces import mariadb_command, mariadb_sql
from world import KERNEL_PORT, OPS, PORTS, READY_S, World

from labsession import Failed

NODE = "10.0.2.30"
# Watched by the daemon, and left to itself, through each endpoint.
WATCHED, ALONE = "watched", "alone"
FIRST_PORT = 23306
GOAL_MS = 2000


def channel_lines(endpoints: list[str]) -> str:
    lines = [f"  - {{name: {WATCHED}-{endpoint}, cluster: orders, kind: replica, address: '{NODE}:{port}', endpoint: {endpoint}, "
             f"user: channel, password_file: channel.password}}\n" for (kind, endpoint), port in replicas_of(endpoints).items() if kind == WATCHED]
    return "channels:\n" + "".join(lines)


def replicas_of(endpoints: list[str]) -> dict[tuple[str, str], int]:
    """Kind and endpoint of each replica, and its port on the node `replicas`."""
    return {(kind, endpoint): FIRST_PORT + index
            for index, (kind, endpoint) in enumerate((k, e) for e in endpoints for k in (WATCHED, ALONE))}


def start_replica(world: World, data: pathlib.Path, kind: str, endpoint: str, port: int) -> None:
    source = PORTS["mariadb"] if endpoint == "stream" else KERNEL_PORT
    password = (world.out / "copy.password").read_text().strip()
    command = mariadb_command(data, 100 + port - FIRST_PORT, port)
    world.spawn(world.on_node("replicas", *command, "--relay-log=relay", "--read-only=1"), f"replica-{kind}-{endpoint}.log")
    # A heartbeat as it is recommended; the retry interval is the server's own default of 60 s.
    mariadb_sql(data, f"CHANGE MASTER TO MASTER_HOST='{OPS}', MASTER_PORT={source}, MASTER_USER='copy', MASTER_PASSWORD='{password}', "
                "MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD=5; START SLAVE")


def resume(world: World, failovers: int, wait_s: float, endpoints: list[str], results: Results) -> None:
    """A replica reads again when it has applied a change that the new writer made; counted from that writer's first direct write."""
    world.up()
    world.serve_with(endpoints, channel_lines(endpoints))
    world.make_probe_table()
    data = pathlib.Path(tempfile.mkdtemp(prefix="signalbox-bench-", dir="/dev/shm"))
    try:
        replicas = replicas_of(endpoints)
        for (kind, endpoint), port in replicas.items():
            start_replica(world, data / f"{kind}-{endpoint}", kind, endpoint, port)
        took = {f"{kind}-{endpoint}": [] for kind, endpoint in replicas}
        say(f"follow.channel.resume: {failovers} writers killed; {', '.join(took)}; each waited for at most {wait_s:g} s")
        for index in range(failovers):
            one = resume_once(world, {f"{kind}-{endpoint}": f"{NODE}:{port}" for (kind, endpoint), port in replicas.items()}, wait_s)
            for name, value in one.items():
                took[name].append(value)
            say(f"    {index + 1}: " + ", ".join(f"{name} {value:.0f} ms" if value < wait_s * 1000 else f"{name} not within {wait_s:g} s"
                                                 for name, value in one.items()))
    finally:
        # The servers go with the session's close; their data is in memory and must go, too.
        world.close()
        shutil.rmtree(data, ignore_errors=True)
    for endpoint in endpoints:
        add(results, endpoint, took, wait_s, "kernel" in endpoints)


def add(results: Results, endpoint: str, took: dict[str, list[float]], wait_s: float, both: bool) -> None:
    ours, theirs = took[f"{WATCHED}-{endpoint}"], took[f"{ALONE}-{endpoint}"]
    censored = sum(1 for value in theirs if value >= wait_s * 1000)
    # Where connects are refused while there is no writer, a replica's own retry counts; a stream endpoint holds them.
    id_ = "follow.channel.resume.p50" if endpoint == "kernel" or not both else "follow.channel.resume.stream.p50"
    results.add(id_, statistics.median(ours), "ms", f"<= {GOAL_MS}", ours,
                {"name": f"the replica's own retry (60 s) through the same {endpoint} endpoint", "value": statistics.median(theirs)},
                peer_not_within_the_wait=censored, peer_wait_s=wait_s)


def resume_once(world: World, replicas: dict[str, str], wait_s: float) -> dict[str, float]:
    world.wait_until_whole()
    victim = world.writer_from_lab()
    probe = world.start_probe({}, replicas)
    try:
        ready = probe.wait_for([victim, *replicas], wait_s + READY_S)
        if missing := {victim, *replicas} - ready:
            raise Failed(f"before the failover these did not work: {', '.join(sorted(missing))}; {probe.stop()}")
        old = next(e["server"] for e in probe.events() if e["path"] == victim)
        # All must read from the writer of now: what they applied last is its.
        await_server(probe, replicas, old, wait_s + READY_S)
        time.sleep(world.random.uniform(0.5, 1.5))
        killed = world.fault("kill", victim)
        members = [m["id"] for m in world.members() if m["id"] != victim]
        deadline = time.monotonic() + 30
        while not (direct := [e for e in probe.events(killed) if e["path"] in members]):
            if time.monotonic() > deadline:
                raise Failed(f"no member took a direct write within 30 s after {victim} was killed")
            time.sleep(0.02)
        writable = min(direct, key=lambda e: e["at"])
        probe.wait_for(list(replicas), wait_s, killed, old)
        return {name: min([(e["at"] - writable["at"]) * 1000 for e in probe.events(killed)
                           if e["path"] == name and e["server"] == writable["server"]] + [wait_s * 1000]) for name in replicas}
    finally:
        probe.stop()


def await_server(probe, replicas: dict[str, str], server: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        last = {e["path"]: e["server"] for e in probe.events() if e["path"] in replicas}
        if all(last.get(name) == server for name in replicas):
            return
        time.sleep(0.1)
    raise Failed(f"not every replica reads from the writer ({server}): {last}")
