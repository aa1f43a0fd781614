"""PostgreSQL in the lab: real streaming replication, real failovers, former writers that are rewound."""

import json
import os
import re
import subprocess
import time

import pytest

from lab_fixture import Lab, read_ledgers, wait_for

LEDGER_LAB = """
zones: [a, b]
networks: [{name: main, cidr: 10.0.0.0/16}]
subnets:
  - {name: data-a, zone: a, cidr: 10.0.1.0/24}
  - {name: data-b, zone: b, cidr: 10.0.2.0/24}
security_groups:
  - name: default
    ingress: [{protocol: all, source: "sg:default"}]
  - name: postgres
    ingress: [{protocol: tcp, port: 5432, source: 10.0.0.0/16}]
clusters:
  - name: orders
    engine: postgresql
    databases: [orders]
    security_groups: [default, postgres]
    members:
      - {name: orders-1, subnet: data-a}
      - {name: orders-2, subnet: data-b}
      - {name: orders-3, subnet: data-a}
    users:
      - {name: app, password: app-demo, grants: ["ALL ON DATABASE orders"]}
      - {name: signalbox, password: signalbox-demo, grants: [pg_monitor, pg_signal_backend]}
      - {name: changes, password: changes-demo, grants: [REPLICATION]}
hosts:
  - {name: ops, subnet: data-a, address: 10.0.1.10}
  - {name: client, subnet: data-b}
"""


@pytest.fixture(scope="module")
def lab():
    begin = time.monotonic()
    with Lab(LEDGER_LAB) as lab:
        assert time.monotonic() - begin < 60
        lab.psql("orders.cluster.lab", "create table ledger (writer int, sequence int, primary key (writer, sequence))")
        yield lab


@pytest.fixture(autouse=True)
def healthy(request):
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").wait_healthy()


def new_writer(lab, old):
    return wait_for(lambda: lab.writer_name() not in (None, old) and lab.writer_name(), 15, f"a writer other than {old}")


def log_of(lab):
    with open(lab.directory + "/lab.log") as file:
        return file.read()


def test_a_cluster_says_its_engine_port_and_authority(lab):
    cluster, = lab.items("/v1/clusters")
    assert cluster["engine"] == "postgresql" and cluster["port"] == 5432 and cluster["ca_file"] == lab.directory + "/ca.pem"
    assert {member["port"] for member in cluster["members"]} == {5432}


def test_readers_hold_what_the_writer_took_and_refuse_writes(lab):
    lab.psql("orders.cluster.lab", "create table copied (v int); insert into copied values (7)")
    for member in lab.members():
        wait_for(lambda: lab.psql(member, "select v from copied", check=False) == [["7"]], 5, f"the row on {member}")
    reader = next(name for name, m in lab.members().items() if m["role"] == "reader")
    result = lab.exec("psql", "-X", f"host={reader}.lab user=app dbname=orders", "-v", "VERBOSITY=verbose", "-c", "create table x (v int)",
                      check=False, env=dict(os.environ, PGPASSWORD="app-demo"))
    assert "25006" in result.stderr


def test_users_log_in_with_scram_and_have_what_the_file_grants(lab):
    assert lab.psql("orders-1", "select 1", password="wrong", check=False) is None
    assert lab.psql("orders.cluster.lab", "select count(*) from pg_stat_replication where sent_lsn is not null", user="signalbox",
                    password="signalbox-demo") == [["2"]]
    assert lab.psql("orders.cluster.lab", "select rolreplication from pg_roles where rolname = 'changes'") == [["t"]]
    assert lab.psql("orders.cluster.lab", "create table public.denied (v int)", user="changes", password="changes-demo", check=False) is None


def test_a_server_shows_a_certificate_of_the_labs_own_authority(lab):
    verify = f"sslmode=verify-full sslrootcert={lab.directory}/ca.pem"
    for host in ("orders-2.lab", "orders.cluster.lab", lab.members()["orders-2"]["address"]):
        assert lab.psql(host, "select ssl from pg_stat_ssl where pid = pg_backend_pid()", options=verify) == [["t"]]


