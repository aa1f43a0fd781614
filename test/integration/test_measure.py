"""The downtime meter against real servers: what it says about a killed writer, a lost row, and a server that says no."""
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest

from measure_cluster import Cluster

SIGNALBOX = os.environ.get("SIGNALBOX_BIN", "build/release/signalbox")
RUN_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def cluster():
    with Cluster(semi_sync=True) as running:
        yield running


class Meter:
    """A meter under way; `ready` waits until it says that every path works."""

    def __init__(self, folder: pathlib.Path, *arguments: str):
        self.folder = folder
        self.process = subprocess.Popen(
            [SIGNALBOX, "measure", *arguments, "--ready-file", str(folder / "ready"), "--output", "json", "--report",
             str(folder / "report.html")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ready(self) -> "Meter":
        deadline = time.monotonic() + 30
        # The file is made at the start and filled when the paths work.
        while not ((self.folder / "ready").exists() and (self.folder / "ready").stat().st_size):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "the meter did not become ready"
            time.sleep(0.02)
        return self

    def result(self) -> tuple[int, dict, str]:
        out, err = self.process.communicate(timeout=RUN_TIMEOUT_S)
        assert out, err
        return self.process.returncode, json.loads(out), err


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([SIGNALBOX, "measure", *arguments], capture_output=True, text=True, timeout=RUN_TIMEOUT_S)


def ledgers(cluster: Cluster) -> list[str]:
    return cluster.servers[0].rows("SELECT table_name FROM information_schema.tables WHERE table_schema='signalbox_meter'")


def writer_of(cluster: Cluster):
    return next(s for s in cluster.servers if not s.read_only)


def test_a_calm_cluster_has_no_outage_and_no_error_of_the_meters_own(cluster, tmp_path):
    code, measured, _ = Meter(tmp_path, *cluster.paths(), "--duration", "3s").result()
    assert code == 0
    assert measured["faults"] == [] and measured["outage_ms"] == {"direct": 0}
    assert measured["samples"]["failed"] == 0 and measured["samples"]["unknown"] == 0
    assert measured["writes"]["lost"] == 0 and measured["writes"]["duplicated"] == 0
    # 100 a second are due; others may need this machine too.
    assert measured["writes"]["acknowledged"] > 150
    assert all(path["errors"].get("1290", 0) > 100 for path in measured["paths"][1:]), "readers refuse"
    assert ledgers(cluster) == [], "the ledger is dropped"


def test_a_killed_writer_costs_an_outage_but_no_acknowledged_write(cluster, tmp_path):
    old, new, third = cluster.servers
    named = f"named=mysql://app@localhost:{new.port}?password_file={cluster.password_file}"
    meter = Meter(tmp_path, *cluster.paths(), "--read-path", named, "--writers", "8", "--until-recovered", "--duration",
                  "60s").ready()
    time.sleep(1)
    old.kill()
    new.promote()
    third.follow(new)
    old.read_only = True
    old.start("--rpl-semi-sync-slave-enabled=1", "--init-rpl-role=SLAVE")
    old.follow(new)
    code, measured, err = meter.result()
    assert code == 0, err
    writes = measured["writes"]
    assert writes["lost"] == 0 and writes["duplicated"] == 0
    assert writes["unknown"] > 0, "eight writers were in flight"
    assert writes["unknown"] == writes["unknown_happened"] + writes["unknown_did_not_happen"]
    assert measured["outage_ms"]["direct"] > 10
    assert measured["failover"]["old_writer"] == "direct-1" and measured["failover"]["new_writer"] == "direct-2"
    phases = {phase["name"]: phase for phase in measured["failover"]["phases"]}
    assert phases["old writer restarts"]["member"] == "direct-1"
    assert phases["old writer restarts"]["end_ms"] > measured["outage_ms"]["direct"] - 100
    assert phases["writes refused as read-only"]["member"] == "direct-1"
    assert "2013" in measured["paths"][0]["errors"] or "2006" in measured["paths"][0]["errors"]
    report = (tmp_path / "report.html").read_text()
    assert "<svg" in report and "<script" not in report and "http" not in report.replace("http://www.w3.org/2000/svg", "")
    assert len(report) < 1_000_000


def test_rows_that_waited_for_an_acknowledgement_on_a_killed_writer_are_unknown_and_rolled_back(cluster, tmp_path):
    """The readers stop receiving, so that nothing is acknowledged; what then waits on the writer dies with it."""
    old = writer_of(cluster)
    new, third = (s for s in cluster.servers if s is not old)
    old.sql("SET GLOBAL rpl_semi_sync_master_wait_point='AFTER_SYNC', GLOBAL rpl_semi_sync_master_timeout=1000000, GLOBAL "
            "rpl_semi_sync_master_enabled=1")
    for server in (new, third):
        server.sql("STOP SLAVE IO_THREAD; START SLAVE IO_THREAD")  # so that the new writer knows who acknowledges
    meter = Meter(tmp_path, *cluster.paths(), "--writers", "8", "--timeout", "5s", "--until-recovered", "--duration",
                  "60s").ready()
    time.sleep(0.5)
    for server in (new, third):
        server.sql("STOP SLAVE IO_THREAD")
    time.sleep(0.5)
    old.kill()
    # The one that was stopped last has acknowledged more.
    held = {server: int(server.rows("SELECT @@gtid_binlog_pos")[0].split("-")[2]) for server in (new, third)}
    new, third = (new, third) if held[new] >= held[third] else (third, new)
    new.promote()
    third.follow(new)
    old.read_only = True
    old.start("--rpl-semi-sync-slave-enabled=1", "--init-rpl-role=SLAVE")
    old.follow(new)
    code, measured, err = meter.result()
    writes = measured["writes"]
    assert code == 0 and writes["lost"] == 0, (err, writes)
    assert writes["unknown_did_not_happen"] >= 8
    assert writes["rolled_back"] >= 1, writes
    assert writes["differences"] == [], "the old writer came back without them"


def test_an_acknowledged_row_that_disappears_is_reported_as_lost(cluster, tmp_path):
    writer = writer_of(cluster)
    meter = Meter(tmp_path, *cluster.paths(), "--duration", "3s").ready()
    time.sleep(0.5)
    table = ledgers(cluster)[0]
    writer.sql(f"DELETE FROM signalbox_meter.{table} WHERE number IN (10, 11, 12) ORDER BY number")
    code, measured, err = meter.result()
    assert code == 1
    assert measured["writes"]["lost"] == 3
    assert {row["number"] for row in measured["writes"]["lost_rows"]} == {10, 11, 12}
    assert "is kept" in err, "the evidence is not dropped"
    writer.sql(f"DROP TABLE signalbox_meter.{table}")


def test_a_row_that_is_there_twice_is_reported(cluster, tmp_path):
    writer = writer_of(cluster)
    meter = Meter(tmp_path, *cluster.paths(), "--duration", "3s").ready()
    time.sleep(0.5)
    table = ledgers(cluster)[0]
    writer.sql(f"INSERT INTO signalbox_meter.{table} SELECT UUID_SHORT(), path, number, server_id, at FROM "
               f"signalbox_meter.{table} WHERE number = 10")
    code, measured, _ = meter.result()
    assert code == 1
    assert measured["writes"]["duplicated"] == 1 and measured["writes"]["lost"] == 0
    writer.sql(f"DROP TABLE signalbox_meter.{table}")


def test_a_privileged_user_leaves_no_stray_row_on_a_reader(cluster, tmp_path):
    writer = writer_of(cluster)
    writer.sql("CREATE OR REPLACE USER boss@'127.0.0.1' IDENTIFIED BY 'measure-me'; GRANT ALL ON *.* TO boss@'127.0.0.1'")
    time.sleep(1)
    paths = [word for s in cluster.servers for word in ("--path", f"direct-{s.number}={cluster.url(s, 'boss')}")]
    code, measured, err = Meter(tmp_path, *paths, "--duration", "2s").result()
    assert code == 0, err
    assert measured["writes"]["differences"] == []
    refusing = [path for path in measured["paths"] if path["errors"].get("1290", 0) > 50]
    assert len(refusing) == 2


def test_sigterm_ends_the_measurement_and_reports(cluster, tmp_path):
    meter = Meter(tmp_path, *cluster.paths()).ready()
    threading.Timer(0.5, lambda: meter.process.send_signal(signal.SIGTERM)).start()
    code, measured, _ = meter.result()
    assert code == 0 and measured["writes"]["acknowledged"] > 0


def test_a_refused_login_names_the_member_the_user_and_the_method(cluster, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("not-this-one\n")
    server = cluster.servers[1]
    done = run("--path", f"direct-2=mysql://app@127.0.0.1:{server.port}?password_file={wrong}", "--duration", "1s")
    assert done.returncode == 3 and done.stdout == ""
    for part in ("direct-2", f"127.0.0.1:{server.port}", "'app'", "1045", "method", "password"):
        assert part in done.stderr
    assert "not-this-one" not in done.stderr


def test_no_reachable_path_is_an_error_of_the_outside_world():
    done = run("--path", "direct-1=mysql://app@127.0.0.1:1", "--duration", "1s")
    assert done.returncode == 3
    assert "direct-1" in done.stderr and "127.0.0.1:1" in done.stderr


@pytest.mark.parametrize("arguments, part", [
    (["--duration", "1s"], "--path"),
    (["--path", "x"], "NAME=mysql://"),
    (["--path", "x=postgres://u@h"], "mysql://"),
    (["--path", "x=mysql://u:secret@h"], "password_file"),
    (["--path", "x=mysql://u@h", "--path", "x=mysql://u@h"], "two paths"),
    (["--path", "x=mysql://u@h", "--interval", "10"], "--interval"),
    (["--path", "x=mysql://u@h", "--interval", "0s"], "--interval"),
    (["--path", "x=mysql://u@h", "--writers", "65"], "writers"),
    (["--path", "x=mysql://u@h", "--duration", "30d"], "--interval"),
    (["--path", "x=mysql://u@h", "--database", "a`b"], "--database"),
    (["--path", "x=mysql://u@h", "--fault-at", "noon"], "--fault-at"),
    (["--path", "x=mysql://u@h", "--report", "/nonexistent/r.html"], "/nonexistent/r.html"),
])
def test_bad_usage_is_refused_with_the_reason(arguments, part):
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert part in done.stderr and "secret@" not in done.stderr
