"""Three real MariaDB servers on loopback for the meter's tests: one writer, two readers that replicate from it by GTID.

They need no lab and no privileges: the meter has to be useful alone, against any cluster.
"""
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

USER = "app"
PASSWORD = "measure-me"
START_TIMEOUT_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, folder: pathlib.Path, number: int):
        self.number = number
        self.port = free_port()
        self.folder = folder / f"server-{number}"
        self.socket = folder / f"s{number}.sock"
        self.process = None
        self.read_only = True

    def install(self) -> None:
        subprocess.run(
            ["mariadb-install-db", f"--datadir={self.folder}", "--auth-root-authentication-method=normal",
             "--skip-test-db", "--user=root", "--innodb-log-file-size=8M"],
            check=True, capture_output=True, timeout=120)

    def start(self, *extra: str) -> None:
        self.process = subprocess.Popen(
            ["mariadbd", "--no-defaults", f"--datadir={self.folder}", f"--port={self.port}", "--bind-address=127.0.0.1",
             f"--socket={self.socket}", f"--server-id={self.number}", "--user=root", "--log-bin=bin", "--log-slave-updates",
             "--gtid-strict-mode=1", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--skip-name-resolve",
             "--innodb-flush-log-at-trx-commit=2", "--read-only=" + ("1" if self.read_only else "0"), *extra],
            stdout=subprocess.DEVNULL, stderr=open(self.folder.parent / f"server-{self.number}.log", "a"))
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.sql("SELECT 1", check=False).returncode == 0:
                return
            assert self.process.poll() is None, f"server {self.number} ended: see {self.folder.parent}"
            time.sleep(0.05)
        raise AssertionError(f"server {self.number} did not answer in {START_TIMEOUT_S} s")

    def sql(self, text: str, check: bool = True) -> subprocess.CompletedProcess:
        return subprocess.run(["mariadb", "--no-defaults", f"--socket={self.socket}", "-uroot", "-N", "-B", "-e", text],
                              capture_output=True, text=True, check=check, timeout=30)

    def rows(self, text: str) -> list[str]:
        return self.sql(text).stdout.split("\n")[:-1]

    def follow(self, writer: "Server") -> None:
        self.sql("STOP SLAVE; CHANGE MASTER TO master_host='127.0.0.1', master_port=%d, master_user='repl', "
                 "master_password='%s', master_use_gtid=slave_pos, master_connect_retry=1; START SLAVE"
                 % (writer.port, PASSWORD))

    def promote(self) -> None:
        self.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0")
        self.read_only = False

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(timeout=30)


class Cluster:
    """Also a context manager. `password_file` is what a URL of the meter names."""

    def __init__(self, size: int = 3, semi_sync: bool = False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="signalbox-measure-"))
        self.servers = [Server(self.folder, number + 1) for number in range(size)]
        self.password_file = self.folder / "password"
        self.semi_sync = semi_sync

    def __enter__(self) -> "Cluster":
        try:
            self.password_file.write_text(PASSWORD + "\n")
            for server in self.servers:
                server.install()
            self.servers[0].read_only = False
            extra = ["--rpl-semi-sync-slave-enabled=1"] if self.semi_sync else []
            for server in self.servers:
                server.start(*extra)
            writer = self.servers[0]
            writer.sql(f"CREATE USER repl@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT REPLICATION SLAVE ON *.* TO "
                       f"repl@'127.0.0.1'; CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT CREATE, DROP, "
                       f"INSERT, SELECT ON signalbox_meter.* TO {USER}@'127.0.0.1'")
            for server in self.servers[1:]:
                server.follow(writer)
            if self.semi_sync:
                writer.sql("SET GLOBAL rpl_semi_sync_master_wait_point='AFTER_SYNC', GLOBAL "
                           "rpl_semi_sync_master_timeout=1000000, GLOBAL rpl_semi_sync_master_enabled=1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for server in self.servers:
            if server.process is not None and server.process.poll() is None:
                server.process.kill()
                server.process.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, server: Server, user: str = USER) -> str:
        return f"mysql://{user}@127.0.0.1:{server.port}?password_file={self.password_file}"

    def paths(self) -> list[str]:
        return [word for server in self.servers for word in ("--path", f"direct-{server.number}={self.url(server)}")]
