"""The figures of the daemon that watches tables: lake.commit.* and lake.fleet.cpu. The commits are pyiceberg's."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from lake_read import Failed, TABLES, python_with_pyiceberg, table
from results import ROOT, Results, p99, say

MANIFESTS = 10_000
FILES = 1_000_000
COMMITS = 20
LATENCY_COMMITS = 300
FLEET_TABLES = 1000
FLEET_MINUTES = 3


class Daemon:
    def __init__(self, build: pathlib.Path, folder: pathlib.Path, catalogs: str, more: str = ""):
        self.folder = folder
        self.signalbox = str(build / "signalbox")
        (folder / "signalbox.yaml").write_text(f"store: signalbox.db\napi: {{listen: '127.0.0.1:0'}}\ncatalogs:\n{catalogs}\n{more}")
        self.process = subprocess.Popen([self.signalbox, "serve", "-c", str(folder / "signalbox.yaml")], stdout=subprocess.PIPE,
                                        stderr=open(folder / "daemon.log", "w"), text=True)
        line = self.process.stdout.readline()
        found = re.search(r"API on ([\d.:]+),", line)
        if not found:
            raise Failed(f"the daemon did not start: {line} {(folder / 'daemon.log').read_text()[-500:]}")
        self.address = found[1]
        self.token = (folder / "signalbox.db.token").read_text().strip()

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def get(self, path: str) -> str:
        request = urllib.request.Request(f"http://{self.address}{path}", headers={"Authorization": f"Bearer {self.token}"})
        return urllib.request.urlopen(request, timeout=30).read().decode()

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics"), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def commits(self, name: str, limit: int = 1000) -> list[dict]:
        try:
            return json.loads(self.get(f"/v1/tables/{name}/commits?limit={limit}"))["items"]
        except urllib.error.HTTPError:
            return []

    def wait(self, condition, seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"{what} did not come true: {(self.folder / 'daemon.log').read_text()[-500:]}")
            time.sleep(0.02)


def seconds_of(text: str) -> float:
    whole, fraction = text.rstrip("Z").split(".")
    return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float("0." + fraction)


def commit(build: pathlib.Path, results: Results, _arguments) -> None:
    say(f"lake.commit.*: one new manifest in a table of {MANIFESTS:,} manifests and {FILES:,} files")
    python = python_with_pyiceberg()
    source = table(build, "manifests-10000", FILES, 10, "--manifests", str(MANIFESTS))
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as name:
        folder = pathlib.Path(name)
        database = folder / "catalog.db"
        subprocess.run([python, str(ROOT / "bench/lake_writer.py"), "register", str(database), "db.t", str(source / "metadata/v1.metadata.json")],
                       check=True)
        daemon = Daemon(build, folder, f"  - {{name: c, type: sql, uri: 'sqlite:///{database}', poll: {{interval: 1s}}}}")
        try:
            begun = time.monotonic()
            daemon.wait(lambda: daemon.metric("signalbox_commits_total") >= 1, 600, "the first look")
            first_s = daemon.metric("signalbox_look_seconds_sum")
            say(f"  first look: {first_s:.1f} s of {time.monotonic() - begun:.1f} s")
            own_ms, unchanged, reads = [], [], []
            for _ in range(COMMITS):
                sum_before, count = daemon.metric("signalbox_look_seconds_sum"), daemon.metric("signalbox_look_seconds_count")
                done = subprocess.run([python, str(ROOT / "bench/lake_writer.py"), "append", str(database), "db.t", "1"], check=True,
                                      capture_output=True, text=True)
                wrote = json.loads(done.stdout)
                daemon.wait(lambda: daemon.metric("signalbox_look_seconds_count") > count, 60, "the commit")
                own_ms.append((daemon.metric("signalbox_look_seconds_sum") - sum_before) * 1000)
                found = next(c for c in daemon.commits("c.db.t") if c["snapshot_id"] == wrote["snapshot_id"])
                # Of what was read beyond the metadata file: all but the new list and the new manifest is unchanged.
                unchanged.append(found["read"]["bytes"] - wrote["list_bytes"] - wrote["own_bytes"])
                reads.append(found["read"]["requests"] + 1)
        finally:
            daemon.end()
            for file in (source / "metadata").glob("*"):
                if file.stat().st_mtime > (source / "metadata/v1.metadata.json").stat().st_mtime + 5:
                    file.unlink()
            shutil.rmtree(source / "data", ignore_errors=True)
    results.add("lake.commit.unchanged_bytes", max(unchanged), "bytes", "= 0", unchanged)
    results.add("lake.commit.dependent_reads", max(reads), "reads", "<= 3", reads)
    results.add("lake.commit.own_ms", statistics.median(own_ms), "ms", "<= 50", own_ms,
                peer={"name": "the full read, ours", "value": first_s * 1000})


def put(source: pathlib.Path, target: pathlib.Path, name: str) -> float:
    staged = target / f".{name}"
    shutil.copyfile(source / name, staged)
    at = time.time()
    staged.rename(target / name)
    return at


def made_history(count: int) -> tuple[pathlib.Path, list[str]]:
    """A table of pyiceberg's with every metadata file that it ever had."""
    home = TABLES / f"history-{count}"
    if not (home / "done").exists():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([python_with_pyiceberg(), str(ROOT / "bench/lake_writer.py"), "history", str(home), str(count)], check=True)
        (home / "done").write_text("")
    metadata = home / "t" / "metadata"
    return metadata, sorted(file.name for file in metadata.glob("*.metadata.json"))


