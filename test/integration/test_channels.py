"""Channels in a real lab: a replica and a logical slot that read from a cluster through Signalbox, over failovers and mishaps."""

import json
import os
import re
import shutil
import subprocess
import time

import pytest

from lab_fixture import DEMO, SIGNALBOX, Lab, wait_for

COPY = "10.0.2.30"  # the replica outside the cluster
HOSTS = "hosts:\n  - {name: copy, subnet: data-b, address: 10.0.2.30}\n"
USERS = """    users:
      - {name: copy, password: copy-demo, grants: ["REPLICATION SLAVE ON *.*"]}
      - {name: chief, password: chief-demo, grants: ["ALL ON *.*"]}
"""
MARIADB_LAB = DEMO.replace("hosts:\n", HOSTS).replace("    users:\n", USERS, 1)

POSTGRES_LAB = DEMO.replace("security_groups:\n", """security_groups:
  - name: postgres
    ingress: [{protocol: tcp, port: 5432, source: 10.0.0.0/16}]
""", 1)
POSTGRES_LAB = POSTGRES_LAB[:POSTGRES_LAB.index("clusters:\n")] + """clusters:
  - name: books
    engine: postgresql
    databases: [books]
    security_groups: [default, postgres]
    members:
      - {name: books-1, subnet: data-a, address: 10.0.1.21}
      - {name: books-2, subnet: data-b, address: 10.0.2.22}
    users:
      - {name: app, password: app-demo, grants: ["ALL ON DATABASE books"]}
      - {name: signalbox, password: signalbox-demo, grants: [REPLICATION, pg_monitor, pg_signal_backend]}
      - {name: changes, password: changes-demo, grants: [REPLICATION, "ALL ON DATABASE books"]}

hosts:
  - {name: ops, subnet: data-a, address: 10.0.1.10}
"""

# With a hold of nothing a replica that connects while there is no writer is refused, and sleeps its 60 s.
MARIADB_CONFIG = """
store: signalbox.db
api: {listen: "unix:api.sock"}
shards: 1
clusters:
  - name: orders
    user: signalbox
    password_file: password
    members:
      - {name: orders-1, address: 10.0.1.5:3306}
      - {name: orders-2, address: 10.0.2.6:3306}
      - {name: orders-3, address: 10.0.1.6:3306}
endpoints:
  - {name: w, cluster: orders, listen: 10.0.1.10:3306, hold: {time: 0s}}
channels:
  - {name: warehouse, cluster: orders, kind: replica, address: "10.0.2.30:3306", endpoint: w, user: channel,
     password_file: channel-password, heartbeat: 3s}
"""

POSTGRES_CONFIG = """
store: signalbox.db
api: {listen: "unix:api.sock"}
shards: 1
clusters:
  - name: books
    engine: postgresql
    user: signalbox
    password_file: password
    members:
      - {name: books-1, address: 10.0.1.21:5432}
      - {name: books-2, address: 10.0.2.22:5432}
endpoints:
  - {name: w, cluster: books, listen: 10.0.1.10:5432}
channels:
  - {name: cdc, cluster: books, kind: slot, slot: debezium, heartbeat: 5s}
"""


class Daemon:
    def __init__(self, lab, folder, config):
        self.lab, self.folder, self.process = lab, str(folder), None
        self.config = os.path.join(self.folder, "signalbox.yaml")
        for name, text in (("signalbox.yaml", config), ("password", "signalbox-demo\n"), ("channel-password", "channel-demo\n")):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)
        self.start()

    def start(self):
        log = open(os.path.join(self.folder, "log"), "a")
        self.process = self.lab.popen(SIGNALBOX, "serve", "-c", self.config, stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline()
        assert line.startswith("ready:"), line + self.logged()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(10) == 0, self.logged()

    def logged(self):
        with open(os.path.join(self.folder, "log")) as file:
            return file.read()

    def channel(self):
        done = subprocess.run([SIGNALBOX, "channel", "status", "-c", self.config, "--output", "json"], capture_output=True, text=True)
        return json.loads(done.stdout)["channels"][0] if done.returncode in (0, 1) else {}

    def alarm(self, kind):
        return next((a["text"] for a in self.channel().get("alarms", []) if a["kind"] == kind), "")

    def writer(self):
        done = subprocess.run([SIGNALBOX, "cluster", "status", "-c", self.config, "--output", "json"], capture_output=True, text=True)
        cluster = json.loads(done.stdout)["clusters"][0] if done.returncode in (0, 1) else {}
        return cluster.get("state") == "following" and cluster["writer"]

    def journal(self, kind):
        done = subprocess.run([SIGNALBOX, "journal", "-c", self.config, "--output", "json", "--limit", "10000"], capture_output=True,
                              text=True, check=True)
        return [e for e in json.loads(done.stdout)["items"] if e["kind"] == kind]

    def wait_for(self, condition, timeout, what):
        try:
            return wait_for(condition, timeout, what, every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.channel(), indent=1)}\n{self.logged()[-4000:]}") from None

    def wait_state(self, state, timeout=20):
        self.wait_for(lambda: self.channel().get("state") == state, timeout, f"a channel that is {state}")


