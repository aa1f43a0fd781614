#!/usr/bin/python3
"""Measures the figures of watching tables and writes out/bench/lake.json. Each series is a function of the build folder and the
results in a file of its own; `--only` measures some, and the rows of the others stay as they are.

A goal that is missed fails nothing; what could not be measured is left out.
"""
import argparse
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
import lake_read  # noqa: E402  (no byte code beside the sources)
import lake_watch  # noqa: E402
from results import ROOT, Results, say  # noqa: E402

# Name → what measures it: a function of the build folder, the results, and the arguments.
SERIES = {"share": lake_read.share, "avro": lake_read.avro, "pyiceberg": lake_read.pyiceberg, "two_cores": lake_read.two_cores,
          "peak": lake_read.peak, "commit": lake_watch.commit, "latency": lake_watch.latency, "fleet": lake_watch.fleet}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--pairs", type=int, default=9, help="measurements in alternation with the peer")
    parser.add_argument("--pyiceberg-pairs", type=int, default=3, help="the same beside pyiceberg, which takes minutes each")
    parser.add_argument("--only", action="append", choices=SERIES, help="a part; rows of the others stay as they are")
    arguments = parser.parse_args()
    build = (ROOT / arguments.build).resolve()
    results = Results("lake", keep=bool(arguments.only))
    for series in arguments.only or SERIES:
        try:
            SERIES[series](build, results, arguments)
        except (lake_read.Failed, OSError, subprocess.SubprocessError) as error:
            say(f"  {series} was not measured: {error}")
        results.write()
    say("\n" + "\n".join(results.line(row) for row in results.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
