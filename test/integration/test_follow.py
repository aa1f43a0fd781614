"""`signalbox serve` in a real lab: failovers of every kind, restarts at bad moments, limits, the API, one clear line for each fault."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from lab_fixture import LAB, SIGNALBOX, Lab, wait_for

ENDPOINT = "10.0.1.10"
ADDRESSES = {"orders-1": "10.0.1.5", "orders-2": "10.0.2.6", "orders-3": "10.0.1.6"}

CONFIG = """
store: signalbox.db
api: {listen: "unix:api.sock"}
shards: 2
clusters:
  - name: orders
    user: signalbox
    password_file: password
    members:
      - {name: orders-1, address: 10.0.1.5:3306}
      - {name: orders-2, address: 10.0.2.6:3306}
      - {name: orders-3, address: 10.0.1.6:3306}
endpoints:
  - {name: w, cluster: orders, listen: 10.0.1.10:3306, hold: {time: 30s, connections: 100}}
"""

# Keeps a session through the endpoint; prints "up ID" when it has one and "down CODE" when it ended.
SESSION = r"""
import subprocess, sys, time
p = subprocess.Popen(["mariadb", "--no-defaults", "-N", "-B", "--unbuffered", "-h", "10.0.1.10", "-uapp", "orders"],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
def ask(sql):
    p.stdin.write(sql + "\n"); p.stdin.flush()
    # Before an error the client repeats the statement between lines of dashes.
    for _ in range(8):
        line = p.stdout.readline()
        if not line or not (line.isspace() or line.startswith("--") or line.strip() == sql.strip(";")):
            return line.strip()
    return ""
print("up", ask("select concat(@@server_id, ':', connection_id());"), flush=True)
for line in sys.stdin:
    print(ask(line.strip()), flush=True)
"""


class Daemon:
    def __init__(self, lab, folder, config=CONFIG, wait=True):
        self.lab, self.folder = lab, str(folder)
        self.config = os.path.join(self.folder, "signalbox.yaml")
        self.write(config)
        with open(os.path.join(self.folder, "password"), "w") as file:
            file.write("signalbox-demo\n")
        self.process = None
        self.start(wait)

    def write(self, config):
        with open(self.config, "w") as file:
            file.write(config)

    def start(self, wait=True):
        self.log = open(os.path.join(self.folder, "log"), "a")
        self.process = self.lab.popen(SIGNALBOX, "serve", "-c", self.config, stdout=subprocess.PIPE, stderr=self.log)
        if wait:
            line = self.process.stdout.readline()
            assert line.startswith("ready: endpoint w on 10.0.1.10:3306,"), line + self.logged()
            self.wait_routed()

    def logged(self):
        with open(os.path.join(self.folder, "log")) as file:
            return file.read()

    def status(self, check=True):
        done = subprocess.run([SIGNALBOX, "cluster", "status", "-c", self.config, "--output", "json"], capture_output=True, text=True)
        if done.returncode not in (0, 1):
            assert not check, done.stderr
            return None
        return json.loads(done.stdout)

    def cluster(self):
        status = self.status(check=False)
        # A daemon that has just begun to answer may have nothing to say yet.
        return status["clusters"][0] if status and status["clusters"] else {}

    def endpoint(self):
        return self.status()["endpoints"][0]

    def wait_routed(self, timeout=20, other_than=None):
        def routed():
            cluster = self.cluster()
            return cluster.get("state") == "following" and cluster["writer"] != other_than and cluster["writer"]
        try:
            return wait_for(routed, timeout, "a routed writer", every=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.cluster())[:3000]}\n{self.logged()[-3000:]}") from None

    def journal(self, *arguments):
        done = subprocess.run([SIGNALBOX, "journal", "-c", self.config, "--output", "json", "--limit", "10000", *arguments],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["items"]

    def get(self, path, token=None):
        if token is None:
            with open(os.path.join(self.folder, "signalbox.db.token")) as file:
                token = file.read().strip()
        done = subprocess.run(["curl", "-sS", "-m", "5", "--unix-socket", os.path.join(self.folder, "api.sock"), "-H",
                               f"Authorization: Bearer {token}", "-w", "\n%{http_code}", "http://signalbox" + path],
                              capture_output=True, text=True, check=True)
        body, code = done.stdout.rsplit("\n", 1)
        return int(code), body

    def pid(self):
        return self.process.pid

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(10)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(10) == 0, self.logged()


class Session:
    """A session that stays open through the endpoint."""

    def __init__(self, lab):
        self.process = lab.popen("/usr/bin/python3", "-c", SESSION, stdin=subprocess.PIPE, stdout=subprocess.PIPE, node="client",
                                 env=dict(os.environ, MYSQL_PWD="app-demo"), bufsize=1)
        self.first = self.process.stdout.readline().strip()
        assert self.first.startswith("up "), self.first

    def ask(self, statement):
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


def through(lab, statements="select @@server_id", check=True, timeout=40, connect_timeout=35):
    """(seconds, return code, output, error) of a client through the endpoint."""
    began = time.monotonic()
    done = lab.exec("mariadb", "--no-defaults", f"--connect-timeout={connect_timeout}", "-N", "-B", "-h", ENDPOINT, "-uapp", "orders",
                    "-e", statements, node="client", check=check, timeout=timeout, env=dict(os.environ, MYSQL_PWD="app-demo"))
    return time.monotonic() - began, done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture
def daemon(lab, tmp_path):
    lab.wait_healthy(60)
    daemon = Daemon(lab, tmp_path)
    yield daemon
    daemon.stop()


def first_direct_write(lab, former, timeout=30):
    """When (monotonic) another member than the former writer first took a write."""
    others = [name for name in ADDRESSES if name != former]
    code = ("import subprocess,sys,time\n"
            "deadline=time.monotonic()+%f\n"
            "while time.monotonic()<deadline:\n"
            "  for h in %r:\n"
            "    r=subprocess.run(['mariadb','--no-defaults','--connect-timeout=1','-h',h,'-uapp','orders','-e',"
            "'create table if not exists direct (i int); insert into direct values (1)'],capture_output=True)\n"
            "    if r.returncode==0: print(time.monotonic()); sys.exit()\n"
            "  time.sleep(0.002)\n") % (timeout, [ADDRESSES[name] for name in others])
    return lab.popen("/usr/bin/python3", "-c", code, stdout=subprocess.PIPE, node="ops", env=dict(os.environ, MYSQL_PWD="app-demo"))


def test_a_killed_writers_sessions_end_and_a_held_client_gets_the_next_one(lab, daemon):
    former = daemon.cluster()["writer"]
    epoch = daemon.cluster()["epoch"]
    session = Session(lab)
    direct = first_direct_write(lab, former)
    lab.ctl("kill", former)
    broken = time.monotonic()
    assert "ERROR" in session.ask("select 1;")
    assert time.monotonic() - broken < 1, "a session of a dead server must end at once"
    seconds, _, output, _ = through(lab, "create table if not exists via (i int); insert into via values (1); select @@server_id")
    ended = time.monotonic()
    excess_ms = (ended - float(direct.stdout.readline())) * 1000
    print(f"held {seconds:.3f} s, excess {excess_ms:.0f} ms (with the start of a client program)")
    assert daemon.cluster()["writer"] != former
    assert daemon.cluster()["epoch"] == epoch + 1
    assert excess_ms < 1500
    kinds = [entry["kind"] for entry in daemon.journal("--subject", "orders") if entry.get("epoch") == epoch + 1]
    order = [kinds.index(kind) for kind in ("epoch-intent", "fenced", "epoch-active", "routed")]
    assert order == sorted(order)


def test_a_planned_switch_fences_busy_sessions_and_the_former_writer_returns_as_a_reader(lab, daemon):
    former = daemon.cluster()["writer"]
    sessions = [Session(lab) for _ in range(5)]
    lab.ctl("failover", "orders")
    writer = daemon.wait_routed(30, other_than=former)
    began = time.monotonic()
    assert all("ERROR" in session.ask("select 1;") for session in sessions)
    assert time.monotonic() - began < 2
    assert through(lab, "select @@read_only")[2] == "0"
    lab.wait_healthy(60)
    time.sleep(0.5)
    roles = {member["name"]: member["role"] for member in daemon.cluster()["members"]}
    assert roles[former] == "reader" and roles[writer] == "writer"
    assert daemon.cluster()["writer"] == writer


@pytest.mark.parametrize("fault, remedy", [("pause", "resume"), ("blackhole", "heal")])
def test_a_writer_that_falls_silent_is_noticed_and_its_sessions_end_when_there_is_another(lab, daemon, fault, remedy):
    former = daemon.cluster()["writer"]
    session = Session(lab)
    began = time.monotonic()
    lab.ctl(fault, former)
    wait_for(lambda: daemon.cluster()["held"], 5, "the hold", every=0.01)
    print(f"{fault}: held after {(time.monotonic() - began) * 1000:.0f} ms, the commands' own time included")
    try:
        daemon.wait_routed(30, other_than=former)
        began = time.monotonic()
        assert "ERROR" in session.ask("select 1;")
        assert time.monotonic() - began < 2
        assert through(lab)[1] == 0
    finally:
        lab.ctl(remedy, former, check=False)
    lab.wait_healthy(90)


def test_a_daemon_that_is_killed_forgets_nothing_and_never_routes_to_a_former_writer(lab, daemon):
    for _ in range(4):
        before = daemon.journal()
        epoch, former = daemon.cluster()["epoch"], daemon.cluster()["writer"]
        daemon.kill()
        lab.ctl("failover", "orders")
        lab.wait_healthy(60)
        daemon.start()
        # Fenced at the start: whoever got through from the first moment on was not led to the former writer.
        assert through(lab, "select @@read_only")[2] == "0"
        assert daemon.cluster()["writer"] != former
        assert daemon.cluster()["epoch"] == epoch + 1
        after = daemon.journal()
        assert after[:len(before)] == before


def test_a_daemon_killed_in_the_middle_of_switches_ends_up_right(lab, daemon):
    seed = int(os.environ.get("SIGNALBOX_SEED", str(random.randrange(10**6))))
    print(f"SIGNALBOX_SEED={seed}")
    chance = random.Random(seed)
    epochs = []
    for _ in range(4):
        former = daemon.cluster()["writer"]
        switch = subprocess.Popen([LAB, "failover", "orders", "--name", lab.name], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, 1.5))
        daemon.kill()
        daemon.start(wait=False)
        assert switch.wait(60) == 0
        writer = daemon.wait_routed(30, other_than=former)
        assert writer == lab.writer_name()
        assert through(lab, "select @@read_only")[2] == "0"
        epochs.append(daemon.cluster()["epoch"])
        lab.wait_healthy(60)
    assert epochs == sorted(set(epochs)), "an epoch is never used twice"


def test_a_second_daemon_on_the_same_store_is_refused(lab, daemon):
    done = lab.exec(SIGNALBOX, "serve", "-c", daemon.config, check=False)
    assert done.returncode == 1
    assert "another signalbox, process" in done.stderr and "serves with this store" in done.stderr


def test_a_reload_keeps_sessions_and_a_bad_one_changes_nothing(lab, daemon):
    session = Session(lab)
    mine = session.first.split()[1]
    daemon.write(CONFIG.replace("30s", "1s") + "  - {name: second, cluster: orders, listen: 10.0.1.10:3307}\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(daemon.status()["endpoints"]) == 2, 10, "the second endpoint")
    assert session.ask("select concat(@@server_id, ':', connection_id());") == mine
    # Members that stay keep what is known of them: no new epoch, no moment without a writer.
    epoch = daemon.cluster()["epoch"]
    daemon.write(CONFIG.replace("    user: signalbox", "    probe: {calm: 200ms}\n    user: signalbox"))
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(daemon.status()["endpoints"]) == 1, 10, "the second endpoint's end")
    assert session.ask("select concat(@@server_id, ':', connection_id());") == mine
    daemon.write(CONFIG + "colour: blue\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reload refused" in daemon.logged(), 10, "the refusal")
    assert "unknown key 'colour'" in daemon.logged()
    assert session.ask("select concat(@@server_id, ':', connection_id());") == mine
    daemon.write(CONFIG)
    assert daemon.cluster()["epoch"] == epoch
    assert through(lab)[1] == 0


def test_sigterm_ends_it_cleanly(lab, daemon):
    session = Session(lab)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(5) == 0
    assert "ERROR" in session.ask("select 1;")
    done = subprocess.run([SIGNALBOX, "journal", "-c", daemon.config, "--kind", "daemon-stop"], capture_output=True, text=True)
    assert "daemon-stop" in done.stdout
    assert "reading the store" in done.stderr
    assert subprocess.run([SIGNALBOX, "cluster", "status", "-c", daemon.config], capture_output=True).returncode == 3


def test_held_clients_are_bounded_in_time_and_number(lab, tmp_path):
    # A cluster whose members are away: nobody listens on these addresses.
    config = CONFIG.replace(":3306}\n      - {name: orders-2", ":4001}\n      - {name: orders-2").replace(
        "10.0.2.6:3306", "10.0.2.6:4001").replace("10.0.1.6:3306", "10.0.1.6:4001").replace(
        "{time: 30s, connections: 100}", "{time: 2s, connections: 2}")
    daemon = Daemon(lab, tmp_path, config, wait=False)
    try:
        wait_for(lambda: daemon.status(check=False), 10, "the API")
        waiting = [lab.popen("mariadb", "--no-defaults", "-h", ENDPOINT, "-uapp", "-e", "select 1", node="client",
                             stderr=subprocess.PIPE) for _ in range(2)]
        wait_for(lambda: daemon.endpoint()["held"] == 2, 2, "two held clients")
        seconds, code, _, error = through(lab, check=False)
        assert code == 1 and seconds < 1
        assert "1040" in error and "holds 2 clients, its hold.connections" in error
        for client in waiting:
            _, error = client.communicate(timeout=10)
            assert "1053" in error and "cluster 'orders' has no writer" in error and "2s" in error
        left = lab.popen("mariadb", "--no-defaults", "-h", ENDPOINT, "-uapp", "-e", "select 1", node="client")
        wait_for(lambda: daemon.endpoint()["held"] == 1, 2, "a held client")
        os.kill(left.pid, signal.SIGKILL)
        wait_for(lambda: daemon.endpoint()["held"] == 0, 1, "its leave")
        done = subprocess.run([SIGNALBOX, "cluster", "status", "orders", "-c", daemon.config], capture_output=True, text=True)
        assert done.returncode == 1 and "held" in done.stdout
    finally:
        daemon.stop()


def test_the_api_asks_for_its_token(lab, daemon):
    token_file = os.path.join(daemon.folder, "signalbox.db.token")
    assert os.stat(token_file).st_mode & 0o777 == 0o600
    assert daemon.get("/v1/health", token="")[0] == 200
    for path in ("/v1/status", "/v1/journal", "/metrics"):
        code, body = daemon.get(path, token="wrong")
        assert code == 401 and json.loads(body)["error"]["kind"] == "permission denied"
        assert daemon.get(path)[0] == 200
    assert daemon.get("/v1/journal?limit=0")[0] == 400
    assert daemon.get("/v1/nothing")[0] == 404
    metrics = daemon.get("/metrics")[1]
    assert 'signalbox_cluster_writer_known{cluster="orders"} 1' in metrics
    assert daemon.logged().find("signalbox-demo") == -1


def test_a_refused_login_names_member_user_and_code(lab, tmp_path):
    daemon = Daemon(lab, tmp_path, CONFIG.replace("user: signalbox", "user: stranger"), wait=False)
    try:
        wait_for(lambda: "1045" in daemon.logged(), 10, "the refusal in the log")
        line = next(line for line in daemon.logged().splitlines() if "1045" in line)
        assert "cluster orders: member orders-" in line and "user 'stranger'" in line
        assert "signalbox-demo" not in daemon.logged()
        assert daemon.cluster()["held"]
    finally:
        daemon.stop()


def test_an_address_in_use_is_one_clear_line(lab, daemon, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    other = Daemon(lab, folder, CONFIG, wait=False)
    assert other.process.wait(10) == 3
    assert "endpoint 'w': can't listen on 10.0.1.10:3306: Address already in use" in other.logged()
