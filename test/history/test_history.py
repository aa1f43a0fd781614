"""Real servers fail over again and again under clients that keep a history; nothing acknowledged may be lost, nothing may be
written on a former writer through us, and no statement may run twice.

The failovers come in a random order; a failing run prints its seed. SIGNALBOX_HISTORY_SEED repeats it,
SIGNALBOX_HISTORY_FAILOVERS makes a run longer (per engine; `make soak` does).
"""

import calendar
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "integration"))
sys.path.insert(0, os.path.join(ROOT, "test", "history"))
import check  # noqa: E402  (the path comes first)
from lab_fixture import DEMO, SIGNALBOX, Lab, wait_for  # noqa: E402

CLIENT = os.environ.get("SIGNALBOX_HISTORY_CLIENT") or os.path.join(ROOT, "build/release/test/history_client")
SEED = int(os.environ.get("SIGNALBOX_HISTORY_SEED") or time.time_ns() % 1_000_000)
MEMBERS = ["orders-1", "orders-2", "orders-3"]

POSTGRESQL = DEMO.replace("port: 3306", "port: 5432").replace(
    "  - name: orders\n    databases", "  - name: orders\n    engine: postgresql\n    databases")
POSTGRESQL = POSTGRESQL.replace('grants: ["SLAVE MONITOR, BINLOG MONITOR, PROCESS, CONNECTION ADMIN ON *.*"]',
                                'grants: [pg_monitor, pg_signal_backend, REPLICATION]')
POSTGRESQL = POSTGRESQL.replace('"ALL ON orders.*"', '"ALL ON DATABASE orders"').replace(
    '"ALL ON signalbox_meter.*"', '"ALL ON DATABASE signalbox_meter"')

CONFIG = """
store: signalbox.db
api: {{listen: "unix:api.sock"}}
clusters:
  - name: orders
    engine: {engine}
    user: signalbox
    password_file: signalbox.password
    members:
{members}
endpoints:
  - {{name: stream, cluster: orders, listen: "10.0.1.10:{port}", hold: {{time: 60s, connections: 100}}}}
  - {{name: kernel, cluster: orders, mode: kernel, listen: "10.0.1.10:{other}"}}
"""


