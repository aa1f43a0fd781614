"""What the commands on tables and alarms promise, on committed tables of other writers, on copies that are damaged, and against a store."""

import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from lab_fixture import ROOT, SIGNALBOX, wait_for

TABLES = pathlib.Path(ROOT) / "examples/tables"
CONFIG = """
store: {store}
api: {{listen: "127.0.0.1:{port}"}}
catalogs:
  - {{name: lake, type: folder, path: {lake}, poll: {{interval: 1s}}}}
actions:
  - name: note
    command: {{command: [/bin/sh, -c, "cat > {told}"]}}
alarms:
  - {{name: many-rows, kind: threshold, metric: snapshot.total_records, comparison: greater-than, threshold: 1, m: 1, n: 1,
     playbook: "look at the loader", actions: [note]}}
  - {{name: rows, kind: band, metric: snapshot.added_records, tables: ["lake.shop.*"]}}
"""


def run(*arguments, code=0, **more):
    done = subprocess.run([SIGNALBOX, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **more)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def out_json(*arguments, code=0, **more):
    return json.loads(run(*arguments, "--output", "json", code=code, **more).stdout)


def newest(table):
    """The metadata file with the highest number."""
    files = [f for f in (table / "metadata").iterdir() if ".metadata.json" in f.name]
    return max(files, key=lambda f: int(re.match(r"v?(\d+)", f.name)[1]))


# ---- without any configuration or daemon


def test_each_commit_of_a_history_is_what_its_writer_says_it_was():
    expected = json.loads((TABLES / "history_spark.expected.json").read_text())
    found = out_json("table", "commits", TABLES / "history_spark", "--limit", 1000)
    commits = {c["snapshot_id"]: c for c in found["items"] if "change" in c}
    kept = [c for c in expected["commits"] if not c.get("expired")]
    assert set(commits) == {c["snapshot_id"] for c in kept}
    for wanted in kept:
        commit = commits[wanted["snapshot_id"]]
        assert commit["operation"] == wanted["operation"]
        for ours, theirs in (("added_data_files", "added_data_files"), ("added_records", "added_records"),
                             ("deleted_data_files", "removed_data_files"), ("deleted_records", "removed_records"),
                             ("added_delete_files", "added_delete_files"), ("removed_delete_files", "removed_delete_files")):
            assert commit["change"][ours] == wanted[theirs], (wanted["snapshot_id"], ours, commit["change"])


def test_commits_are_filtered_by_number_branch_kind_and_time():
    table = TABLES / "history_spark"
    everything = out_json("table", "commits", table, "--limit", 1000)["items"]
    two = out_json("table", "commits", table, "--limit", 2)
    assert two["items"] == [dict(i, sequence=t["sequence"], reported_at=t["reported_at"], latency_ms=t.get("latency_ms"))
                            if "latency_ms" in i else dict(i, sequence=t["sequence"], reported_at=t["reported_at"])
                            for i, t in zip(everything[-2:], two["items"])]
    assert two["more"] is True
    main = out_json("table", "commits", table, "--kind", "main", "--limit", 1000)["items"]
    assert main and all(c["kind"] == "main" for c in main) and len(main) < len(everything)
    branch = out_json("table", "commits", table, "--ref", "trial", "--limit", 1000)["items"]
    assert branch and all(c["ref"] == "trial" for c in branch)
    late = out_json("table", "commits", table, "--since", main[-1]["timestamp"], "--kind", "main")["items"]
    assert [c["snapshot_id"] for c in late] == [main[-1]["snapshot_id"]]
    assert "history_spark" not in run("table", "commits", table, "--since", "2999-01-01").stdout
    text = run("table", "commits", table).stdout
    assert text.splitlines()[0].split()[:3] == ["TIME", "SNAPSHOT", "KIND"]


@pytest.mark.parametrize("name", ["orders", "plain_v1", "merge_on_read", "deletion_vectors", "evolved", "empty", "history_v1", "history_v3"])
def test_every_command_reads_every_writers_table_by_its_path(name):
    table = TABLES / name
    assert out_json("table", "metrics", table)["table"] == name
    commits = out_json("table", "commits", table)
    assert commits["table"] == name
    assert (name == "empty") == (not [c for c in commits["items"] if "change" in c])
    drift = subprocess.run([SIGNALBOX, "table", "drift", table, "--output", "json"], capture_output=True, text=True, timeout=60, check=False)
    assert drift.returncode == (1 if json.loads(drift.stdout)["items"] else 0), drift.stderr
    plot = run("table", "plot", table, "--output", "json", code=1 if name == "empty" else 0)
    if name != "empty":
        main = [c for c in commits["items"] if c["kind"] == "main" and c["metrics"]["snapshot.added_records"] is not None]
        assert [p["value"] for p in json.loads(plot.stdout)["points"]] == [c["metrics"]["snapshot.added_records"] for c in main]


def test_a_folder_lists_the_tables_below_it_and_one_that_is_damaged_hides_none(tmp_path):
    lake = tmp_path / "shop"
    lake.mkdir()
    for name in ("orders", "merge_on_read", "empty"):
        shutil.copytree(TABLES / name, lake / name)
    broken = lake / "merge_on_read"
    file = newest(broken)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    listed = {t["table"]: t for t in out_json("table", "list", lake)["items"]}
    assert set(listed) == {"orders", "merge_on_read", "empty"}
    assert listed["orders"]["metrics"]["snapshot.total_records"] == 992
    assert file.name in listed["merge_on_read"]["trouble"]
    assert listed["orders"]["trouble"] is None
    text = run("table", "list", lake).stdout
    assert re.search(r"^orders .* ago +append +992 +16 ", text, re.M), text


def test_a_summary_that_lies_is_found_field_by_field(tmp_path):
    table = tmp_path / "orders"
    shutil.copytree(TABLES / "orders", table)
    assert "no summary contradicts" in run("table", "drift", table).stdout
    file = newest(table)
    metadata = json.loads(file.read_text())
    snapshot = next(s for s in metadata["snapshots"] if s["snapshot-id"] == metadata["current-snapshot-id"])
    snapshot["summary"]["total-records"] = "991"
    snapshot["summary"]["added-records"] = "96"
    file.write_text(json.dumps(metadata))
    drift = out_json("table", "drift", table, code=1)
    assert [i["snapshot_id"] for i in drift["items"]] == [metadata["current-snapshot-id"]]
    fields = {f["field"]: (f["summary"], f["manifests"]) for f in drift["items"][0]["fields"]}
    assert fields == {"total-records": ("991", 992), "added-records": ("96", 95)}
    assert "total-records" in run("table", "drift", table, code=1).stdout
    listed = out_json("table", "list", table)["items"]
    assert listed[0]["drift_commits"] == 1


def test_a_damaged_manifest_is_named_and_no_wrong_number_is_printed(tmp_path):
    table = tmp_path / "orders"
    shutil.copytree(TABLES / "orders", table)
    for manifest in (table / "metadata").glob("*-m*.avro"):
        manifest.write_bytes(manifest.read_bytes()[:-100])
    done = run("table", "metrics", table, code=3)
    assert done.stdout == "" and ".avro" in done.stderr
    commits = out_json("table", "commits", table)["items"]
    hurt = [c for c in commits if any("can't be read" in n for n in c.get("notes", []))]
    assert hurt
    drift = out_json("table", "drift", table, code=3)
    assert drift["not_compared"] == len([c for c in hurt if c["change"]["truth"] == "unknown"]) > 0 and drift["items"] == []
    assert "not compared" in run("table", "drift", table, code=3).stdout
    for commit in hurt:
        assert commit["change"]["added_records"] is None or commit["metrics"]["snapshot.total_records"] is None


@pytest.mark.parametrize("arguments, said", [
    (["table", "commits", "/nowhere/at/all"], "/nowhere/at/all"),
    (["table", "metrics", "/etc"], "no Iceberg metadata"),
    (["table", "list", "/etc/apt"], "no Iceberg table"),
])
def test_a_path_without_a_table_is_named(arguments, said):
    done = subprocess.run([SIGNALBOX, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 3) and done.stdout == "" and said in done.stderr, done.stderr


@pytest.mark.parametrize("arguments, said", [
    (["table", "commits", TABLES / "orders", "--since", "yesterday"], "--since"),
    (["table", "commits", TABLES / "orders", "--limit", "0"], "--limit"),
    (["table", "plot", TABLES / "orders", "--metric", "added_records"], "did you mean snapshot.added_records"),
    (["table", "plot", TABLES / "orders", "--out", "/nowhere/at.svg"], "/nowhere/at.svg"),
    (["table", "watch", TABLES / "orders/metadata/none"], "none"),
    (["table", "commits"], "PATH|NAME"),
    (["alarm", "backtest"], "expected an alarm"),
    (["alarm", "backtest", "--kind", "band", "--metric", "snapshot.added_records"], "--csv"),
    (["alarm", "backtest", "--kind", "band", TABLES / "orders"], "--metric"),
    (["alarm", "backtest", "--kind", "nothing", TABLES / "orders"], "--kind"),
    (["alarm", "backtest", "--kind", "threshold", "--metric", "snapshot.added_records", TABLES / "orders"], "threshold"),
])
def test_wrong_flags_say_what_is_right(arguments, said, tmp_path):
    done = subprocess.run([SIGNALBOX, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == (3 if said == "none" else 2) and done.stdout == "" and said in done.stderr, (done.returncode, done.stderr)


def test_a_plot_is_drawn_as_text_and_as_a_picture(tmp_path):
    picture = tmp_path / "rows.svg"
    text = run("table", "plot", TABLES / "orders", "--metric", "snapshot.total_records").stdout
    assert "snapshot.total_records of orders" in text and text.count("•") >= 5
    assert run("table", "plot", TABLES / "orders", "--metric", "snapshot.total_records", "--out", picture).stdout == ""
    assert picture.read_text().startswith("<svg") and "</svg>" in picture.read_text()


# ---- watching


class Watch:
    """`signalbox table watch --output json` over a folder; its lines so far."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([SIGNALBOX, "table", "watch", *map(str, arguments), "--output", "json"], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.lines = []
        os.set_blocking(self.process.stdout.fileno(), False)
        self.rest = ""

    def read(self):
        try:
            self.rest += self.process.stdout.read() or ""
        except TypeError:
            pass
        *whole, self.rest = self.rest.split("\n")
        self.lines += [json.loads(line) for line in whole if line]
        return self.lines

    def of(self, kind):
        return [line for line in self.read() if line["type"] == kind]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def publish(table, version):
    """Commits as a Hadoop catalog does: the file appears whole, then the hint."""
    source = TABLES / table.name / "metadata" / f"v{version}.metadata.json"
    part = table / "metadata" / f".v{version}.part"
    shutil.copyfile(source, part)
    os.rename(part, table / "metadata" / source.name)
    hint = table / "metadata" / ".hint.part"
    hint.write_text(str(version))
    os.rename(hint, table / "metadata" / "version-hint.text")


def bare_history(folder):
    """history_spark with all its manifests and only its first two metadata files."""
    table = folder / "history_spark"
    shutil.copytree(TABLES / "history_spark", table)
    for file in (table / "metadata").glob("v*.metadata.json"):
        if int(re.match(r"v(\d+)", file.name)[1]) > 2:
            file.unlink()
    hint = table / "metadata" / "version-hint.text"
    hint.write_text("2")
    return table


def test_watch_tells_each_commit_once_in_order_soon_after_it_came(tmp_path):
    table = bare_history(tmp_path)
    expected = json.loads((TABLES / "history_spark.expected.json").read_text())["commits"]
    with Watch(table) as watch:
        wait_for(lambda: watch.of("following"), 10, "the first look")
        seen = len(watch.of("commit"))
        assert seen == 0
        for version in range(3, 11):
            begun = time.monotonic()
            before = len(watch.read())
            publish(table, version)
            wait_for(lambda: len(watch.read()) > before, 5, f"a line for v{version}")
            assert time.monotonic() - begun < 1.0
        watch.process.send_signal(signal.SIGTERM)
        assert watch.process.wait(10) == 0
        commits = [c["snapshot_id"] for c in watch.of("commit") if c["kind"] == "main"]
        assert commits == [c["snapshot_id"] for c in expected if c["ref"] == "main"][1: 1 + len(commits)]
        assert len(commits) >= 6


def test_watch_catches_up_with_many_commits_at_once_and_ends_after_so_many(tmp_path):
    table = bare_history(tmp_path)
    with Watch(table, "--until-commits", 3) as watch:
        wait_for(lambda: watch.of("following"), 10, "the first look")
        publish(table, 10)
        assert watch.process.wait(10) == 0
        assert len(watch.of("commit")) >= 3


def test_watch_tells_what_the_alarms_say_and_what_it_can_not_read(tmp_path):
    table = bare_history(tmp_path)
    config = tmp_path / "signalbox.yaml"
    config.write_text("alarms:\n  - {name: much, kind: threshold, metric: snapshot.total_records, comparison: greater-than, "
                      "threshold: 31, m: 1, n: 1}\n")
    with Watch(tmp_path, "-c", config) as watch:
        wait_for(lambda: watch.of("following"), 10, "the first look")
        publish(table, 3)
        wait_for(lambda: [a for a in watch.of("alarm") if a["to"] == "ALARM"], 10, "the alarm")
        alarm = watch.of("alarm")[-1]
        assert alarm["alarm"] == "much" and alarm["table"] == "history_spark" and "42" in alarm["text"]
        (table / "metadata" / "v4.metadata.json").write_text("{")
        (table / "metadata" / "version-hint.text").write_text("4")
        wait_for(lambda: watch.of("trouble"), 10, "the trouble")
        assert "v4.metadata.json" in watch.of("trouble")[0]["trouble"]
        publish(table, 4)
        wait_for(lambda: watch.of("trouble")[-1]["trouble"] is None, 10, "the end of the trouble")


def test_watch_ends_with_0_on_an_interrupt_and_prints_lines_for_people(tmp_path):
    table = bare_history(tmp_path)
    process = subprocess.Popen([SIGNALBOX, "table", "watch", str(table)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        first = process.stdout.readline()
        assert "history_spark following, from snapshot" in first
        publish(table, 3)
        line = process.stdout.readline()
        assert re.search(r"history_spark main append: records \+12, files \+3 \(\d+ ms after the commit\)", line), line
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


# ---- with a configuration and a store


def make_config(tmp_path, port=0):
    lake = tmp_path / "lake"
    (lake / "shop").mkdir(parents=True)
    shutil.copytree(TABLES / "orders", lake / "shop" / "orders")
    shutil.copytree(TABLES / "history_spark", lake / "shop" / "history_spark")
    config = tmp_path / "signalbox.yaml"
    config.write_text(CONFIG.format(store=tmp_path / "store.db", lake=lake, port=port, told=tmp_path / "told.json"))
    return config


def free_port():
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def daemon(tmp_path):
    """A configuration whose daemon has seen both tables; the daemon still runs."""
    config = make_config(tmp_path, free_port())
    process = subprocess.Popen([SIGNALBOX, "serve", "-c", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        def both():
            done = subprocess.run([SIGNALBOX, "table", "list", "-c", str(config), "--output", "json"], capture_output=True, text=True,
                                  timeout=30, check=False)
            return done.returncode == 0 and len([t for t in json.loads(done.stdout)["items"] if t.get("last_commit")]) == 2
        wait_for(both, 30, "the first look at both tables", every=0.2)
        yield config
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("arguments", [["table", "list"], ["table", "commits", "orders"], ["table", "drift", "orders"], ["alarm", "list"],
                                       ["alarm", "show", "rows"], ["alarm", "ack", "rows", "--table", "orders"],
                                       ["alarm", "silence", "rows", "--for", "1h", "--why", "x"]])
def test_without_a_store_each_command_says_what_to_start(arguments, tmp_path):
    config = make_config(tmp_path)
    done = run(*arguments, "-c", config, code=1)
    assert "signalbox serve" in done.stderr and done.stdout == ""
    assert not (tmp_path / "store.db").exists()


def test_a_name_is_read_from_its_catalog_without_a_daemon(tmp_path):
    config = make_config(tmp_path)
    for name in ("lake.shop.orders", "shop.orders", "orders"):
        metrics = out_json("table", "metrics", name, "-c", config)
        assert metrics["table"] == "lake.shop.orders"
        assert metrics["metrics"]["snapshot.total_records"] == 992
    done = run("table", "metrics", "ordres", "-c", config, code=1)
    assert "did you mean" in done.stderr or "lake.shop.orders" in done.stderr


def test_what_the_daemon_recorded_is_what_a_path_tells(daemon, tmp_path):
    by_name = out_json("table", "commits", "orders", "-c", daemon, "--limit", 100)["items"]
    by_path = out_json("table", "commits", tmp_path / "lake/shop/orders", "--limit", 100)["items"]
    def essence(items):
        return [(i["snapshot_id"], i["kind"], i.get("change"), i.get("metrics")) for i in items]
    assert essence(by_name) == essence(by_path)
    listed = {t["table"]: t for t in out_json("table", "list", "-c", daemon)["items"]}
    assert listed["lake.shop.orders"]["metrics"]["snapshot.total_records"] == 992
    assert "lake.shop.orders" in run("table", "list", "-c", daemon).stdout
    assert out_json("table", "plot", "orders", "-c", daemon)["points"]


def test_alarms_are_listed_shown_acknowledged_and_silenced(daemon):
    alarms = out_json("alarm", "list", "-c", daemon)["items"]
    assert {(a["alarm"], a["table"]) for a in alarms} == {(n, t) for n in ("many-rows", "rows")
                                                         for t in ("lake.shop.orders", "lake.shop.history_spark")}
    assert alarms[0]["state"] == "ALARM" and alarms[0]["alarm"] == "many-rows"
    assert all(a["state"] == "ALARM" for a in out_json("alarm", "list", "-c", daemon, "--state", "ALARM")["items"])

    shown = run("alarm", "show", "many-rows", "-c", daemon, "--table", "orders").stdout
    assert "many-rows of lake.shop.orders: ALARM" in shown
    assert "look at the loader" in shown and "clears" in shown and "snapshot.total_records is 120" in shown

    acknowledged = out_json("alarm", "ack", "many-rows", "-c", daemon, "--table", "orders", "--by", "ann", "--note", "seen")
    assert acknowledged["acknowledged"]["by"] == "ann"
    assert "acknowledged by ann" in run("alarm", "show", "many-rows", "-c", daemon, "--table", "orders").stdout
    assert "ALARM" in run("alarm", "ack", "rows", "-c", daemon, "--table", "orders", code=1).stderr

    silence = out_json("alarm", "silence", "many-rows", "-c", daemon, "--table", "orders", "--for", "2h", "--why", "a migration")
    assert silence["alarm"] == "many-rows" and silence["table"] == "lake.shop.orders"
    assert "silenced until" in run("alarm", "list", "-c", daemon, "--table", "orders").stdout
    assert "silenced until" not in run("alarm", "list", "-c", daemon, "--table", "history_spark").stdout
    run("alarm", "unsilence", "many-rows", "-c", daemon, "--table", "orders")
    assert "silenced until" not in run("alarm", "list", "-c", daemon).stdout
    assert "no silence" in run("alarm", "unsilence", "many-rows", "-c", daemon, code=1).stderr
    run("alarm", "silence", "all", "-c", daemon, "--for", "1m", "--why", "quiet")
    assert run("alarm", "list", "-c", daemon).stdout.count("silenced until") == 4

    for arguments, said, code in ((["alarm", "show", "many-row"], "did you mean many-rows", 1),
                                  (["alarm", "silence", "many-rows", "--for", "soon", "--why", "x"], "--for", 2),
                                  (["alarm", "ack", "many-rows", "--table", "nothing"], "there is no table", 1)):
        assert said in run(*arguments, "-c", daemon, code=code).stderr


def test_a_test_of_an_alarm_is_marked_and_only_sent_when_asked(tmp_path):
    config = make_config(tmp_path)
    told = tmp_path / "told.json"
    dry = out_json("alarm", "test", "many-rows", "-c", config)
    assert dry["sent"] is False and [i["outcome"] for i in dry["items"]] == ["done"]
    assert not told.exists() and not (tmp_path / "store.db").exists()
    sent = out_json("alarm", "test", "many-rows", "-c", config, "--send", "--table", "lake.shop.orders")
    assert sent["sent"] is True
    message = json.loads(told.read_text())
    assert message["test"] is True and message["evidence"].startswith("TEST") and message["table"] == "lake.shop.orders"
    assert "has no actions" in run("alarm", "test", "rows", "-c", config, code=1).stderr


# ---- backtests


def series(path, spike_at=None, compaction_at=None):
    lines = ["timestamp,value,operation"]
    for hour in range(24 * 21):
        value = 1000 + (hour % 24) * 10 + (hour * 7919) % 13
        operation = "append"
        if hour == compaction_at:
            value, operation = 90_000, "replace"
        if spike_at is not None and spike_at <= hour < spike_at + 4:
            value = 20_000
        lines.append(f"{1_767_225_600 + hour * 3600},{value},{operation}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_backtest_finds_a_spike_once_and_no_compaction(tmp_path):
    flags = ("--kind", "band", "--metric", "value")
    quiet = out_json("alarm", "backtest", *flags, "--csv", series(tmp_path / "quiet.csv", compaction_at=400))
    assert quiet["episodes"] == 0 and len([s for s in quiet["steps"] if s["value"] is not None]) == 24 * 21
    picture = tmp_path / "spike.svg"
    loud = out_json("alarm", "backtest", *flags, "--csv", series(tmp_path / "loud.csv", spike_at=450), "--out", picture)
    assert loud["episodes"] == 1
    to_alarm = [t for t in loud["transitions"] if t["to"] == "ALARM"]
    assert len(to_alarm) == 1 and to_alarm[0]["at"].startswith("2026-01-19")
    assert picture.read_text().startswith("<svg")
    assert "1 episode of ALARM" in run("alarm", "backtest", *flags, "--csv", tmp_path / "loud.csv").stdout


def test_a_backtest_runs_configured_and_default_alarms_over_a_table(tmp_path):
    config = make_config(tmp_path)
    done = out_json("alarm", "backtest", "many-rows", "-c", config, TABLES / "orders")
    assert done["episodes"] == 1 and done["transitions"][-1]["to"] == "ALARM"
    raised = out_json("alarm", "backtest", "many-rows", "-c", config, TABLES / "orders", "--threshold", "1000000")
    assert raised["episodes"] == 0
    rollback = out_json("alarm", "backtest", "--kind", "rollback", TABLES / "history_spark", cwd=tmp_path)
    assert rollback["series"] == "history_spark"


@pytest.mark.parametrize("text, said", [("time,value\n2026-01-01,x\n", ":2:"), ("", "no point"), ("a,b,c,d\n1,2,3,4\n", ":2:"),
                                        ("1767225600,nan\n1767225601,nan\n", ":2:")])
def test_a_csv_file_that_is_wrong_is_named_with_its_line(text, said, tmp_path):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    done = run("alarm", "backtest", "--kind", "band", "--csv", file, code=2)
    assert said in done.stderr and "bad.csv" in done.stderr
