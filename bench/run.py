#!/usr/bin/python3
"""Measures the figures of docs/benchmarks.md on this machine, now, and writes out/bench/AREA.json with a picture beside each.

A benchmark is no test: a goal that is missed does not fail the run. What could not be measured is left out, never filled in.
"""
import argparse
import calendar
import json
import pathlib
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from results import OUT, ROOT, Results, say  # noqa: E402  (no byte code beside the sources)

from labsession import ENDPOINT, Failed, LabSession  # noqa: E402
from report import write_report  # noqa: E402

# Aurora's published phase times in seconds, which `--like aurora` plays; by the meter's names of the phases.
PUBLISHED_S = {
    "old replica restarts": 5.5,
    "old writer restarts": 4.5,
    "writes refused as read-only": 4.5,
    "writer endpoint moved": 14.0,
    "reader endpoint moved": 13.5,
    "events started→completed": 32.4,
}


def excess(session: LabSession, failovers: int, results: Results) -> None:
    say(f"follow.excess: {failovers} writers killed; direct, DNS and Signalbox measured in the same failover")
    ours, dns = [], []
    for _ in range(failovers):
        session.wait_until_whole()
        meter = session.start_meter("--until-recovered", "--duration", "60s")
        time.sleep(2.5)
        session.lab_do("kill", session.cluster()["writer"])
        measured = session.measured(meter)
        if measured["excess_ms"].get("signalbox") is None:
            raise Failed(f"the path through Signalbox did not recover: {session.log('measure.log')[-1500:]}")
        ours.append(measured["excess_ms"]["signalbox"])
        if measured["excess_ms"].get("dns") is not None:
            dns.append(measured["excess_ms"]["dns"])
        say(f"    excess: signalbox {ours[-1]} ms, dns {measured['excess_ms'].get('dns')} ms")
    peer = {"name": "the lab's DNS name, TTL 5 s", "value": round(statistics.median(dns), 2)} if dns else None
    results.add("follow.excess.stream.p50", statistics.median(ours), "ms", "<= 50", ours, peer)


def blackhole(session: LabSession, failovers: int, results: Results) -> None:
    say(f"follow.detect.blackhole: {failovers} writers whose packets are dropped")
    detected = []
    for _ in range(failovers):
        session.wait_until_whole()
        victim = session.cluster()["writer"]
        last = session.journal()[-1]["sequence"]
        before = time.time()
        session.lab_do("blackhole", victim)
        session.wait_for_writer(30, other_than=victim)
        entries = [e for e in session.journal() if e["sequence"] > last and e["kind"] in ("writer-unclear", "writer-lost")]
        if not entries:
            raise Failed("the journal has no entry for the black hole")
        at = time.strptime(entries[0]["at"][:19], "%Y-%m-%dT%H:%M:%S")
        seconds = calendar.timegm(at) + float("0." + entries[0]["at"][20:-1])
        detected.append((seconds - before) * 1000)
        say(f"    detected after {detected[-1]:.0f} ms")
        session.lab_do("heal", victim)
    results.add("follow.detect.blackhole.p50", statistics.median(detected), "ms", "<= 300", detected)


def own_errors(session: LabSession, results: Results) -> None:
    say("measure.own_errors: a calm cluster, 60 s at 10 ms on three paths")
    session.wait_until_whole()
    writer = session.cluster()["writer"]
    address = next(f"{m['address']}:{m['port']}" for m in session.members() if m["id"] == writer)
    meter = session.start_meter("--duration", "60s", "--interval", "10ms",
                                paths={"direct-1": address, "dns": "orders.cluster.lab:3306", "signalbox": ENDPOINT})
    measured = session.measured(meter, 180)
    # Nothing was broken, so whatever did not go well is the meter's own.
    errors = measured["own_errors"] + measured["samples"]["failed"] + measured["samples"]["unknown"] + len(measured["faults"])
    results.add("measure.own_errors", errors, "errors", "= 0", [errors])
    results.rows[-1]["operations"] = sum(measured["samples"][kind] for kind in ("ok", "failed", "unknown"))


def kill_with_unacknowledged_writes(session: LabSession) -> None:
    """Cuts the readers off just before the kill, so that writes wait on the writer which nobody will ever acknowledge."""
    writer = session.cluster()["writer"]
    readers = [m["id"] for m in session.members() if m["id"] != writer]
    for reader in readers:
        session.lab_do("blackhole", reader)
    time.sleep(0.15)
    session.lab_do("kill", writer)
    for reader in readers:
        session.lab_do("heal", reader)


