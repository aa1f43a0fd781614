"""A lab and a daemon with an endpoint of each mode, per engine; the clients run on a node of the lab, as an application would.

Every client program is called PROGRAM… features|writes HOST PORT READER_PORT FOLDER NAME, with its password in DATABASE_PASSWORD.
`features` prints one JSON object: what the client did, by the feature's name, or the error in its place. `writes` inserts
(NAME, number, server) into the table `writes`, one number after the other, with the reconnect that is usual for the client,
notes each acknowledged number in FOLDER/NAME.acknowledged, and ends when FOLDER/stop is there. A number is never tried twice.
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "lib"))
from labsession import LabSession  # noqa: E402  (the path comes first)

HOST = "10.0.1.10"
MODES = ["stream", "kernel"]
LARGE_ROWS = 20_000  # of 1 KiB each: more than 16 MiB
LOAD_ROWS = 50_000


def large_result_sum() -> str:
    whole = hashlib.sha256()
    for number in range(1, LARGE_ROWS + 1):
        whole.update((hashlib.sha256(str(number).encode()).hexdigest() * 16).encode())
    return whole.hexdigest()


# What a client must say of each feature.
EXPECTED = {
    "prepared": [42, 43, 44],
    "large": large_result_sum(),
    "loaded": LOAD_ROWS,
    "copied_out": LOAD_ROWS,
    "transaction": [1, 2],
    "cancelled": True,
    "compressed": large_result_sum(),
    "tls": True,
    "tls_large": large_result_sum(),
    "tls_cancelled": True,
    "tls_other_authority": "refused",
    "idle": True,
    "reader": True,
}


class World(LabSession):
    """A lab with its daemon, and what clients need in the folder that they share."""

    def __init__(self, engine: str):
        super().__init__(pathlib.Path(os.environ["SIGNALBOX_BIN"]).parent, ROOT / "out" / f"conformance-{engine}",
                         f"conformance-{engine}", HERE / "labs" / engine)
        base = 5432 if engine == "postgresql" else 3306
        self.ports = {"stream": (base, base + 1), "kernel": (base + 2, base + 3)}
        self.folder = self.out / "clients"
        self.engine = engine

    def start(self) -> None:
        self.up()
        # Whether a host forwards is its administrator's decision; clients on other hosts need it for kernel endpoints.
        self.run(*self.on_node("ops", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"))
        self.serve()
        self.folder.mkdir()
        (self.folder / "ca.pem").write_text(pathlib.Path(f"/run/signalbox-lab/{self.name}/ca.pem").read_text())
        self.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", "/CN=other", "-keyout", "/dev/null", "-out", str(self.folder / "other-ca.pem"))
        with open(self.folder / "load.tsv", "w") as file:
            file.writelines(f"{i}\t{hashlib.sha256(str(i).encode()).hexdigest()}\n" for i in range(1, LOAD_ROWS + 1))

        if self.engine == "mysql":
            for member in self.members():
                self.on_client("mariadb", "--no-defaults", "-h", member["address"], "-u", "admin", "-e", "SET GLOBAL local_infile = 1",
                               MYSQL_PWD="admin-demo")
            # MariaDB has such a table by itself.
            self.sql(f"CREATE TABLE seq_1_to_{LARGE_ROWS} (seq INT PRIMARY KEY);"
                     f"SET cte_max_recursion_depth = {LARGE_ROWS};"
                     f"INSERT INTO seq_1_to_{LARGE_ROWS} WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {LARGE_ROWS})"
                     " SELECT i FROM s")

    def command(self, mode: str, program: list[str], action: str, name: str) -> list[str]:
        port, reader = self.ports[mode]
        return self.on_node("client", *program, action, HOST, str(port), str(reader), str(self.folder), name)

    def environment(self) -> dict[str, str]:
        password = (self.out / "app.password").read_text().strip()
        return dict(os.environ, DATABASE_PASSWORD=password, MYSQL_PWD=password, PGPASSWORD=password)

    def features(self, mode: str, program: list[str], name: str, timeout: float = 180) -> dict:
        began = time.monotonic()
        done = subprocess.run(self.command(mode, program, "features", name), capture_output=True, text=True, timeout=timeout,
                              cwd=self.folder, env=self.environment())
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        print(f"{name}: {time.monotonic() - began:.1f} s")
        return json.loads(done.stdout)

    def spawn_writes(self, mode: str, program: list[str], name: str) -> subprocess.Popen:
        with open(self.folder / f"{name}.log", "wb") as log:
            child = subprocess.Popen(self.command(mode, program, "writes", name), stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                                     env=self.environment())
        self.children.append(child)
        return child

    def on_client(self, *command: str, timeout: float = 90, **environment: str) -> str:
        """Runs a command in the shared folder on the clients' node, and returns what it printed."""
        done = subprocess.run(self.on_node("client", *command), capture_output=True, text=True, timeout=timeout, cwd=self.folder,
                              env=self.environment() | environment)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def sql(self, statement: str, mode: str = "stream") -> list[list[str]]:
        """Rows as lists of text, through an endpoint, by the engine's own command-line client."""
        port = str(self.ports[mode][0])
        if port.startswith("5"):
            client = ["psql", "-XAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", port, "-U", "app", "-d", "orders", "-c"]
        else:
            client = ["mariadb", "--no-defaults", "-N", "-B", "-h", HOST, "-P", port, "-u", "app", "orders", "-e"]
        return [line.split("\t") for line in self.on_client(*client, statement).splitlines()]

    def acknowledged(self, name: str) -> list[int]:
        file = self.folder / f"{name}.acknowledged"
        return [int(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []


def pytest_generate_tests(metafunc):
    if "world" in metafunc.fixturenames:
        metafunc.parametrize("world", metafunc.module.ENGINES, indirect=True, scope="module")


@pytest.fixture(scope="module")
def world(request):
    with World(request.param) as session:
        session.start()
        yield session


def check_failover(world: World, programs: dict[str, list[str]]) -> None:
    """All clients, through both modes, write while the writer is killed. Each must write again within 30 s after the new
    writer is followed, and what was acknowledged to it must be there, once."""
    names = {f"{client}-{mode}": (mode, program) for client, program in programs.items() for mode in MODES}
    children = {name: world.spawn_writes(mode, program, name) for name, (mode, program) in names.items()}

    def wait_for(condition, seconds, what):
        deadline = time.monotonic() + seconds
        while missing := [name for name in names if not condition(name)]:
            for name in missing:
                assert children[name].poll() is None, f"{name} ended: {world.log(f'clients/{name}.log')[-3000:]}"
            if time.monotonic() > deadline:
                logs = "\n".join(f"{name}: {world.log(f'clients/{name}.log')[-1500:]}" for name in missing)
                raise AssertionError(f"{what}: not {missing} within {seconds} s\n{logs}")
            time.sleep(0.3)

    wait_for(lambda name: len(world.acknowledged(name)) >= 10, 120, "10 writes each")
    victim = world.cluster()["writer"]
    before = {row[0]: row[1] for row in world.sql("SELECT who, MIN(server) FROM writes GROUP BY who")}
    world.lab_do("kill", victim)
    world.wait_for_writer(60, other_than=victim)
    killed = {name: len(world.acknowledged(name)) for name in names}
    began = time.monotonic()
    wait_for(lambda name: len(world.acknowledged(name)) >= killed[name] + 10, 30, "10 more writes each after the failover")
    print(f"all wrote again {time.monotonic() - began:.1f} s after the new writer was followed")
    (world.folder / "stop").touch()
    for name, child in children.items():
        assert child.wait(60) == 0, f"{name}: {world.log(f'clients/{name}.log')[-3000:]}"
    rows: dict[str, list[tuple[int, str]]] = {}
    for who, number, server in world.sql("SELECT who, number, server FROM writes"):
        rows.setdefault(who, []).append((int(number), server))
    for name in names:
        numbers = [number for number, _ in rows[name]]
        lost = set(world.acknowledged(name)) - set(numbers)
        assert not lost, f"{name}: acknowledged and not there: {sorted(lost)[:20]}"
        servers = {server for _, server in rows[name]}
        assert len(servers) == 2 and before[name] in servers, f"{name} wrote on {servers}, so it saw no failover"
    world.wait_until_whole()


def programs() -> dict[str, list[str]]:
    """How each client program is started."""
    python = [os.environ["CONFORMANCE_PYTHON"]]
    clients = HERE / "clients"
    java = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "-cp", os.environ["CONFORMANCE_JAVA"], "JdbcClient"]
    return {
        "pymysql": [*python, str(clients / "mysql_python.py"), "pymysql"],
        "mysql-connector-python": [*python, str(clients / "mysql_python.py"), "mysql.connector"],
        "mariadb": [*python, str(clients / "mysql_cli.py"), "mariadb"],
        "mysql": [*python, str(clients / "mysql_cli.py"), "mysql", os.environ.get("SIGNALBOX_MYSQL_ROOT") or str(ROOT / "build/mysql-root")],
        "mysql2": ["node", str(clients / "mysql2_client.js")],
        "sysbench": [*python, str(clients / "sysbench_client.py")],
        "connector-j-mariadb": [*java, "mariadb"],
        "connector-j-mysql": [*java, "mysql"],
        "psql": [*python, str(clients / "psql_cli.py")],
        "pgbench": [*python, str(clients / "pgbench_client.py")],
        "psycopg": [*python, str(clients / "psycopg_client.py")],
        "pg": ["node", str(clients / "pg_client.js")],
        "pgjdbc": [*java, "postgresql"],
    }
