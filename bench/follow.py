#!/usr/bin/python3
"""Measures the follower's figures of docs/benchmarks.md on this machine, now, each beside its peer in the same run.

Writes out/bench/follow.json and follow.svg after every series, and ends with the table of what is met. A series that fails does not end
the others; what could not be measured is left out.
"""
import argparse
import json
import pathlib
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from results import OUT, PAIRS_MIN, ROOT, Results, say  # noqa: E402  (no byte code beside the sources)

import channel  # noqa: E402
import failovers  # noqa: E402
import hop  # noqa: E402
from labsession import Failed  # noqa: E402
from report import write_report  # noqa: E402
from world import World  # noqa: E402

# Each with the minutes that it takes at its full size; the channels' are their peers' bounded waits.
SERIES = {
    "mariadb": 5,
    "postgresql": 8,
    "blackhole": 5,
    "pause": 4,
    "false-alarms": 11,
    "channel": 28,
    "throughput": 7,
    "relay": 3,
}


def arguments_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="where the programs were built")
    parser.add_argument("--out", default=str(OUT / "follow"), help="where labs keep their logs")
    parser.add_argument("--only", choices=list(SERIES), action="append", help="only this series; may be repeated")
    parser.add_argument("--keep", action="store_true", help="rows of series that are not measured now stay, each with its own date")
    parser.add_argument("--failovers", type=int, default=20, help="in each series")
    parser.add_argument("--endpoints", default="stream,kernel,group", help="of the daemon in the series mariadb")
    parser.add_argument("--pg-endpoints", default="stream,kernel", help="of the daemon in the series postgresql")
    parser.add_argument("--channel-endpoints", default="stream,kernel", help="that replicas read through")
    parser.add_argument("--channel-wait", type=float, default=65, help="seconds after which a replica's own retry is not waited for")
    parser.add_argument("--alarm-minutes", type=float, default=10, help="of full load in the series false-alarms")
    parser.add_argument("--pairs", type=int, default=PAIRS_MIN + 2, help="of paired measurements")
    parser.add_argument("--seconds", type=float, default=5, help="of one measurement of a throughput")
    return parser.parse_args()


def run_all(arguments: argparse.Namespace, results: Results) -> list[str]:
    """The names of the series that could not be measured."""
    build, out = (ROOT / arguments.build).resolve(), pathlib.Path(arguments.out).resolve()

    def in_lab(engine: str, run) -> None:
        with World(build, out / name, engine) as world:
            run(world)

    count, ends = arguments.failovers, arguments.endpoints.split(",")
    runs = {
        "mariadb": lambda: in_lab("mariadb", lambda w: failovers.kills(w, count, results, "follow.excess", ends)),
        "postgresql": lambda: in_lab("postgresql", lambda w: failovers.kills(w, count, results, "follow.excess.pg",
                                                                             arguments.pg_endpoints.split(","))),
        "blackhole": lambda: in_lab("mariadb", lambda w: failovers.detect(w, "blackhole", count, results)),
        "pause": lambda: in_lab("mariadb", lambda w: failovers.detect(w, "pause", count, results)),
        "false-alarms": lambda: in_lab("mariadb", lambda w: failovers.false_alarms(w, arguments.alarm_minutes, results)),
        "channel": lambda: in_lab("mariadb", lambda w: channel.resume(w, count, arguments.channel_wait,
                                                                      arguments.channel_endpoints.split(","), results)),
        "throughput": lambda: hop.throughput(build, out / name, arguments.pairs, arguments.seconds, results),
        "relay": lambda: hop.relay_alone(build, out / name, arguments.pairs, results),
    }
    failed = []
    name = ""
    wanted = arguments.only or list(SERIES)
    for index, name in enumerate(SERIES):
        if name not in wanted:
            continue
        left = sum(minutes for other, minutes in list(SERIES.items())[index:] if other in wanted)
        say(f"== {name} ({time.strftime('%H:%M:%S')}; at full size all that is left takes about {left} minutes)")
        try:
            runs[name]()
        except (Failed, OSError, subprocess.SubprocessError, KeyError, StopIteration, json.JSONDecodeError) as error:
            failed.append(name)
            say(f"  {name} could not be measured: {type(error).__name__}: {error}")
        results.write()
    return failed


def main() -> int:
    # Labs and namespaces end with their with statements, also when somebody ends the run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = arguments_of()
    results = Results("follow", arguments.keep)
    failed = run_all(arguments, results)
    say("")
    for row in results.rows:
        say(Results.line(row))
    if failed:
        say(f"not measured: {', '.join(failed)}")
    write_report()
    say(f"written: {OUT.relative_to(ROOT)}/follow.json, follow.svg")
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