def latency(build: pathlib.Path, results: Results, _arguments) -> None:
    say(f"lake.commit.latency.p99: {LATENCY_COMMITS} commits, renamed into a watched folder")
    metadata, versions = made_history(LATENCY_COMMITS)
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as name:
        folder = pathlib.Path(name)
        target = folder / "warehouse/db/t/metadata"
        target.mkdir(parents=True)
        for file in metadata.glob("*.avro"):
            shutil.copyfile(file, target / file.name)
        put(metadata, target, versions[0])
        daemon = Daemon(build, folder, "  - {name: c, type: folder, path: warehouse}")
        try:
            daemon.wait(lambda: daemon.metric("signalbox_looks_total") >= 1, 30, "the first look")
            generator = random.Random(7)
            at = []
            for version in versions[1:]:
                at.append(put(metadata, target, version))
                time.sleep(generator.uniform(0.05, 0.3))
            daemon.wait(lambda: daemon.metric("signalbox_commits_total") >= len(at), 60, "the last commit")
            found = sorted(daemon.commits("c.db.t"), key=lambda c: c["sequence"])
        finally:
            daemon.end()
    if len(found) != len(at):
        raise Failed(f"{len(found)} of {len(at)} commits were reported")
    samples = [(seconds_of(c["reported_at"]) - put_at) * 1000 for c, put_at in zip(found, at, strict=True)]
    results.add("lake.commit.latency.p99", p99(samples), "ms", "<= 1000", samples,
                others=[{"name": "median", "value": round(statistics.median(samples), 1)}, {"name": "published, at least", "value": 20_000}])


def fleet(build: pathlib.Path, results: Results, _arguments) -> None:
    say(f"lake.fleet.cpu: {FLEET_TABLES} tables, each a commit a minute, {FLEET_MINUTES} minutes")
    metadata, versions = made_history(LATENCY_COMMITS)
    versions = versions[: FLEET_MINUTES + 3]
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as name:
        folder = pathlib.Path(name)
        last = json.loads((metadata / versions[-1]).read_text())
        lists = {pathlib.Path(s["manifest-list"]).name for s in last["snapshots"]}
        # Manifests are named after the commit that wrote them, as their lists are.
        commits = {file[len("snap-"):].split("-", 2)[2].removesuffix(".avro") for file in lists}
        files = [file for file in metadata.glob("*.avro") if file.name in lists or any(file.name.startswith(c) for c in commits)]
        targets = []
        for number in range(FLEET_TABLES):
            target = folder / f"warehouse/db{number % 20}/t{number}/metadata"
            target.mkdir(parents=True)
            for file in files:
                os.link(shutil.copyfile(file, folder / file.name) if not (folder / file.name).exists() else folder / file.name, target / file.name)
            put(metadata, target, versions[1])
            targets.append(target)
        daemon = Daemon(build, folder, "  - {name: c, type: folder, path: warehouse}")
        try:
            daemon.wait(lambda: daemon.metric("signalbox_commits_total") >= FLEET_TABLES, 120, "the first looks")
            time.sleep(5)
            shares = []
            for minute in range(FLEET_MINUTES):
                order = random.Random(minute).sample(targets, len(targets))
                cpu, begun = daemon.metric("process_cpu_seconds_total"), time.monotonic()
                for number, target in enumerate(order):
                    due = begun + 60 * number / FLEET_TABLES
                    time.sleep(max(0.0, due - time.monotonic()))
                    put(metadata, target, versions[2 + minute])
                time.sleep(max(0.0, begun + 60 - time.monotonic()))
                shares.append(100 * (daemon.metric("process_cpu_seconds_total") - cpu) / (time.monotonic() - begun))
            daemon.wait(lambda: daemon.metric("signalbox_commits_total") >= FLEET_TABLES * (1 + FLEET_MINUTES), 60, "the last commits")
            reported = daemon.metric("signalbox_commits_total")
        finally:
            daemon.end()
    results.add("lake.fleet.cpu", statistics.median(shares), "% of a core", "<= 20", shares, others=[{"name": "commits", "value": reported}])
