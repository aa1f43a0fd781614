"""A lab for a test: up from a YAML text under a name of its own, always down again, also when the test fails or dies.

    with Lab(DEMO) as lab:
        lab.ctl("kill", "orders-1")
        lab.sql("orders.cluster.lab", "select 1")

Run as a program it is a writer that keeps a ledger (see `Lab.writer`).
"""

import atexit
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAB = os.environ.get("SIGNALBOX_LAB_BIN") or os.path.join(ROOT, "build/release/signalbox-lab")
SIGNALBOX = os.environ.get("SIGNALBOX_BIN") or os.path.join(ROOT, "build/release/signalbox")
DEMO = open(os.path.join(ROOT, "examples/demo/lab.yaml")).read()

_labs = []
_count = 0


def _clear_up_after_dead_tests():
    for directory in glob.glob("/run/signalbox-lab/test-*"):
        match = re.fullmatch(r"test-(\d+)-\d+", os.path.basename(directory))
        if match and not os.path.exists("/proc/" + match.group(1)):
            subprocess.run([LAB, "down", "--name", os.path.basename(directory)], check=False)


def wait_for(condition, timeout=10.0, what="the condition", every=0.02):
    """Returns the first true value of condition(); fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout} s"
        time.sleep(every)


class Lab:
    """One lab. `text` is a lab file's text; the name that it holds is replaced."""

    def __init__(self, text=DEMO, timeout=60):
        global _count
        _count += 1
        self.name = f"test-{os.getpid()}-{_count}"
        self.file = f"/tmp/{self.name}.yaml"
        self.timeout = timeout
        self._processes = []
        with open(self.file, "w") as file:
            file.write(text)

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    @property
    def directory(self):
        return f"/run/signalbox-lab/{self.name}"

    @property
    def api_socket(self):
        return self.directory + "/api.sock"

    def up(self):
        _clear_up_after_dead_tests()
        _labs.append(self)
        result = subprocess.run([LAB, "up", self.file, "--name", self.name, "--timeout", f"{self.timeout}s"],
                                capture_output=True, text=True)
        assert result.returncode == 0, result.stderr

    def down(self):
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        subprocess.run([LAB, "down", "--name", self.name], check=False)
        if self in _labs:
            _labs.remove(self)
        if os.path.exists(self.file):
            os.unlink(self.file)

    def ctl(self, *arguments, check=True):
        """signalbox-lab ARGUMENTS for this lab; the completed process, with its output as text."""
        result = subprocess.run([LAB, *arguments, "--name", self.name], capture_output=True, text=True)
        assert not check or result.returncode == 0, f"{arguments}: {result.stderr}"
        return result

    def status(self):
        return json.loads(self.ctl("status", "--output", "json").stdout)

    def members(self):
        """Every member's status by its name."""
        return {m["id"]: m for cluster in self.status()["clusters"] for m in cluster["members"]}

    def writer_name(self):
        return next((name for name, m in self.members().items() if m["role"] == "writer" and m["state"] == "available"), None)

    def wait_healthy(self, timeout=30):
        """Until every member is available: one writer, the others follow it."""
        def healthy():
            members = self.members().values()
            return all(m["state"] == "available" for m in members) and [m["role"] for m in members].count("writer") == 1
        wait_for(healthy, timeout, "a healthy cluster", every=0.1)

    def command(self, *command, node="ops"):
        return [LAB, "exec", "--name", self.name, "--node", node, "--", *command]

    def exec(self, *command, node="ops", check=True, timeout=60, **options):
        """Runs a command on a node to its end."""
        result = subprocess.run(self.command(*command, node=node), capture_output=True, text=True, timeout=timeout, **options)
        assert not check or result.returncode == 0, f"{command}: {result.returncode}: {result.stderr}"
        return result

    def popen(self, *command, node="ops", **options):
        """Starts a command on a node; it is killed when the lab goes down."""
        process = subprocess.Popen(self.command(*command, node=node), text=True, **options)
        self._processes.append(process)
        return process

    def sql(self, host, statements, user="app", password="app-demo", database="orders", node="ops", check=True, timeout=20):
        """Runs statements on a member or name (without a dot: "orders-1" is "orders-1.lab"); rows as lists of text."""
        host = host if "." in host else host + ".lab"
        environment = dict(os.environ, MYSQL_PWD=password)
        result = self.exec("mariadb", "--no-defaults", "--connect-timeout=2", "-N", "-B", "-h", host, "-u", user, database,
                           "-e", statements, node=node, check=check, timeout=timeout, env=environment)
        if result.returncode != 0:
            return None
        return [line.split("\t") for line in result.stdout.splitlines()]

    def psql(self, host, statements, user="app", password="app-demo", database="orders", node="ops", check=True, timeout=20, options=""):
        """The same for PostgreSQL. `options`: more of libpq's parameters, as "sslmode=require"."""
        host = host if "." in host else host + ".lab"
        result = self.exec("psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                           f"host={host} user={user} dbname={database} connect_timeout=2 {options}", "-c", statements, node=node,
                           check=check, timeout=timeout, env=dict(os.environ, PGPASSWORD=password))
        if result.returncode != 0:
            return None
        return [line.split("\t") for line in result.stdout.splitlines()]

    def api(self, method, path, body=None, timeout=40):
        """A call of the lab's API as the product makes it: (status, JSON)."""
        command = ["curl", "-sS", "--unix-socket", self.api_socket, "-X", method, "-m", str(timeout), "-w", "\n%{http_code}",
                   "http://lab" + path]
        if body is not None:
            command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        text, status = output.rsplit("\n", 1)
        return int(status), json.loads(text)

    def items(self, path):
        status, body = self.api("GET", path)
        assert status == 200, body
        return body["items"]

    def writer(self, number, ledger, node="ops", host="orders.cluster.lab", engine="mariadb"):
        """A client that inserts (writer, sequence) rows one after the other and notes in `ledger` what was acknowledged."""
        return self.popen("/usr/bin/python3", os.path.abspath(__file__), str(number), ledger, host, engine, node=node,
                          stderr=subprocess.DEVNULL)


