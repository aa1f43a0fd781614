"""`signalbox serve` watches tables that Iceberg's own library wrote: each commit once, within a second, killed at any moment; alarms, actions,
sinks and the API over it."""

import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

import pytest

from lab_fixture import SIGNALBOX, wait_for

TABLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "tables"

CONFIG = """
store: signalbox.db
api: {{listen: "unix:api.sock"}}
catalogs:
  - {{name: lake, type: folder, path: warehouse, poll: {{interval: 60s}}}}
actions:
  - name: note
    command: {{command: [/bin/sh, -c, "cat >> {folder}/noted.jsonl; echo >> {folder}/noted.jsonl"]}}
    on: [ALARM, OK]
alarms:
  - {{name: big, kind: threshold, metric: snapshot.deleted_records, comparison: greater-than, threshold: {threshold}, m: 1, n: 1,
     playbook: "ask the loader", actions: [note]}}
  - {{name: lies, kind: drift, actions: [note]}}
sinks:
  json_lines: {{path: metrics.jsonl}}
"""


class Table:
    """A table whose commits are put in place one by one, as its writer did: the metadata file is renamed, then the hint is."""

    def __init__(self, folder: pathlib.Path, name: str):
        self.source = TABLES / name
        self.metadata = folder / "metadata"
        self.metadata.mkdir(parents=True)
        self.expected = json.loads((TABLES / f"{name}.expected.json").read_text())["commits"]
        for file in (self.source / "metadata").iterdir():
            if file.suffix == ".avro":
                shutil.copy(file, self.metadata)

    def put(self, name: str) -> float:
        staged = self.metadata / f".{name}"
        shutil.copy(self.source / "metadata" / name, staged)
        at = time.time()
        staged.rename(self.metadata / name)
        hint = self.metadata / ".hint"
        hint.write_text(name.split(".")[0][1:])
        hint.rename(self.metadata / "version-hint.text")
        return at

    def commit(self, number: int) -> float:
        """Puts the metadata file of the expected commit of that number, and those before it that are no commit."""
        at = 0.0
        versions = sorted((int(f.name[1:].split(".")[0]), f.name) for f in (self.source / "metadata").glob("v*.metadata.json"))
        last = int(self.expected[number]["metadata_file"][1:].split(".")[0])
        for version, name in versions:
            if version <= last and not (self.metadata / name).exists():
                at = self.put(name)
        return at


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    def __init__(self, folder: pathlib.Path, threshold: float = 1e9, config: str | None = None):
        self.folder = folder
        self.config = folder / "signalbox.yaml"
        (folder / "warehouse").mkdir(exist_ok=True)
        self.config.write_text(config or CONFIG.format(folder=folder, threshold=threshold))
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([SIGNALBOX, "serve", "-c", str(self.config)], stdout=subprocess.PIPE,
                                        stderr=open(self.folder / "daemon.log", "a"), text=True)
        line = self.process.stdout.readline()
        assert line.startswith("ready:"), line + (self.folder / "daemon.log").read_text()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def call(self, method: str, path: str, body=None, expect=200):
        connection = UnixConnection(str(self.folder / "api.sock"))
        token = (self.folder / "signalbox.db.token").read_text().strip()
        connection.request(method, path, json.dumps(body) if body is not None else None, {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == expect, f"{method} {path}: {answer.status} {text}"
        return json.loads(text) if answer.headers["Content-Type"].startswith("application/json") else text

    def commits(self, table="lake.shop.orders") -> list[dict]:
        done = subprocess.run([SIGNALBOX, "table", "commits", table, "-c", str(self.config), "--limit", "1000", "--output", "json"],
                              capture_output=True, text=True, timeout=20)
        if done.returncode != 0:
            return []
        return sorted((c for c in json.loads(done.stdout)["items"] if "change" in c), key=lambda c: c["sequence"])

    def ids(self, table="lake.shop.orders") -> list[int]:
        return [commit["snapshot_id"] for commit in self.commits(table)]

    def log(self) -> str:
        return (self.folder / "daemon.log").read_text()


@pytest.fixture
def daemons():
    running = []
    yield lambda *arguments, **more: running.append(Daemon(*arguments, **more)) or running[-1]
    for daemon in running:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


def agree(commit: dict, expected: dict) -> None:
    change = commit["change"]
    assert change["truth"] in ("difference", "recounted"), commit
    assert commit["operation"] == expected["operation"]
    for ours, theirs in (("added_data_files", "added_data_files"), ("added_records", "added_records"), ("added_data_size", "added_bytes"),
                         ("deleted_data_files", "removed_data_files"), ("deleted_records", "removed_records"),
                         ("added_delete_files", "added_delete_files"), ("removed_delete_files", "removed_delete_files"),
                         ("added_position_deletes", "added_position_deletes")):
        assert change[ours] == expected[theirs], (ours, commit, expected)
    assert commit["metrics"]["snapshot.total_data_files"] == expected["total_data_files"]
    assert commit["metrics"]["snapshot.total_records"] == expected["total_records"]
    assert commit["metrics"]["snapshot.total_delete_files"] == expected["total_delete_files"]


@pytest.mark.parametrize("name", ["history_v3", "history_v1"])
def test_each_commit_is_reported_within_a_second_as_the_writer_has_it(tmp_path, daemons, name):
    table = Table(tmp_path / "warehouse" / "shop" / "orders", name)
    daemon = daemons(tmp_path)
    for number, expected in enumerate(table.expected):
        at = table.commit(number)
        # The first one makes the table, whose folder the catalog has to notice.
        wait_for(lambda: expected["snapshot_id"] in daemon.ids(), 10, f"commit {number}: {daemon.log()[-2000:]}", every=0.05)
        found = daemon.commits()[-1]
        agree(found, expected)
        reported = found["reported_at"]
        seconds = time.mktime(time.strptime(reported[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone + float("0." + reported[20:].rstrip("Z")) - at
        assert seconds < 1, f"commit {number} took {seconds:.2f} s"
    assert daemon.ids() == [commit["snapshot_id"] for commit in table.expected]
    assert daemon.end() == 0


def test_commits_that_nobody_could_see_singly_are_reported_in_order(tmp_path, daemons):
    table = Table(tmp_path / "warehouse" / "shop" / "orders", "history_v3")
    table.commit(0)
    daemon = daemons(tmp_path)
    wait_for(lambda: len(daemon.ids()) == 1, 10, "the first commit")
    daemon.kill()
    table.commit(5)
    daemon.start()
    wait_for(lambda: len(daemon.ids()) == 6, 10, "those of the time without a daemon")
    table.commit(len(table.expected) - 1)
    wait_for(lambda: len(daemon.ids()) == len(table.expected), 10, "the last ones")
    for commit, expected in zip(daemon.commits(), table.expected, strict=True):
        assert commit["snapshot_id"] == expected["snapshot_id"]
        agree(commit, expected)


def test_killed_at_random_moments_it_reports_each_commit_once(tmp_path, daemons):
    seed = int(os.environ.get("SIGNALBOX_SEED", random.randrange(10**6)))
    print("SIGNALBOX_SEED", seed)
    generator = random.Random(seed)
    names = [f"t{i}" for i in range(6)]
    tables = {name: Table(tmp_path / "warehouse" / "shop" / name, "history_v3") for name in names}
    daemon = daemons(tmp_path)
    for number in range(8):
        for name in names:
            tables[name].commit(number)
        time.sleep(generator.uniform(0, 0.25))
        daemon.kill()
        daemon.start()
    expected = [commit["snapshot_id"] for commit in tables["t0"].expected]
    for name in names:
        wait_for(lambda: len(daemon.ids(f"lake.shop.{name}")) >= len(expected), 15, f"all commits of {name}, seed {seed}")
        assert daemon.ids(f"lake.shop.{name}") == expected, f"seed {seed}"
    # The sinks got each commit, too, at least once.
    wanted = {(f"lake.shop.{name}", snapshot) for name in names for snapshot in expected}

    def written():
        lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
        return {(line["table"], line["snapshot_id"]) for line in lines}
    wait_for(lambda: wanted <= written(), 10, f"what sinks got, seed {seed}")


def test_an_alarm_acts_once_and_says_what_it_saw(tmp_path, daemons):
    table = Table(tmp_path / "warehouse" / "shop" / "orders", "history_v3")
    table.commit(0)
    # The last commit deletes; the compaction before it moves more rows, and is not judged with those that change some.
    number, most = len(table.expected) - 1, table.expected[-1]["removed_records"]
    assert table.expected[5]["operation"] == "replace" and table.expected[5]["removed_records"] > most > 0
    daemon = daemons(tmp_path, threshold=most - 1)
    wait_for(lambda: len(daemon.ids()) == 1, 10, "the first commit")
    noted = tmp_path / "noted.jsonl"
    table.commit(number)
    wait_for(noted.exists, 10, "the action: " + daemon.log()[-2000:])
    told = json.loads(noted.read_text().splitlines()[0])
    text = json.dumps(told)
    assert told["state"] == "ALARM" and told["alarm"] == "big" and told["table"] == "lake.shop.orders"
    assert str(most) in text and "ask the loader" in text and str(table.expected[number]["snapshot_id"]) in text
    alarm = next(a for a in daemon.call("GET", "/v1/alarms")["items"] if a["alarm"] == "big")
    assert alarm["state"] == "ALARM"
    daemon.call("POST", "/v1/alarms/big/acknowledge", {"table": "lake.shop.orders", "by": "a test", "note": "seen"})
    alarm = next(a for a in daemon.call("GET", "/v1/alarms")["items"] if a["alarm"] == "big")
    assert alarm["acknowledged"]["by"] == "a test"
    daemon.kill()
    daemon.start()
    time.sleep(1.5)
    states = [json.loads(line)["state"] for line in noted.read_text().splitlines() if line.strip()]
    assert states.count("ALARM") == 1, "a restart acts again"
    daemon.call("POST", "/v1/alarms/lies/acknowledge", {"table": "lake.shop.orders", "by": "a test"}, expect=404)
    daemon.call("POST", "/v1/alarms/big/acknowledge", {"table": "lake.shop.orders"}, expect=400)


def test_the_api_and_the_page_tell_of_tables(tmp_path, daemons):
    table = Table(tmp_path / "warehouse" / "shop" / "orders", "history_v3")
    table.commit(2)
    daemon = daemons(tmp_path)
    wait_for(lambda: len(daemon.ids()) == 3, 10, "the commits")
    items = daemon.call("GET", "/v1/tables")["items"]
    assert [item["table"] for item in items] == ["lake.shop.orders"]
    assert daemon.call("GET", "/v1/tables/lake.shop.orders")["metrics"]["snapshot.total_records"] == table.expected[2]["total_records"]
    newest = daemon.call("GET", "/v1/tables/lake.shop.orders/commits?limit=1&order=newest")["items"]
    assert [commit["snapshot_id"] for commit in newest] == [table.expected[2]["snapshot_id"]]
    daemon.call("GET", "/v1/tables/lake.shop.nothing", expect=404)
    daemon.call("GET", "/v1/tables/lake.shop.orders/commits?limit=0", expect=400)
    daemon.call("POST", "/v1/tables-look", {"catalog": "lake", "table": "shop.orders"}, expect=202)
    daemon.call("POST", "/v1/tables-look", {"catalog": "pond"}, expect=404)
    page = daemon.call("GET", "/metrics")
    assert f'signalbox_table_records{{table="lake.shop.orders"}} {table.expected[2]["total_records"]}' in page, page
    assert "signalbox_commits_total 3" in page and "signalbox_commit_latency_seconds_count 3" in page


def test_a_table_that_is_broken_dropped_or_back_is_named_and_the_others_go_on(tmp_path, daemons):
    shop = tmp_path / "warehouse" / "shop"
    broken, good = Table(shop / "broken", "history_v3"), Table(shop / "good", "history_v3")
    broken.commit(0), good.commit(0)
    daemon = daemons(tmp_path)
    wait_for(lambda: len(daemon.ids("lake.shop.broken")) == 1 and len(daemon.ids("lake.shop.good")) == 1, 10, "both tables")

    def trouble(name):
        return daemon.call("GET", f"/v1/tables/lake.shop.{name}")["trouble"]
    half = broken.metadata / broken.expected[1]["metadata_file"]
    half.write_bytes((broken.source / "metadata" / half.name).read_bytes()[:200])
    (broken.metadata / "version-hint.text").write_text(half.name.split(".")[0][1:])
    wait_for(lambda: trouble("broken") and half.name in trouble("broken"), 10, "the cut file by its name")
    good.commit(1)
    wait_for(lambda: len(daemon.ids("lake.shop.good")) == 2, 10, "the other table")
    half.unlink()
    broken.commit(1)
    wait_for(lambda: daemon.ids("lake.shop.broken") == [c["snapshot_id"] for c in broken.expected[:2]], 20, "the mended table")
    wait_for(lambda: not trouble("broken"), 10, "no trouble")
    shutil.move(shop / "good", tmp_path / "aside")
    wait_for(lambda: trouble("good") and "no such table" in trouble("good"), 10, "the dropped table")
    shutil.move(tmp_path / "aside", shop / "good")
    good.commit(2)
    wait_for(lambda: len(daemon.ids("lake.shop.good")) == 3, 20, "the table that is back")
    assert daemon.ids("lake.shop.good") == [c["snapshot_id"] for c in good.expected[:3]]
    entries = daemon.call("GET", "/v1/journal?kind=table-trouble")["items"]
    assert {entry["subject"] for entry in entries} == {"lake.shop.broken", "lake.shop.good"}


def test_a_summary_that_lies_is_drift(tmp_path, daemons):
    table = Table(tmp_path / "warehouse" / "shop" / "orders", "history_v1")
    table.commit(0)
    daemon = daemons(tmp_path)
    wait_for(lambda: len(daemon.ids()) == 1, 10, "the first commit")
    lying = table.source / "metadata" / table.expected[1]["metadata_file"]
    text = json.loads(lying.read_text())
    snapshot = next(s for s in text["snapshots"] if s["snapshot-id"] == table.expected[1]["snapshot_id"])
    snapshot["summary"]["added-records"] = "4711"
    staged = table.metadata / ".staged"
    staged.write_text(json.dumps(text))
    staged.rename(table.metadata / lying.name)
    (table.metadata / "version-hint.text").write_text(lying.name.split(".")[0][1:])
    noted = tmp_path / "noted.jsonl"
    wait_for(noted.exists, 10, "the action of the drift alarm: " + daemon.log()[-2000:])
    assert "4711" in noted.read_text() and str(table.expected[1]["added_records"]) in noted.read_text()
    drift = daemon.commits()[-1]["drift"]
    assert [(d["field"], d["summary"], d["manifests"]) for d in drift] == [("added-records", "4711", table.expected[1]["added_records"])]


def test_a_reload_takes_other_alarms_and_a_bad_file_changes_nothing(tmp_path, daemons):
    table = Table(tmp_path / "warehouse" / "shop" / "orders", "history_v3")
    table.commit(0)
    daemon = daemons(tmp_path)
    wait_for(lambda: len(daemon.ids()) == 1, 10, "the first commit")
    daemon.config.write_text(daemon.config.read_text() + "nonsense: true\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reload refused" in daemon.log(), 10, "the refusal")
    daemon.config.write_text(CONFIG.format(folder=tmp_path, threshold=-1))
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: daemon.call("GET", "/v1/journal?kind=daemon-reload")["items"], 10, "the reload")
    table.commit(1)
    wait_for((tmp_path / "noted.jsonl").exists, 10, "the action of the new threshold: " + daemon.log()[-2000:])
