"""Database servers of every engine on loopback ports of their own, for tests of what talks to them. They die with the test."""

import contextlib
import ctypes
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from lab_fixture import ROOT, SIGNALBOX, wait_for

TOOL = os.environ.get("SIGNALBOX_PROBE_TOOL") or os.path.join(os.path.dirname(SIGNALBOX), "test/probe_tool")
MYSQL_ROOT = os.environ.get("SIGNALBOX_MYSQL_ROOT") or os.path.join(ROOT, "build/mysql-root")


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def stopped(pid: int) -> bool:
    """Whether no thread of the process runs: it is stopped, or gone."""
    states = []
    for status in glob.glob(f"/proc/{pid}/task/*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(status) as file:
            states.append(file.read().rsplit(")", 1)[1].split()[0])
    return all(state in "TtZX" for state in states)


class Server:
    """A server process with a folder of its own; a context manager."""

    def __init__(self, user):
        self.dir = tempfile.mkdtemp(prefix="engine-", dir="/dev/shm")
        os.chmod(self.dir, 0o755)
        self.user = user
        self.port = free_port()
        self.process = None
        self.log = os.path.join(self.dir, "log")
        shutil.chown(self.dir, user)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _run(self, *command, **options):
        result = subprocess.run(command, capture_output=True, text=True, user=self.user, extra_groups=[],
                                cwd=self.dir, **options)
        assert result.returncode == 0, f"{command}: {result.stderr or result.stdout}"
        return result.stdout

    def _start(self, *command):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, user=self.user, extra_groups=[],
                                            cwd=self.dir, preexec_fn=_die_with_parent, start_new_session=True)

    def alive(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise AssertionError("the server ended: " + log.read()[-2000:])
        return True

    def signal(self, number):
        """To the server and every process of its own (PostgreSQL's lead groups of their own)."""
        tree = [self.process.pid]
        for pid in tree:
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children") as file:
                tree += [int(child) for child in file.read().split()]
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if number == signal.SIGSTOP:
            # A thread that runs on another core stops a moment after the signal was sent.
            wait_for(lambda: all(stopped(pid) for pid in tree), 5, "every thread stands still")

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"


class MariaDb(Server):
    def __init__(self, server_id=1, *options):
        super().__init__("nobody")
        self.options = [f"--server-id={server_id}", *options]
        self.data = os.path.join(self.dir, "data")
        self.socket = os.path.join(self.dir, "s")
        self._run("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal",
                  "--skip-test-db")
        self.start()

    def start(self):
        self._start("mariadbd", "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}", f"--port={self.port}",
                    "--bind-address=127.0.0.1", "--log-bin=b", "--plugin-dir=/usr/lib/mysql/plugin",
                    "--innodb-buffer-pool-size=16M", "--skip-name-resolve", f"--pid-file={self.dir}/pid", *self.options)
        wait_for(lambda: self.alive() and self.try_sql("SELECT 1") is not None, 30, "mariadbd answers")

    def try_sql(self, text):
        result = subprocess.run(["mariadb", "--no-defaults", "-S", self.socket, "-uroot", "-N", "-B", "-e", text],
                                capture_output=True, text=True)
        if result.returncode != 0:
            self.error = result.stderr
            return None
        return [line.split("\t") for line in result.stdout.splitlines()]

    def sql(self, text):
        rows = self.try_sql(text)
        assert rows is not None, self.error
        return rows


class MySql(Server):
    """The server of tools/mysql-root, run by its own loader."""

    def __init__(self, server_id=1, *options):
        super().__init__("root")
        self.data = os.path.join(self.dir, "data")
        self.socket = os.path.join(self.dir, "s")
        command = [f"{MYSQL_ROOT}/usr/lib64/ld-linux-x86-64.so.2", "--library-path",
                   f"{MYSQL_ROOT}/usr/lib/x86_64-linux-gnu:{MYSQL_ROOT}/usr/lib/mysql/private", f"{MYSQL_ROOT}/usr/sbin/mysqld",
                   "--no-defaults", "--user=root", f"--datadir={self.data}", f"--lc-messages-dir={MYSQL_ROOT}/usr/share/mysql",
                   f"--character-sets-dir={MYSQL_ROOT}/usr/share/mysql/charsets", f"--plugin-dir={MYSQL_ROOT}/usr/lib/mysql/plugin",
                   "--secure-file-priv=NULL", "--innodb-buffer-pool-size=64M"]
        self._run(*command, "--initialize-insecure")
        self._start(*command, f"--socket={self.socket}", f"--port={self.port}", "--bind-address=127.0.0.1", "--mysqlx=OFF",
                    f"--server-id={server_id}", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--skip-name-resolve",
                    f"--pid-file={self.dir}/pid", *options)
        wait_for(lambda: self.alive() and self.try_sql("SELECT 1") is not None, 60, "mysqld answers")

    try_sql = MariaDb.try_sql
    sql = MariaDb.sql


class Postgres(Server):
    BIN = max(glob.glob("/usr/lib/postgresql/*/bin"))

    def __init__(self, hba="", settings=(), copy_of=None):
        super().__init__("nobody")
        self.data = os.path.join(self.dir, "data")
        self.hba = hba or ("local all all trust\nhost all postgres 127.0.0.1/32 trust\n"
                           "host replication replicator 127.0.0.1/32 trust\nhost replication probe 127.0.0.1/32 scram-sha-256\n"
                           "host all all 127.0.0.1/32 scram-sha-256\n")
        if copy_of is None:
            self._run(f"{self.BIN}/initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        else:
            self._run(f"{self.BIN}/pg_basebackup", "-D", self.data, "-h", "127.0.0.1", "-p", str(copy_of.port), "-U", "replicator",
                      "-R", "-c", "fast", "--no-sync")
        self.settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self.dir}", "fsync=off", "wal_level=replica",
                         "shared_buffers=16MB", "dynamic_shared_memory_type=mmap", "hot_standby=on", "max_wal_senders=10", "wal_retrieve_retry_interval=100ms",
                         "wal_keep_size=64MB", *settings]
        self.write("pg_hba.conf", self.hba)
        self.start()

    def write(self, name, text):
        path = os.path.join(self.data, name)
        with open(path, "w") as file:
            file.write(text)
        shutil.chown(path, self.user)
        os.chmod(path, 0o600)

    def start(self):
        options = [part for setting in self.settings for part in ("-c", setting)]
        self._start(f"{self.BIN}/postgres", "-D", self.data, "-p", str(self.port), *options)
        wait_for(lambda: self.alive() and self.try_sql("SELECT 1") is not None, 30, "postgres answers")

    def try_sql(self, text, user="postgres", database="postgres"):
        result = subprocess.run([f"{self.BIN}/psql", "-X", "-h", self.dir, "-p", str(self.port), "-U", user, "-d", database, "-A", "-t",
                                 "-F", "\t", "-c", text], capture_output=True, text=True)
        if result.returncode != 0:
            self.error = result.stderr
            return None
        return [line.split("\t") for line in result.stdout.splitlines()]

    def sql(self, text):
        rows = self.try_sql(text)
        assert rows is not None, self.error
        return rows

    def promote(self):
        self._run(f"{self.BIN}/pg_ctl", "promote", "-D", self.data, "-w", "-t", "20")

    def stop(self, mode="fast"):
        self._run(f"{self.BIN}/pg_ctl", "stop", "-D", self.data, "-m", mode, "-w", "-t", "20")
        self.process.wait()


class Tool:
    """probe_tool for one target; a context manager."""

    def __init__(self, **target):
        self.process = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._say(target)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=10)

    def _say(self, value):
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def do(self, what, **order):
        self._say({"do": what, **order})
        line = self.process.stdout.readline()
        assert line, "probe_tool ended"
        return json.loads(line)

    def ask(self, **order):
        return self.do("ask", **order)


def ask(**target):
    with Tool(**target) as tool:
        return tool.ask()


def make_certificates(folder):
    """ca.pem with server.pem/server.key for 127.0.0.1, and other-ca.pem, in the folder."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)
    for name in ("ca", "other-ca"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.pem")
    for name, alternative in (("server", "IP:127.0.0.1"), ("elsewhere", "IP:192.0.2.1,DNS:db.example.com")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        with open(os.path.join(folder, "ext"), "w") as file:
            file.write(f"subjectAltName={alternative}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "3650",
                "-extfile", "ext", "-out", f"{name}.pem")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        os.chmod(path, 0o600 if name.endswith(".key") else 0o644)
        shutil.chown(path, "nobody")