class Copy:
    """A MariaDB replica outside the cluster, on a node of its own."""

    def __init__(self, lab, folder):
        self.lab, self.folder = lab, str(folder)
        self.data = os.path.join(self.folder, "data")
        self.socket = os.path.join(self.folder, "socket")
        subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={self.data}", "--skip-test-db",
                        "--auth-root-authentication-method=socket"], check=True, capture_output=True)
        self.process = lab.popen("mariadbd", "--no-defaults", "--user=root", f"--datadir={self.data}", f"--socket={self.socket}",
                                 "--port=3306", "--bind-address=0.0.0.0", "--server-id=99", "--relay-log=relay",
                                 "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=2",
                                 f"--log-error={self.folder}/error.log", node="copy",
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.sql("SELECT 1", check=False), 30, "a replica that answers", every=0.1)
        self.sql("SET sql_log_bin=0; CREATE USER channel@'%' IDENTIFIED BY 'channel-demo';"
                 "GRANT REPLICATION SLAVE ADMIN, SLAVE MONITOR ON *.* TO channel@'%'")

    def sql(self, text, check=True):
        done = subprocess.run(self.lab.command("mariadb", "--no-defaults", "-N", "-B", "-uroot", f"--socket={self.socket}", "-e", text,
                                               node="copy"), capture_output=True, text=True, timeout=30)
        assert not check or done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()] if done.returncode == 0 else None

    def follow(self, host="10.0.1.10", port=3306):
        self.sql(f"CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='copy', MASTER_PASSWORD='copy-demo',"
                 "MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD=1; START SLAVE")

    def status(self):
        done = subprocess.run(self.lab.command("mariadb", "--no-defaults", "-uroot", f"--socket={self.socket}", "-e", "SHOW SLAVE STATUS\\G",
                                               node="copy"), capture_output=True, text=True, check=True).stdout
        return dict(re.findall(r"^\s*(\w+): ?(.*)$", done, re.M))

    def has(self, writer, sequence):
        return self.sql(f"SELECT 1 FROM orders.ledger WHERE writer={writer} AND sequence={sequence}", check=False)


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mariadb")
    with Lab(MARIADB_LAB) as lab:
        lab.wait_healthy()
        daemon = Daemon(lab, folder, MARIADB_CONFIG)
        wait_for(daemon.writer, 20, "a routed writer")
        lab.sql("10.0.1.10", "CREATE TABLE IF NOT EXISTS ledger (writer INT, sequence INT, PRIMARY KEY (writer, sequence))")
        copy = Copy(lab, tmp_path_factory.mktemp("copy"))
        copy.follow()
        daemon.wait_state("following", 30)
        yield lab, daemon, copy
        daemon.stop()
    shutil.rmtree(copy.folder, ignore_errors=True)


def write(lab, number, sequence, timeout=20):
    """A row through the endpoint, which refuses while there is no writer."""
    wait_for(lambda: lab.sql("10.0.1.10", f"INSERT INTO ledger VALUES ({number},{sequence})", check=False) is not None, timeout,
             f"row {number}/{sequence} written")


def fail_over(lab, daemon):
    lab.wait_healthy(60)
    former = daemon.writer()
    lab.ctl("kill", former)
    daemon.wait_for(lambda: daemon.writer() not in (None, False, former), 30, "another writer")
    return former


def test_a_replica_reads_again_within_seconds_after_each_of_three_kills(mariadb):
    lab, daemon, copy = mariadb
    assert copy.status()["Connect_Retry"] == "60"
    for sequence in range(1, 4):
        write(lab, 1, sequence * 2)
        fail_over(lab, daemon)
        write(lab, 1, sequence * 2 + 1)
        started = time.monotonic()
        daemon.wait_for(lambda: copy.has(1, sequence * 2 + 1), 15, "the row on the replica")
        print(f"row on the replica {time.monotonic() - started:.2f} s after its write")
        daemon.wait_state("following")
        assert not daemon.channel()["alarms"]
    resumed = [e["data"]["after_ms"] for e in daemon.journal("channel-resumed") if not e["data"]["again"]][1:]
    print("resumed after", resumed)
    assert len(resumed) == 3 and max(resumed) < 10_000, resumed
    assert daemon.journal("channel-restart"), "it came back by a restart, not by chance"
    assert copy.sql("SELECT count(*) FROM orders.ledger WHERE writer=1") == [["6"]]
    assert copy.status()["Slave_SQL_Running"] == "Yes"