def test_a_logical_stream_reads_and_never_counts_as_a_reader(lab, tmp_path):
    changes = "user=changes dbname=orders host=orders.cluster.lab"
    environment = dict(os.environ, PGPASSWORD="changes-demo")
    lab.exec("pg_recvlogical", "-d", changes, "--slot=s1", "--create-slot", "--plugin=pgoutput", env=environment)
    out = tmp_path / "changes"
    lab.psql("orders.cluster.lab", "create table streamed (v int); create publication p for table streamed")
    lab.popen("pg_recvlogical", "-d", changes + " application_name=orders-x", "--slot=s1", "--start", "-f", str(out), "-o", "proto_version=1", "-o",
              "publication_names=p", env=environment, stderr=subprocess.DEVNULL)
    states = "select sync_state from pg_stat_replication where application_name = 'orders-x'"
    wait_for(lambda: lab.psql("orders.cluster.lab", states, user="signalbox", password="signalbox-demo") == [["async"]], 5, "the stream")
    lab.psql("orders.cluster.lab", "insert into streamed values (4711)")
    wait_for(lambda: out.exists() and b"4711" in out.read_bytes(), 10, "the change in the stream")


def test_killed_writers_are_replaced_without_losing_an_acknowledged_row(lab, tmp_path):
    ledgers = [str(tmp_path / f"ledger-{i}") for i in range(8)]
    for i, ledger in enumerate(ledgers):
        lab.writer(i, ledger, engine="postgresql")
    wait_for(lambda: all(os.path.exists(f) and "ok 50" in open(f).read() for f in ledgers), 20, "50 rows of each writer")
    before = len(re.findall(r"rewound to follow", log_of(lab)))
    for _ in range(6):
        old = lab.writer_name()
        address = lab.members()[old]["address"]
        lab.ctl("kill", old)
        new = new_writer(lab, old)
        assert lab.exec("dig", "+short", "CNAME", "orders.cluster.lab").stdout.strip() == new + ".lab."
        lab.wait_healthy()
        assert lab.members()[old]["role"] == "reader" and lab.members()[old]["address"] == address
        time.sleep(0.3)
    for process in lab._processes:
        process.kill()
    time.sleep(0.3)
    acknowledged, sent = read_ledgers(ledgers)
    query = "select writer, sequence from ledger"
    rows = {tuple(row) for row in lab.psql(new, query)}
    assert len(acknowledged) > 400
    assert not acknowledged - rows, "acknowledged rows are lost"
    assert rows <= sent
    for member in lab.members():
        wait_for(lambda: {tuple(row) for row in lab.psql(member, query)} == rows, 10, f"{member} holds the same rows")
    log = log_of(lab)
    assert len(re.findall(r"rewound to follow", log)) - before >= 6 and "cloned to follow" not in log


def test_a_paused_writer_is_replaced(lab):
    old = lab.writer_name()
    lab.ctl("pause", old)
    new = new_writer(lab, old)
    lab.psql(new, "create table after_pause (v int)")


def test_a_paused_reader_goes_on_where_it_was(lab):
    writer = lab.writer_name()
    reader = next(name for name in lab.members() if name != writer)
    lab.ctl("pause", reader)
    assert lab.psql(reader, "select 1", check=False) is None
    lab.psql(writer, "create table while_paused (v int)")
    lab.ctl("resume", reader)
    wait_for(lambda: lab.psql(reader, "select count(*) from while_paused", check=False) == [["0"]], 10, "the table on the reader")


def test_a_blackholed_writer_is_replaced_and_comes_back_as_a_reader_when_healed(lab):
    old = lab.writer_name()
    lab.ctl("blackhole", old)
    new = new_writer(lab, old)
    assert lab.psql(old, "select 1", check=False) is None
    lab.psql(new, "create table after_blackhole (v int)")
    lab.ctl("heal", old)
    lab.wait_healthy()
    wait_for(lambda: lab.psql(old, "select count(*) from after_blackhole", check=False) == [["0"]], 10, "the table on the old writer")


