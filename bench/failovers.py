"""The series that kill, pause or cut off writers: how long each path is without one, and how soon that is noticed."""
import statistics
import subprocess
import time

from peers import TARGET_GROUP
from results import Results, p99, say
from world import GROUP_PORT, HAPROXY_PORT, KERNEL_PORT, OPS, PORTS, READY_S, World, seconds_of

from labsession import Failed

OURS = ("stream", "kernel")
# What the journal says first when a writer is not what it was.
NOTICED = ("writer-unclear", "writer-lost", "epoch-intent")
GOALS_DETECT_MS = {"blackhole": 300, "pause": 500, "reset": 50}
RECOVERED_S = 30


def paths_of(world: World, endpoints: list[str]) -> dict[str, str]:
    port = PORTS[world.engine]
    paths = {"dns": f"orders.cluster.lab:{port}"}
    if "stream" in endpoints:
        paths["stream"] = f"{OPS}:{port}"
    if "kernel" in endpoints:
        paths["kernel"] = f"{OPS}:{KERNEL_PORT}"
    if world.haproxy and world.haproxy.running():
        paths["haproxy"] = f"{OPS}:{HAPROXY_PORT}"
    return paths


def kill_once(world: World, endpoints: list[str]) -> dict:
    """One failover by a kill: when the new writer took its first direct write, and each path's first one, in ms after it."""
    world.wait_until_whole()
    victim = world.writer_from_lab()
    last = world.last_sequence()
    paths = paths_of(world, endpoints)
    probe = world.start_probe(paths)
    try:
        ready = probe.wait_for([victim, *paths], READY_S)
        if victim not in ready:
            raise Failed(f"the probe can't write on {victim}: {probe.stop()}")
        for name in set(paths) - ready:
            say(f"    the path {name} does not work before the failover")
        old = next(e["server"] for e in probe.events() if e["path"] == victim)
        time.sleep(world.random.uniform(0.5, 1.5))
        killed = world.fault("kill", victim)
        recovered = probe.wait_for([p for p in paths if p in ready], RECOVERED_S, killed, old)
        new = [e for e in probe.events(killed) if e["server"] != old]
        direct = [e for e in new if e["path"] not in paths]
        if not direct:
            raise Failed(f"no member took a direct write within {RECOVERED_S} s after {victim} was killed")
        writable = min(direct, key=lambda e: e["at"])
        excess = {name: (min(e["at"] for e in new if e["path"] == name and e["server"] == writable["server"]) - writable["at"]) * 1000
                  for name in recovered if any(e["path"] == name and e["server"] == writable["server"] for e in new)}
    finally:
        summaries = probe.stop()
    for name in set(ready) & set(OURS) - set(excess):
        raise Failed(f"the path {name} did not recover within {RECOVERED_S} s: {summaries.get(name)}; "
                     f"the daemon's last words:\n{world.log('serve.log')[-1500:]}")
    return {"victim": victim, "killed": killed, "writable": writable["at"], "excess_ms": excess, "last": last}


def fault_to_notice(world: World, done: dict) -> float | None:
    entries = world.entries(done["last"], NOTICED)
    return (seconds_of(entries[0]["at"]) - done["killed"]) * 1000 if entries else None


def await_marked_down(world: World, victim: str, after: float, seconds: float) -> float | None:
    deadline = time.monotonic() + seconds
    while world.haproxy and time.monotonic() < deadline:
        if (at := world.haproxy.marked_down(victim, after)) is not None:
            return at
        time.sleep(0.02)
    return None


def kills(world: World, failovers: int, results: Results, prefix: str, endpoints: list[str]) -> None:
    """follow.excess.…; with MariaDB also follow.detect.reset.p50 and follow.router.verified.p50, in the same failovers."""
    world.up()
    groups = "group" in endpoints
    if groups:
        # Before the daemon, which compares at its start.
        world.start_haproxy("group", TARGET_GROUP.format(socket=world.out / "haproxy-group.sock", listen=f"{OPS}:{GROUP_PORT}"))
    world.serve_with(endpoints)
    world.start_following_haproxy()
    world.make_probe_table()
    excess: dict[str, list[float]] = {}
    noticed, peer_noticed, verified = [], [], []
    say(f"{prefix}: {failovers} writers killed; {', '.join(paths_of(world, endpoints))} measured in the same failovers")
    for index in range(failovers):
        done = kill_once(world, endpoints)
        for name, value in done["excess_ms"].items():
            excess.setdefault(name, []).append(value)
        if (value := fault_to_notice(world, done)) is not None:
            noticed.append(value)
        down = await_marked_down(world, done["victim"], done["killed"], 3)
        if down:
            peer_noticed.append((down - done["killed"]) * 1000)
        if groups:
            verified.append(verified_after(world, done))
        say(f"    {index + 1}: {done['victim']} killed, writable after {(done['writable'] - done['killed']) * 1000:.0f} ms; excess "
            + ", ".join(f"{name} {value:.1f}" for name, value in sorted(done["excess_ms"].items()))
            + (f"; noticed {noticed[-1]:.1f} ms" if noticed else "") + (f", HAProxy {peer_noticed[-1]:.0f}" if down else "")
            + (f"; group verified {verified[-1]:.0f} ms" if groups else ""))
    add_excess(world, results, prefix, excess)
    if world.engine == "mariadb" and noticed:
        results.add("follow.detect.reset.p50", statistics.median(noticed), "ms", f"<= {GOALS_DETECT_MS['reset']}", noticed,
                    world.peer(statistics.median(peer_noticed) if peer_noticed else None))
    if verified:
        results.add("follow.router.verified.p50", statistics.median(verified), "ms", "<= 1000", verified)