def test_what_an_operator_stopped_stays_stopped_over_a_failover(mariadb):
    lab, daemon, copy = mariadb
    daemon.wait_state("following")
    copy.sql("STOP SLAVE")
    daemon.wait_state("stopped")
    fail_over(lab, daemon)
    write(lab, 2, 1)
    time.sleep(3)
    assert copy.status()["Slave_IO_Running"] == "No"
    assert "stopped by somebody" in daemon.alarm("channel-stopped")
    done = subprocess.run([SIGNALBOX, "channel", "status", "warehouse", "-c", daemon.config], capture_output=True, text=True)
    assert done.returncode == 1 and "stopped" in done.stdout and "alarm: warehouse: channel-stopped" in done.stdout
    copy.sql("START SLAVE")
    daemon.wait_state("following")
    daemon.wait_for(lambda: copy.has(2, 1), 10, "the row on the replica")
    assert not daemon.channel()["alarms"]


def test_a_half_dead_stream_is_found_and_restarted(mariadb):
    lab, daemon, copy = mariadb
    daemon.wait_state("following")
    before = len(daemon.journal("channel-half-dead"))
    # The stream's packets are dropped in both directions: both ends stay connected. New connections get through.
    ports = lab.exec("ss", "-Htn", "dst", "10.0.1.10:3306", node="copy").stdout.split("\n")
    port = re.search(rf"{COPY}:(\d+)", ports[0]).group(1)
    rules = (f"add table inet dead; add chain inet dead in {{ type filter hook input priority 0; }}; "
             f"add chain inet dead out {{ type filter hook output priority 0; }}; "
             f"add rule inet dead in tcp dport {port} drop; add rule inet dead out tcp sport {port} drop")
    lab.exec("nft", rules, node="copy")
    try:
        daemon.wait_for(lambda: len(daemon.journal("channel-half-dead")) > before, 20, "the half-dead stream found")
        assert copy.status()["Slave_IO_Running"] in ("Yes", "Connecting", "No")
        daemon.wait_state("following")
        write(lab, 3, 1)
        daemon.wait_for(lambda: copy.has(3, 1), 10, "the row on the replica")
    finally:
        lab.exec("nft", "delete table inet dead", node="copy")
    assert not daemon.channel()["alarms"]


def test_a_stream_whose_daemon_died_is_followed_by_the_next_one(mariadb):
    lab, daemon, copy = mariadb
    daemon.wait_state("following")
    daemon.process.kill()
    daemon.process.wait(10)
    daemon.start()
    daemon.wait_for(daemon.writer, 20, "a routed writer")
    write(lab, 4, 1)
    daemon.wait_for(lambda: copy.has(4, 1), 15, "the row on the replica, before its own retry")
    daemon.wait_state("following")


def test_a_replica_that_has_what_the_writer_lacks_is_left_alone_and_told_of(mariadb):
    lab, daemon, copy = mariadb
    daemon.wait_state("following")
    position = copy.sql("SELECT @@gtid_slave_pos")[0][0]
    domain, server, sequence = position.split(",")[0].split("-")
    beyond = f"{domain}-{server}-{int(sequence) + 1000}"
    copy.sql(f"STOP SLAVE; SET GLOBAL gtid_slave_pos='{beyond}'; START SLAVE")
    daemon.wait_state("diverged")
    assert beyond in daemon.alarm("channel-diverged")
    restarts = daemon.channel()["restarts"]
    fail_over(lab, daemon)
    write(lab, 5, 1)
    time.sleep(3)
    channel = daemon.channel()
    assert channel["state"] == "diverged" and channel["restarts"] == restarts
    assert copy.status()["Slave_IO_Running"] != "Yes"
    copy.sql(f"STOP SLAVE; SET GLOBAL gtid_slave_pos='{position}'; START SLAVE")
    daemon.wait_for(lambda: copy.has(5, 1), 20, "the row on the replica")
    daemon.wait_state("following")
    assert not daemon.channel()["alarms"]


def test_a_replica_that_does_not_read_through_the_endpoint_is_told_of(mariadb):
    lab, daemon, copy = mariadb
    daemon.wait_state("following")
    copy.sql("STOP SLAVE; CHANGE MASTER TO MASTER_HOST='10.0.1.5'; START SLAVE")
    try:
        daemon.wait_for(lambda: "not through endpoint 'w'" in daemon.alarm("channel-unfit"), 10, "the alarm")
    finally:
        copy.sql("STOP SLAVE; CHANGE MASTER TO MASTER_HOST='10.0.1.10'; START SLAVE")
    daemon.wait_state("following")


