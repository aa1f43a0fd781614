"""MySQL 9 in the lab: Debian's unstable has it, so its programs come from a root that tools/mysql-root makes."""

import os
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test/integration"))

from lab_fixture import Lab, read_ledgers, wait_for  # noqa: E402

TEXT = f"""
zones: [a, b]
networks: [{{name: main, cidr: 10.0.0.0/16}}]
subnets:
  - {{name: data-a, zone: a, cidr: 10.0.1.0/24}}
  - {{name: data-b, zone: b, cidr: 10.0.2.0/24}}
clusters:
  - name: orders
    engine: mysql
    server: {os.environ.get("SIGNALBOX_MYSQL_ROOT") or ROOT + "/build/mysql-root"}
    databases: [orders]
    members:
      - {{name: orders-1, subnet: data-a}}
      - {{name: orders-2, subnet: data-b}}
      - {{name: orders-3, subnet: data-a}}
    users:
      - {{name: app, password: app-demo, grants: ["ALL ON orders.*"]}}
hosts:
  - {{name: ops, subnet: data-a}}
"""


@pytest.fixture(scope="module")
def lab():
    subprocess.run([ROOT + "/tools/mysql-root"], check=not os.environ.get("SIGNALBOX_MYSQL_ROOT"))
    with Lab(TEXT) as lab:
        lab.sql("orders.cluster.lab", "create table ledger (writer int, sequence int, primary key (writer, sequence))")
        yield lab


@pytest.fixture(autouse=True)
def healthy(lab):
    lab.wait_healthy(60)


def new_writer(lab, old):
    return wait_for(lambda: lab.writer_name() not in (None, old) and lab.writer_name(), 30, f"a writer other than {old}")


def test_accounts_have_the_default_authentication_and_readers_refuse_writes(lab):
    assert lab.sql("orders.cluster.lab", "select @@version >= '9'") == [["1"]]
    assert lab.sql("orders.cluster.lab", "select @@super_read_only, @@authentication_policy") == [["0", "*,,"]]
    reader = next(name for name, m in lab.members().items() if m["role"] == "reader")
    assert lab.sql(reader, "select @@super_read_only") == [["1"]]
    assert lab.sql(reader, "create table x (v int)", check=False) is None


def test_killed_writers_are_replaced_without_losing_an_acknowledged_row(lab, tmp_path):
    ledgers = [str(tmp_path / f"ledger-{i}") for i in range(4)]
    for i, ledger in enumerate(ledgers):
        lab.writer(i, ledger)
    wait_for(lambda: all(os.path.exists(f) and "ok 20" in open(f).read() for f in ledgers), 30, "20 rows of each writer")
    for _ in range(5):
        old = lab.writer_name()
        lab.ctl("kill", old)
        new = new_writer(lab, old)
        lab.wait_healthy(60)
        time.sleep(0.5)
    for process in lab._processes:
        process.kill()
    time.sleep(0.5)
    acknowledged, sent = read_ledgers(ledgers)
    query = "select writer, sequence from ledger"
    rows = {tuple(row) for row in lab.sql(new, query)}
    assert len(acknowledged) > 100
    assert not acknowledged - rows, "acknowledged rows are lost"
    assert rows <= sent
    for member in lab.members():
        wait_for(lambda: {tuple(row) for row in lab.sql(member, query)} == rows, 20, f"{member} holds the same rows")


def test_a_planned_failover_goes_where_it_was_told(lab):
    target = next(name for name, m in lab.members().items() if m["role"] == "reader")
    lab.ctl("failover", "orders", "--to", target)
    assert lab.writer_name() == target


def test_a_blackholed_writer_is_replaced_and_comes_back_as_a_reader(lab):
    old = lab.writer_name()
    lab.ctl("blackhole", old)
    new = new_writer(lab, old)
    lab.sql(new, "create table after_blackhole (v int)")
    lab.ctl("heal", old)
    wait_for(lambda: lab.sql(old, "select count(*) from after_blackhole", check=False) == [["0"]], 30, "the table on the old writer")


def test_a_reader_that_claims_to_be_the_writer_follows_again_when_healed(lab):
    claimer = next(name for name, m in lab.members().items() if m["role"] == "reader")
    lab.ctl("claim", claimer)
    lab.sql(claimer, "create table stray (v int)")
    lab.ctl("heal", claimer)
    lab.wait_healthy(60)
    wait_for(lambda: lab.sql(claimer, "show tables like 'stray'", check=False) == [], 30, "the claimer to follow")