def seconds(text):
    """RFC 3339 with a fraction, as the journal writes it."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + text[19:-1] if text[19:-1] else 0)


class Run:
    """A lab, a daemon and clients in it."""

    def __init__(self, engine, folder, randomness):
        self.engine, self.folder, self.random = engine, str(folder), randomness
        self.postgresql = engine == "postgresql"
        self.port = 5432 if self.postgresql else 3306
        self.lab = Lab(POSTGRESQL if self.postgresql else DEMO, timeout=90)
        self.config = os.path.join(self.folder, "signalbox.yaml")
        self.history = os.path.join(self.folder, "history.jsonl")
        self.daemon = None

    def __enter__(self):
        self.lab.up()
        # What an operator does for kernel endpoints: the daemon reads it and never changes it.
        self.lab.exec("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        self.addresses = {name: member["address"].split(":")[0] for name, member in self.lab.members().items()}
        for user, password in (("signalbox", "signalbox-demo"), ("app", "app-demo")):
            with open(os.path.join(self.folder, user + ".password"), "w") as file:
                file.write(password + "\n")
        members = "\n".join(f'      - {{name: {name}, address: "{self.addresses[name]}:{self.port}"}}' for name in MEMBERS)
        with open(self.config, "w") as file:
            file.write(CONFIG.format(engine=self.engine, members=members, port=self.port, other=self.port + 1))
        self.log = open(os.path.join(self.folder, "serve.log"), "a")
        self.start_daemon()
        return self

    def __exit__(self, *_):
        self.lab.down()

    # The daemon.
    def start_daemon(self):
        self.daemon = self.lab.popen(SIGNALBOX, "serve", "-c", self.config, stdout=subprocess.PIPE, stderr=self.log)
        line = self.daemon.stdout.readline()
        assert line.startswith("ready:"), line + open(self.log.name).read()[-3000:]

    def kill_daemon(self):
        # The program runs on a node: its own process is the child of the command that brought it there.
        subprocess.run(["pkill", "-KILL", "-f", f"signalbox serve -c {self.config}"], check=False)
        self.daemon.wait()

    def status(self):
        done = subprocess.run([SIGNALBOX, "cluster", "status", "-c", self.config, "--output", "json"], capture_output=True, text=True)
        # A daemon that has just begun to answer may have nothing to say yet.
        clusters = json.loads(done.stdout)["clusters"] if done.returncode in (0, 1) else []
        return clusters[0] if clusters else {}

    def journal(self):
        done = subprocess.run([SIGNALBOX, "journal", "-c", self.config, "--output", "json", "--limit", "100000"],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["items"]

    def last_sequence(self):
        return self.journal()[-1]["sequence"]

    def wait_routed(self, after=0, timeout=60):
        """Until a writer is routed; with `after`, until that happened anew since that entry of the journal. The same member
        may go on in the same epoch: it came back as the writer and never said that it was none."""
        def routed():
            cluster = self.status()
            if cluster.get("state") != "following":
                return None
            anew = not after or any(e["kind"] == "routed" and e["sequence"] > after for e in self.journal())
            return cluster if anew else None
        try:
            return wait_for(routed, timeout, f"a route after entry {after} of the journal", every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status())[:4000]}\n{open(self.log.name).read()[-3000:]}") from None

    # The servers.
    def sql(self, host, statements, check_it=True):
        """Rows as lists of text, straight from a server or an endpoint."""
        if self.postgresql:
            done = self.lab.exec("psql", "-X", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", str(self.port),
                                 "-U", "app", "-d", "orders", "-c", statements, check=check_it, timeout=60,
                                 env=dict(os.environ, PGPASSWORD="app-demo", PGCONNECT_TIMEOUT="5"))
            return [line.split("\t") for line in done.stdout.splitlines()]
        done = self.lab.exec("mariadb", "--no-defaults", "--connect-timeout=5", "-N", "-B", "-h", host, "-u", "app", "orders",
                             "-e", statements, check=check_it, timeout=60, env=dict(os.environ, MYSQL_PWD="app-demo"))
        return [line.split("\t") for line in done.stdout.splitlines()]

    def make_tables(self):
        self.wait_routed()
        if self.postgresql:
            self.sql("10.0.1.10", "CREATE TABLE history_set (id bigint, server text, at timestamptz)")
            self.sql("10.0.1.10", "CREATE INDEX history_set_at ON history_set (at)")
            self.sql("10.0.1.10", "CREATE TABLE history_list (name text PRIMARY KEY, items text)")
        else:
            self.sql("10.0.1.10", "CREATE TABLE history_set (id BIGINT, server TEXT, at DATETIME(6), KEY (at));"
                                  "CREATE TABLE history_list (name VARCHAR(40) PRIMARY KEY, items LONGTEXT)")

    def start_clients(self, count=8):
        members = [part for name in MEMBERS for part in ("--member", f"{name}={self.addresses[name]}:{self.port}")]
        self.clients = self.lab.popen(
            CLIENT, "--engine", "postgresql" if self.postgresql else "mysql", "--user", "app", "--password-file",
            os.path.join(self.folder, "app.password"), "--database", "orders", "--endpoint", f"10.0.1.10:{self.port}",
            "--endpoint", f"10.0.1.10:{self.port + 1}", "--history", self.history, "--clients", str(count), *members, node="client")

    def stop_clients(self):
        subprocess.run(["pkill", "-TERM", "-f", f"history_client .*{self.history}"], check=False)
        self.clients.wait(60)

    # The faults. Each leaves everything mended; a new epoch is expected after it.
    def writer(self):
        return self.status()["writer"]

    def kill(self):
        self.lab.ctl("kill", self.writer())

    def kill_unacknowledged(self):
        """The readers are cut off first, so that writes are under way on the writer that nobody will ever acknowledge."""
        writer = self.writer()
        readers = [name for name in MEMBERS if name != writer]
        for reader in readers:
            self.lab.ctl("blackhole", reader)
        time.sleep(0.2)
        self.lab.ctl("kill", writer)
        for reader in readers:
            self.lab.ctl("heal", reader)

    def pause(self):
        writer = self.writer()
        last = self.last_sequence()
        self.lab.ctl("pause", writer)
        self.wait_routed(last)
        self.lab.ctl("resume", writer, check=False)  # the controller may have started it anew already

    def blackhole(self):
        writer = self.writer()
        last = self.last_sequence()
        self.lab.ctl("blackhole", writer)
        self.wait_routed(last)
        self.lab.ctl("heal", writer)

    def planned(self):
        self.lab.ctl("failover", "orders")

    def planned_there_and_back(self):
        """The second one begins while the first is hardly over."""
        first = self.writer()
        self.lab.ctl("failover", "orders")
        self.lab.ctl("failover", "orders", "--to", first, check=False)

    def kill_within(self):
        """A second failover inside the first."""
        self.lab.ctl("kill", self.writer())
        time.sleep(self.random.uniform(0, 0.3))
        writer = next((name for name, member in self.lab.members().items() if member["role"] == "writer"), None)
        if writer:
            self.lab.ctl("kill", writer, check=False)

    def kill_with_daemon(self):
        """The follower dies at a random moment of the switch and comes back."""
        self.lab.ctl("kill", self.writer())
        time.sleep(self.random.uniform(0, 0.25))
        self.kill_daemon()
        time.sleep(self.random.uniform(0, 0.5))
        self.start_daemon()

    def everybody_away(self):
        """No packet from or to anybody for a while; then all are back, and the writer is killed."""
        for name in MEMBERS:
            self.lab.ctl("blackhole", name)
        time.sleep(1.0)
        for name in MEMBERS:
            self.lab.ctl("heal", name)
        self.wait_routed()
        self.kill()

    def same_again(self):
        """Nobody can take over: the same member is elected again."""
        writer = self.writer()
        readers = [name for name in MEMBERS if name != writer]
        for reader in readers:
            self.lab.ctl("kill", reader, "--stay-down")
        time.sleep(0.5)
        self.lab.ctl("kill", writer)
        time.sleep(0.5)
        for reader in readers:
            self.lab.ctl("start", reader)

    def fail_over(self, fault):
        self.lab.wait_healthy(90)
        self.wait_routed()
        time.sleep(self.random.uniform(0.1, 0.6))
        last = self.last_sequence()
        getattr(self, fault)()
        self.wait_routed(last, timeout=90)

    # The end.
    def rows(self, member):
        at = "extract(epoch from at)" if self.postgresql else "UNIX_TIMESTAMP(at)"
        return [{"id": int(row[0]), "server": row[1], "at": float(row[2])}
                for row in self.sql(self.addresses[member], f"SELECT id, server, {at} FROM history_set")]

    def lists(self, member):
        return {row[0]: row[1].split(",") if len(row) > 1 and row[1] else []
                for row in self.sql(self.addresses[member], "SELECT name, items FROM history_list")}

    def same_everywhere(self):
        def same():
            counts = [self.sql(self.addresses[name], "SELECT count(*) FROM history_set", check_it=False) for name in MEMBERS]
            return counts[0] and all(count == counts[0] for count in counts)
        wait_for(same, 60, "the same rows on every member", every=0.5)

    def judge(self):
        self.stop_clients()
        self.lab.wait_healthy(120)
        self.wait_routed()
        self.same_everywhere()
        writer = self.writer()
        rows, lists = self.rows(writer), self.lists(writer)
        for name in MEMBERS:
            assert sorted(row["id"] for row in self.rows(name)) == sorted(row["id"] for row in rows), f"{name} differs from {writer}"
        operations, seen = check.load(self.history)
        journal = self.journal()
        epochs = check.Epochs([(seconds(entry["at"]), entry["data"]["member"]) for entry in journal if entry["kind"] == "epoch-active"])
        if self.postgresql:
            member_of = {self.addresses[name]: name for name in MEMBERS}
        else:
            member_of = {self.sql(self.addresses[name], "SELECT @@server_id")[0][0]: name for name in MEMBERS}
        verdict = check.Verdict()
        check.check_set(operations, rows, seen, verdict)
        check.check_lists(operations, lists, verdict)
        check.check_epochs(rows, operations, epochs, member_of, verdict)
        return verdict, epochs, operations


FAULTS = ["kill", "kill_unacknowledged", "pause", "blackhole", "planned", "planned_there_and_back", "kill_within",
          "kill_with_daemon", "everybody_away", "same_again"]


@pytest.mark.parametrize("engine,failovers", [("mariadb", 40), ("postgresql", 20)])
def test_nothing_acknowledged_is_lost_and_no_former_writer_is_written(engine, failovers, tmp_path):
    failovers = int(os.environ.get("SIGNALBOX_HISTORY_FAILOVERS") or failovers)
    seed = SEED if engine == "mariadb" else SEED + 1
    print(f"replay with SIGNALBOX_HISTORY_SEED={SEED}", flush=True)
    randomness = random.Random(seed)
    with Run(engine, tmp_path, randomness) as run:
        run.make_tables()
        run.start_clients()
        order = []
        for index in range(failovers):
            if not order:
                order = FAULTS[:]
                randomness.shuffle(order)
            fault = order.pop()
            began = time.monotonic()
            run.fail_over(fault)
            print(f"{index + 1:3} {fault}: {time.monotonic() - began:.1f} s, epoch {run.status()['epoch']}", flush=True)
        verdict, epochs, operations = run.judge()
        print(f"{len(epochs.active)} epochs; {dict(verdict.counts)}", flush=True)
        assert not verdict.violations, f"seed {SEED}\n" + "\n".join(verdict.violations)
        assert len(epochs.active) > failovers // 2  # the others were answered by the same member again
        assert verdict.counts["set-ok"] > 50 * failovers and verdict.counts["append-ok"] > 50 * failovers
        # Each endpoint carried its part.
        for endpoint in {entry["endpoint"] for entry in operations}:
            good = sum(entry["endpoint"] == endpoint and entry["outcome"] == "ok" for entry in operations)
            print(f"{endpoint}: {good} ok", flush=True)
        assert len({entry["endpoint"] for entry in operations if entry["outcome"] == "ok"}) == 2
        # A history without doubt proves nothing: the faults must have hit writes under way.
        assert verdict.counts["set-unknown"] > 0 and verdict.counts["unknown-did-not-happen"] > 0
        if engine == "mariadb":
            assert verdict.counts["rolled-back"] > 0


def test_the_judge_sees_what_is_wrong():
    """The checks can fail: each kind of fault in a made-up history is found."""
    def history(*entries):
        return [dict({"op": "set", "sent": 1.0, "done": 1.1, "server": "1"}, **entry) for entry in entries]
    row = {"id": 1, "server": "1", "at": 1.05}
    epochs = check.Epochs([(0.5, "a"), (2.0, "b")])
    member_of = {"1": "a", "2": "b"}

    def kinds(operations, rows, lists=None, seen=None):
        verdict = check.Verdict()
        check.check_set(operations, rows, seen or {}, verdict)
        check.check_lists(operations, lists or {}, verdict)
        check.check_epochs(rows, operations, epochs, member_of, verdict)
        return sorted(text.split(":")[0] for text in verdict.violations)

    ok = history({"id": 1, "outcome": "ok"})
    assert kinds(ok, [row]) == []
    assert kinds(ok, []) == ["lost"]
    assert kinds(ok, [row, row]) == ["twice"]
    assert kinds(history({"id": 1, "outcome": "failed"}), [row]) == ["refused-and-there"]
    assert kinds(history({"id": 1, "outcome": "unknown"}), []) == []
    assert kinds(ok, [], seen={1: {"a"}}) == ["acknowledged-and-rolled-back", "lost"]
    assert kinds(history(), [row]) == ["invented"]
    assert kinds(history({"id": 1, "outcome": "unknown"}), [dict(row, at=2.5)]) == ["former-writer"]
    assert kinds(history({"id": 1, "outcome": "ok", "sent": 2.1, "done": 2.2}), [row]) == ["former-writer"]
    append = {"op": "append", "key": "k", "id": 7, "outcome": "ok", "read_size": 1, "read_last": "5"}
    assert kinds(history(append), [], {"k": ["5", "7"]}) == []
    assert kinds(history(append), [], {"k": ["6", "7"]}) == ["not-a-prefix"]
    assert kinds(history(append), [], {"k": ["5", "9", "7"]}) == ["not-a-prefix"]
    assert kinds(history(append), [], {"k": ["5"]}) == ["lost"]