def psql(lab, host, text, user="app", password="app-demo", check=True):
    done = lab.exec("psql", "-XAtq", f"host={host} user={user} dbname=books connect_timeout=2", "-c", text, check=check,
                    env=dict(os.environ, PGPASSWORD=password))
    return done.stdout.strip() if done.returncode == 0 else None


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    with Lab(POSTGRES_LAB) as lab:
        lab.wait_healthy()
        daemon = Daemon(lab, tmp_path_factory.mktemp("postgres"), POSTGRES_CONFIG)
        wait_for(daemon.writer, 20, "a routed writer")
        psql(lab, "10.0.1.10", "CREATE TABLE entries (id int primary key)")
        yield lab, daemon
        daemon.stop()


def lsn(text):
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def test_a_slot_that_is_missing_and_then_recreated_after_a_failover_is_an_alarm_with_the_range(postgres, tmp_path):
    lab, daemon = postgres
    daemon.wait_for(lambda: "was never seen" in daemon.alarm("slot-missing"), 20, "the alarm for a slot that there is not")
    environment = dict(os.environ, PGPASSWORD="changes-demo")

    def reader():
        output = tmp_path / f"changes-{time.monotonic_ns()}"
        return lab.popen("pg_recvlogical", "-d", "host=10.0.1.10 user=changes dbname=books", "-S", "debezium", "--start", "-f", str(output),
                         "-s", "1", "-F", "1", env=environment, stderr=subprocess.DEVNULL), output

    make = "SELECT pg_create_logical_replication_slot('debezium', 'test_decoding')"
    assert psql(lab, "10.0.1.10", make, user="changes", password="changes-demo")
    process, output = reader()
    daemon.wait_state("following")
    assert not daemon.channel()["alarms"]
    psql(lab, "10.0.1.10", "INSERT INTO entries SELECT generate_series(1, 100)")
    daemon.wait_for(lambda: output.exists() and "id[integer]:100" in output.read_text(), 10, "the changes read")
    time.sleep(2.5)  # a reply each second, a look each second
    confirmed = daemon.channel()["slot_status"]["confirmed_lsn"]

    lab.wait_healthy(60)
    former = daemon.writer()
    lab.ctl("kill", former)
    daemon.wait_for(lambda: daemon.writer() not in (None, False, former), 30, "another writer")
    daemon.wait_state("missing")
    text = daemon.alarm("slot-missing")
    found = re.search(r"changes from (\S+) ", text)
    assert found and lsn(found.group(1)) >= lsn(confirmed), text
    process.kill()
    psql(lab, "10.0.1.10", "INSERT INTO entries VALUES (101)")

    assert psql(lab, "10.0.1.10", make, user="changes", password="changes-demo")
    process, output = reader()
    daemon.wait_state("following")
    text = daemon.alarm("slot-recreated")
    found = re.search(r"changes from (\S+) .* up to (\S+) ", text)
    assert found and lsn(found.group(1)) >= lsn(confirmed) and lsn(found.group(2)) > lsn(found.group(1)), text
    assert not daemon.alarm("slot-missing")

    # What was lost stays lost, whoever forgets it.
    daemon.stop()
    daemon.start()
    daemon.wait_for(lambda: daemon.alarm("slot-recreated") == text, 10, "the alarm again")
    subprocess.run([SIGNALBOX, "channel", "acknowledge", "cdc", "-c", daemon.config], check=True, capture_output=True)
    daemon.wait_for(lambda: not daemon.alarm("slot-recreated"), 5, "an end of the alarm")
    assert subprocess.run([SIGNALBOX, "channel", "acknowledge", "x", "-c", daemon.config], capture_output=True).returncode == 1
    process.kill()


def test_a_reader_that_is_connected_and_silent_is_half_dead(postgres, tmp_path):
    lab, daemon = postgres
    daemon.wait_for(lambda: not daemon.channel()["slot_status"]["active"], 20, "a slot without the former reader")
    pid_file = tmp_path / "pid"
    # With the server's default time-out of 60 s, not the lab's 3 s.
    where = "host=10.0.1.10 user=changes dbname=books options=-cwal_sender_timeout=60s"
    command = f"echo $$ > {pid_file}; exec pg_recvlogical -d '{where}' -S debezium --start -f {tmp_path}/changes -s 1"
    process = lab.popen("sh", "-c", command, env=dict(os.environ, PGPASSWORD="changes-demo"), stderr=subprocess.DEVNULL)
    daemon.wait_state("following", 30)
    pid = pid_file.read_text().strip()  # in the lab's own PID namespace
    lab.exec("kill", "-STOP", pid)
    try:
        daemon.wait_state("half-dead")
        assert "replied nothing" in daemon.alarm("channel-half-dead")
    finally:
        lab.exec("kill", "-CONT", pid)
    daemon.wait_state("following")
    process.kill()