def _end_all(*_):
    for lab in list(_labs):
        lab.down()


atexit.register(_end_all)
for _number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, lambda number, _: sys.exit(128 + number))


CLIENTS = {
    "mariadb": ["mariadb", "--no-defaults", "--connect-timeout=1", "--unbuffered", "-N", "-B", "-h", "{host}", "-u", "app", "orders"],
    "postgresql": ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "host={host} user=app dbname=orders connect_timeout=2"],
}


def read_ledgers(files):
    """(acknowledged, sent) of writers' ledgers, as sets of (writer's number, sequence), all text."""
    acknowledged, sent = set(), set()
    for i, file in enumerate(files):
        for line in open(file):
            word, sequence = line.split()
            (acknowledged if word == "ok" else sent).add((str(i), sequence))
    return acknowledged, sent


def _write(number, ledger, host, engine):
    """Keeps one connection open, inserts as fast as it can, and starts over when it breaks. Ledger lines: "sent N" before,
    "ok N" after the server's answer: a sequence with only the first is unknown."""
    sequence = 0
    environment = dict(os.environ, MYSQL_PWD="app-demo", PGPASSWORD="app-demo")
    command = [part.format(host=host) for part in CLIENTS[engine]]
    with open(ledger, "w", buffering=1) as notes:
        while True:
            client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                      bufsize=1, env=environment)
            try:
                while True:
                    sequence += 1
                    notes.write(f"sent {sequence}\n")
                    client.stdin.write(f"insert into ledger values ({number},{sequence}); select {sequence};\n")
                    client.stdin.flush()
                    if client.stdout.readline().strip() != str(sequence):
                        break
                    notes.write(f"ok {sequence}\n")
            except OSError:
                pass
            client.kill()
            client.wait()
            time.sleep(0.005)


if __name__ == "__main__":
    _write(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4])
