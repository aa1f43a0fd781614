"""The figures of reading manifests, lake.read.*: tables that lake_bench makes once, into build/lake-tables, and reads beside others."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

from results import ROOT, Results, say

TABLES = ROOT / "build" / "lake-tables"
VENV = ROOT / "build" / "lake-venv"
# Columns with statistics → files: each some ten manifests of 8 MB.
SHARE_FILES = {10: 300_000, 50: 100_000, 100: 50_000}
PYICEBERG_FILES = 350_000
PYICEBERG_COLUMNS = 10
PEAK_FILES = 1_000_000
# Above this the machine is not idle, and two threads cannot have two cores.
LOAD_MAX = 0.5


class Failed(Exception):
    pass


def run(*command: str, timeout: float = 1800) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    if done.returncode:
        raise Failed(f"{pathlib.Path(command[0]).name}: {done.stderr.strip()[-500:]}")
    return done.stdout


def bench(build: pathlib.Path, *words: str) -> dict:
    return json.loads(run(str(build / "lake_bench"), *words))


def table(build: pathlib.Path, name: str, files: int, columns: int, *more: str) -> pathlib.Path:
    """Made once; a table that a break left half made is made again."""
    folder = TABLES / name
    if not (folder / "metadata" / "version-hint.text").exists():
        shutil.rmtree(folder, ignore_errors=True)
        bench(build, "make", str(folder), "--files", str(files), "--columns", str(columns), *more)
    return folder


def share(build: pathlib.Path, results: Results, arguments) -> None:
    say("lake.read.inflate_share.*: the whole way beside libdeflate alone, core time of one thread")
    for columns, files in SHARE_FILES.items():
        folder = table(build, f"columns-{columns}", files, columns)
        found = bench(build, "share", str(folder), "--pairs", str(arguments.pairs))
        ratios = [ours / alone for ours, alone in zip(found["read"], found["inflate"], strict=True)]
        results.add(f"lake.read.inflate_share.{columns}", statistics.median(ratios), "of 1", ">= 0.80", ratios,
                    entries=found["entries"],
                    others=[{"name": "entries a second, ours", "value": round(statistics.median(found["read"]))},
                            {"name": "libdeflate alone", "value": round(statistics.median(found["inflate"]))}])


def avro(build: pathlib.Path, results: Results, arguments) -> None:
    """avro-cpp is in none of the registries that a build reaches; avro-c, from Debian, is. Both of its ways: its events without
    values (avro_consume_binary), and its generic values."""
    say("lake.read.vs_avrocpp.50: avro-cpp is not packaged; beside avro-c")
    peer = build / "lake_avro_peer"
    if not peer.exists():
        raise Failed("lake_avro_peer was not built: libavro-dev is missing")
    folder = table(build, "columns-50", SHARE_FILES[50], 50)
    manifests = sorted(str(file) for file in (folder / "metadata").glob("*-m0.avro"))
    rates: dict[str, list[float]] = {"ours": [], "direct": [], "generic": []}
    for _ in range(arguments.pairs):
        ours = bench(build, "read", str(folder))
        rates["ours"].append(ours["entries"] / ours["core_s"][0])
        for way in ("direct", "generic"):
            theirs = json.loads(run(str(peer), way, *manifests))
            if theirs["entries"] != ours["entries"]:
                raise Failed(f"avro-c read {theirs['entries']} entries, and there are {ours['entries']}")
            rates[way].append(theirs["entries"] / theirs["core_s"])
    why = {"name": "avro-cpp direct", "value": None,
           "why": "avro-cpp could not be installed: Debian 12 does not package it; beside avro-c instead, see lake.read.vs_avroc.*"}
    results.add("lake.read.vs_avrocpp.50", statistics.median(rates["ours"]), "entries/s", "ratio >= 3", rates["ours"], why)
    for way in ("direct", "generic"):
        results.add_paired(f"lake.read.vs_avroc.{way}.50", "entries/s", "ratio >= 3", rates["ours"], rates[way], f"avro-c 1.11, {way}")


def python_with_pyiceberg() -> str:
    """As the conformance tests pin it, in an environment of its own."""
    python = VENV / "bin" / "python"
    if not python.exists():
        run("/usr/bin/python3", "-m", "venv", str(VENV))
    pins = [line for line in (ROOT / "test/conformance/requirements.txt").read_text().split() if line.startswith(("pyiceberg", "pyarrow"))]
    run(str(VENV / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", *pins)
    return str(python)


def pyiceberg(build: pathlib.Path, results: Results, arguments) -> None:
    """The same table's live files: `signalbox table metrics` as a whole, beside pyiceberg's inspect.files() without its start."""
    say(f"lake.read.vs_pyiceberg: {PYICEBERG_FILES:,} files, minutes each")
    python = python_with_pyiceberg()
    folder = table(build, "pyiceberg", PYICEBERG_FILES, PYICEBERG_COLUMNS)
    version = run(python, "-c", "import pyiceberg; print(pyiceberg.__version__)").strip()
    script = str(ROOT / "bench" / "lake_pyiceberg.py")
    ours, theirs = [], []
    for _ in range(arguments.pyiceberg_pairs):
        begin = time.monotonic()
        metrics = json.loads(run(str(build / "signalbox"), "table", "metrics", str(folder), "--output", "json"))["metrics"]
        ours.append(PYICEBERG_FILES / (time.monotonic() - begin))
        found = json.loads(run(python, script, str(folder / "metadata" / "v1.metadata.json")))
        if (found["files"], found["records"]) != (metrics["snapshot.total_data_files"], metrics["snapshot.total_records"]):
            raise Failed(f"pyiceberg counts {found}, and Signalbox {metrics['snapshot.total_data_files']} files")
        theirs.append(PYICEBERG_FILES / found["seconds"])
    results.add_paired("lake.read.vs_pyiceberg", "files/s", "ratio >= 50", ours, theirs, f"pyiceberg {version}, inspect.files()")


def two_cores(build: pathlib.Path, results: Results, arguments) -> None:
    load = os.getloadavg()[0]
    say(f"lake.read.two_cores: load {load:.1f}")
    folder = table(build, "columns-50-many", 3 * SHARE_FILES[50], 50)
    found = bench(build, "scale", str(folder), "--pairs", str(arguments.pairs))
    ratios = [one / two for one, two in zip(found["one"], found["several"], strict=True)]
    results.add("lake.read.two_cores", statistics.median(ratios), "×", ">= 1.8", ratios, entries=found["entries"],
                load_before=round(load, 2), idle=load <= LOAD_MAX,
                **({} if load <= LOAD_MAX else {"note": f"not idle: load {load:.1f} on {os.cpu_count()} cores", "peer": None}))


def peak(build: pathlib.Path, results: Results, arguments) -> None:
    say(f"lake.read.peak_mb: {PEAK_FILES:,} files in 1,000 partitions, by `signalbox table metrics`")
    folder = table(build, "million", PEAK_FILES, PYICEBERG_COLUMNS)
    files = json.loads(run(str(build / "signalbox"), "table", "metrics", str(folder), "--output", "json"))["metrics"][
        "snapshot.total_data_files"]
    if files != PEAK_FILES:
        raise Failed(f"{files} files were counted, and there are {PEAK_FILES}")
    peaks = [peak_of(str(build / "signalbox"), str(folder)) for _ in range(3)]
    results.add("lake.read.peak_mb", max(peaks), "MB", "<= 100", peaks)


def peak_of(program: str, folder: str) -> float:
    """The largest resident size of one run, in 10^6 bytes; wait4 tells it for that child alone."""
    child = os.posix_spawn(program, [program, "table", "metrics", folder, "--output", "json"], os.environ,
                           file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(child, 0)
    if status:
        raise Failed("signalbox table metrics failed")
    return usage.ru_maxrss * 1024 / 1e6