def test_all_members_of_a_zone_fail_and_heal_at_once(lab):
    lab.ctl("failover", "orders", "--to", "orders-1", check=lab.writer_name() != "orders-1")
    lab.wait_healthy()
    lab.ctl("fail", "a")
    assert new_writer(lab, "orders-1") == "orders-2"
    lab.psql("orders-2", "create table after_zone (v int)", node="client")
    lab.ctl("heal", "a")
    lab.wait_healthy()


def test_a_planned_failover_goes_where_it_was_told(lab):
    target = next(name for name, m in lab.members().items() if m["role"] == "reader")
    seen = len(lab.items("/v1/events?after=0"))
    answer = json.loads(lab.ctl("failover", "orders", "--to", target, "--output", "json").stdout)
    assert answer["writer"] == target == lab.writer_name()
    assert [event["kind"] for event in lab.items("/v1/events?after=0")[seen:]] == ["failover-started", "failover-completed"]
    lab.wait_healthy()


def test_a_last_member_goes_on_alone_and_a_reader_that_returns_gets_what_it_missed(lab):
    writer = lab.writer_name()
    readers = [name for name in lab.members() if name != writer]
    for reader in readers:
        lab.ctl("kill", reader, "--stay-down")
    lab.psql(writer, "create table alone (v int); insert into alone values (1)")
    refused = lab.ctl("failover", "orders", check=False)
    assert refused.returncode == 1 and "nobody can take over" in refused.stderr
    # Nobody else holds what it acknowledged alone: the same member must be elected again.
    lab.ctl("kill", writer)
    wait_for(lambda: lab.writer_name() == writer, 15, "the same writer again")
    wait_for(lambda: lab.psql(writer, "select v from alone", check=False) == [["1"]], 15, "its row is still there")
    for reader in readers:
        lab.ctl("start", reader)
    lab.wait_healthy()
    for reader in readers:
        wait_for(lambda: lab.psql(reader, "select v from alone", check=False) == [["1"]], 10, f"the row on {reader}")


def test_a_reader_that_claims_to_be_the_writer_takes_writes_until_it_is_healed(lab):
    writer = lab.writer_name()
    claimer = next(name for name in lab.members() if name != writer)
    lab.ctl("claim", claimer)
    lab.psql(claimer, "create table stray (v int)")
    assert lab.members()[claimer]["state"] == "claiming" and lab.writer_name() == writer
    lab.psql(writer, "create table meanwhile (v int)")
    lab.ctl("heal", claimer)
    lab.wait_healthy()
    wait_for(lambda: lab.psql(claimer, "select count(*) from meanwhile", check=False) == [["0"]], 10, "the claimer to follow")
    assert lab.psql(claimer, "select to_regclass('stray') is null") == [["t"]]


def test_a_former_writer_that_can_not_be_rewound_is_cloned(lab):
    old = lab.writer_name()
    lab.ctl("kill", old, "--stay-down")
    new_writer(lab, old)
    lab.exec("sh", "-c", f"rm -rf {lab.directory}/data/{old}/db/pg_wal/0*")
    lab.ctl("start", old)
    lab.wait_healthy()
    assert f"{old}: cloned to follow" in log_of(lab)


def test_all_members_die_at_once_and_come_back(lab):
    writer = lab.writer_name()
    lab.psql(writer, "create table kept (v int); insert into kept values (1)")
    for member in lab.members():
        lab.ctl("kill", member, "--stay-down", check=False)
    wait_for(lambda: all(m["state"] in ("stopped", "down") for m in lab.members().values()), 10, "the end of all members")
    for member in lab.members():
        lab.ctl("start", member)
    lab.wait_healthy()
    assert lab.psql(lab.writer_name(), "select v from kept") == [["1"]]