def add_excess(world: World, results: Results, prefix: str, excess: dict[str, list[float]]) -> None:
    for name in OURS:
        if name not in excess:
            say(f"  {prefix}.{name}: not measured, there is no such endpoint")
            continue
        for what, of, goal in (("p50", statistics.median, "<= 50"), ("p99", p99, "<= 150")):
            peer = world.peer(of(excess["haproxy"]) if excess.get("haproxy") else None)
            dns = {"others": [{"name": "the lab's DNS name, TTL 5 s, resolved at every connect", "value": round(of(excess["dns"]), 2)}]}
            results.add(f"{prefix}.{name}.{what}", of(excess[name]), "ms", goal, excess[name], peer, **(dns if "dns" in excess else {}))


def verified_after(world: World, done: dict) -> float:
    """From the new writer's first direct write to the journal's entry that the group was seen to be right."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        active = world.entries(done["last"], ("epoch-active",))
        if active:
            entries = [e for e in world.entries(done["last"], ("target-group-verified",)) if e["epoch"] == active[-1]["epoch"]]
            if entries:
                return (seconds_of(entries[0]["at"]) - done["writable"]) * 1000
        time.sleep(0.1)
    raise Failed("the journal has no entry that the target group was verified")


def detect(world: World, fault: str, failovers: int, results: Results) -> None:
    """A writer whose packets are dropped (blackhole), or that is stopped (pause)."""
    world.up()
    world.serve_with(["stream"])
    world.start_following_haproxy()
    say(f"follow.detect.{fault}: {failovers} writers")
    ours, peers = [], []
    for index in range(failovers):
        world.wait_until_whole()
        victim = world.writer_from_lab()
        last = world.last_sequence()
        time.sleep(world.random.uniform(1.5, 2.5))  # HAProxy, too, has to know the writer by then
        at = world.fault(fault, victim)
        world.wait_for_writer(30, other_than=victim)
        value = fault_to_notice(world, {"last": last, "killed": at})
        if value is None:
            raise Failed(f"the journal has no entry for the {fault} of {victim}")
        ours.append(value)
        down = await_marked_down(world, victim, at, 10)
        if down:
            peers.append((down - at) * 1000)
        say(f"    {index + 1}: {victim} noticed after {value:.0f} ms, by HAProxy {f'after {peers[-1]:.0f} ms' if down else 'not'}")
        if fault == "blackhole":
            world.lab_do("heal", victim)
    results.add(f"follow.detect.{fault}.p50", statistics.median(ours), "ms", f"<= {GOALS_DETECT_MS[fault]}", ours,
                world.peer(statistics.median(peers) if peers else None))


def false_alarms(world: World, minutes: float, results: Results) -> None:
    """Nothing is broken, and both cores have all that they can do: whatever the journal says of the writer is false."""
    world.up()
    world.serve_with(["stream"])
    address = ["--db-driver=mysql", f"--mysql-host={OPS}", f"--mysql-port={PORTS['mariadb']}", "--mysql-user=meter",
               "--mysql-db=signalbox_meter", "--tables=4", "--table-size=10000"]
    password = (world.out / "meter.password").read_text().strip()
    config = world.out / "sysbench.conf"
    config.touch(mode=0o600)
    config.write_text(f"mysql-password={password}\n")
    sysbench = ["sysbench", f"--config-file={config}", "oltp_read_write", *address]
    world.run(*world.on_node("client", *sysbench, "prepare"), timeout=120)
    last, started = world.last_sequence(), time.monotonic()
    cpu_before = cpu_times()
    say(f"follow.false_alarms: sysbench oltp_read_write with 16 threads through the endpoint for {minutes:g} minutes")
    load = world.spawn(world.on_node("client", *sysbench, "--threads=16", f"--time={round(minutes * 60)}", "--report-interval=60", "run"),
                       "sysbench.log")
    try:
        code = load.wait(minutes * 60 + 60)
    except subprocess.TimeoutExpired:
        raise Failed("sysbench did not end in time") from None
    entries = world.entries(last, (*NOTICED, "writer-again", "fenced", "epoch-active", "epoch-abandoned"))
    alarms = [e for e in entries if e["kind"] in NOTICED]
    for entry in entries[:20]:
        say(f"    {entry['at']} {entry['kind']} {str(entry.get('data'))[:300]}")
    busy = cpu_share(cpu_before, cpu_times())
    log = world.log("sysbench.log")
    if code != 0 and not alarms:
        raise Failed(f"sysbench ended with {code}:\n{log[-1500:]}")
    results.add("follow.false_alarms", len(alarms), "entries", "= 0", [len(alarms)], minutes=round((time.monotonic() - started) / 60, 1),
                cpu_busy=busy, **({} if code == 0 else {"note": f"sysbench ended with {code}"}))
    say(f"  the cores were busy for {busy:.0%} of the time")


def cpu_times() -> list[int]:
    return [int(word) for word in open("/proc/stat").readline().split()[1:]]


def cpu_share(before: list[int], after: list[int]) -> float:
    spent = [b - a for a, b in zip(before, after, strict=True)]
    return round(1 - (spent[3] + spent[4]) / max(sum(spent), 1), 3)