def lost(session: LabSession, kills: int, results: Results) -> None:
    say(f"measure.lost_acknowledged: {kills} writers killed with 8 writes in flight on each path, every other one cut off before")
    losses, unknown, rolled_back, duplicated = [], 0, 0, 0
    for index in range(kills):
        session.wait_until_whole()
        meter = session.start_meter("--until-recovered", "--duration", "60s", "--writers", "8")
        time.sleep(1.5)
        if index % 2:
            kill_with_unacknowledged_writes(session)
        else:
            session.lab_do("kill", session.cluster()["writer"])
        writes = session.measured(meter)["writes"]
        losses.append(writes["lost"])
        unknown += writes["unknown"]
        rolled_back += writes["rolled_back"]
        duplicated += writes["duplicated"]
        say(f"    {writes}")
    results.add("measure.lost_acknowledged", sum(losses), "rows", "= 0", losses)
    row = results.rows[-1]
    row.update(unknown=unknown, rolled_back=rolled_back, duplicated=duplicated)
    if not unknown or not rolled_back:
        row["met"] = False
        row["note"] = "the series saw no unknown outcome or no rolled-back row, so it did not test what it says"
        say(f"  {row['note']}")


def aurora(build: pathlib.Path, runs: int, results: Results) -> None:
    say(f"measure.aurora_error: {runs} failovers with --like aurora against the published phase times")
    errors = []
    for _ in range(runs):
        with LabSession(build, OUT / "aurora", "bench-aurora") as session:
            session.up()
            session.serve()
            reader = session.meter_url("orders.reader.lab:3306")
            meter = session.start_meter("--duration", "45s", "--events", f"unix:{session.socket}", "--read-path", f"reader={reader}")
            time.sleep(3)
            session.lab_do("failover", "orders", "--like", "aurora")
            phases = session.measured(meter)["failover"]["phases"]
        # What follows the names is judged on their paths; Signalbox's own endpoint is no part of the cloud's timeline.
        found = {p["name"]: (p["end_ms"] - p["start_ms"]) / 1000 for p in phases
                 if p["start_ms"] is not None and p["end_ms"] is not None and p.get("path") != "signalbox"}
        for name, published in PUBLISHED_S.items():
            if name not in found:
                raise Failed(f"the meter saw no phase '{name}'; it saw {sorted(found)}")
            errors.append(abs(found[name] - published))
            say(f"    {name}: {found[name]:.2f} s, published {published} s")
    results.add("measure.aurora_error_s", max(errors), "s", "<= 0.5", errors)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="where the programs were built")
    parser.add_argument("--failovers", type=int, default=10, help="failovers in each series of the follower")
    parser.add_argument("--kills", type=int, default=20, help="killed writers in the ledger series")
    parser.add_argument("--only", choices=["excess", "blackhole", "own-errors", "lost", "aurora"], action="append",
                        help="only this series; may be repeated. Without it: own-errors, lost, aurora")
    arguments = parser.parse_args()
    build = (ROOT / arguments.build).resolve()
    wanted = arguments.only or ["own-errors", "lost", "aurora"]
    # The product's own meter as the judge; bench/follow.py has these two ids' figures, beside more peers.
    follow, measure = Results("follow-by-meter"), Results("measure")
    failed = []

    def series(name: str, run) -> None:
        if name not in wanted:
            return
        try:
            run()
        except (Failed, subprocess.TimeoutExpired, KeyError, json.JSONDecodeError) as error:
            failed.append(name)
            say(f"  {name} could not be measured: {type(error).__name__}: {error}")

    def in_lab(run) -> None:
        with LabSession(build, OUT / "lab", "bench") as session:
            session.up()
            session.serve()
            run(session)

    series("excess", lambda: in_lab(lambda s: excess(s, arguments.failovers, follow)))
    series("blackhole", lambda: in_lab(lambda s: blackhole(s, arguments.failovers, follow)))
    series("own-errors", lambda: in_lab(lambda s: own_errors(s, measure)))
    series("lost", lambda: in_lab(lambda s: lost(s, arguments.kills, measure)))
    series("aurora", lambda: aurora(build, 2, measure))
    say("")
    for results in (follow, measure):
        results.write()
        for row in results.rows:
            say(Results.line(row))
    write_report()
    say(f"written: {OUT.relative_to(ROOT)}/*.json")
    return 3 if failed else 0


sys.exit(main())
