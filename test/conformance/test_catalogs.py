"""Catalogs that others keep: pyiceberg's SQL catalog in SQLite and PostgreSQL, its tables as a folder, and Iceberg's own REST server, each
with pyiceberg as the writer. They pass the same suite as the catalogs of the integration tests."""
import pathlib
import shutil
import sys
import threading
import time

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog
from rest_catalog import RestCatalog, token_of

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import catalog_suite  # noqa: E402  (the path comes first)
from catalog_suite import Tool  # noqa: E402
from engine_servers import Postgres  # noqa: E402

ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64())})


class World:
    """A catalog that pyiceberg writes."""

    def __init__(self, folder):
        self.folder = folder
        self.warehouse = folder / "warehouse"
        self.warehouse.mkdir()
        self.catalog = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def open(self, **properties):
        self.catalog = load_catalog("main", **properties)
        self.catalog.create_namespace_if_not_exists("db")

    def create(self, name):
        self.catalog.create_namespace_if_not_exists(name.rpartition(".")[0])
        self.catalog.create_table(name, ROWS.schema)

    def commit(self, name):
        self.catalog.load_table(name).append(ROWS)

    def drop(self, name):
        self.catalog.drop_table(name)

    def snapshots(self, name):
        return len(self.catalog.load_table(name).metadata.snapshots)

    def uuid(self, name):
        return str(self.catalog.load_table(name).metadata.table_uuid)


class Sqlite(World):
    def __init__(self, folder):
        super().__init__(folder)
        self.file = folder / "catalog.db"
        self.open(type="sql", uri=f"sqlite:///{self.file}", warehouse=f"file://{self.warehouse}")
        self.config = {"name": "c", "type": "sql", "uri": f"sqlite:///{self.file}", "timeout": "2s"}

    def stop(self):
        self.file.rename(f"{self.file}.away")

    def start(self):
        pathlib.Path(f"{self.file}.away").rename(self.file)


class PostgreSql(World):
    def __init__(self, folder):
        super().__init__(folder)
        self.server = Postgres()
        uri = f"postgres@{self.server.address}/postgres"
        self.open(type="sql", uri=f"postgresql+psycopg://{uri}", warehouse=f"file://{self.warehouse}", pool_pre_ping="true")
        self.config = {"name": "c", "type": "sql", "uri": f"postgresql://{uri}", "timeout": "2s"}

    def __exit__(self, *_):
        self.catalog.engine.dispose()
        self.server.__exit__()

    def stop(self):
        self.catalog.engine.dispose()
        self.server.stop()

    def start(self):
        self.server.start()


class Folder(Sqlite):
    """What pyiceberg writes for its SQL catalog, seen as folders: the state is the highest number."""

    def __init__(self, folder):
        super().__init__(folder)
        self.config = {"name": "c", "type": "folder", "path": str(self.warehouse)}

    def drop(self, name):
        location = self.catalog.load_table(name).location().removeprefix("file://")
        self.catalog.drop_table(name)
        shutil.rmtree(location)

    def stop(self):
        self.warehouse.rename(f"{self.warehouse}.away")

    def start(self):
        pathlib.Path(f"{self.warehouse}.away").rename(self.warehouse)


class Rest(World):
    def __init__(self, folder):
        super().__init__(folder)
        self.server = RestCatalog(folder / "rest", "/api/catalog", token_of("etl")).__enter__()
        self.stopped = False
        self.open(type="rest", uri=self.server.uri, credential="etl:secret")
        credential = folder / "credential"
        credential.write_text("etl:secret\n")
        self.config = {"name": "c", "type": "rest", "url": self.server.uri, "credential_file": str(credential), "timeout": "5s"}

    def __exit__(self, *_):
        self.start()
        self.server.__exit__()

    def stop(self):
        self.server.process.send_signal(19)
        self.stopped = True

    def start(self):
        if self.stopped:
            self.server.process.send_signal(18)
        self.stopped = False


@pytest.mark.parametrize("check", catalog_suite.CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("kind", [Sqlite, PostgreSql, Folder, Rest])
def test_every_catalog(tmp_path, kind, check):
    with kind(tmp_path) as world, Tool(str(tmp_path), world.config) as tool:
        check(world, tool)


@pytest.mark.parametrize("kind", [Sqlite, Rest])
def test_nested_namespaces_and_names_with_signs(tmp_path, kind):
    with kind(tmp_path) as world, Tool(str(tmp_path), world.config) as tool:
        names = ["a.b.t", "a.b.c.u", "db.v"] + (["db.with space"] if kind is Rest else [])
        for name in names:
            for depth in range(1, name.count(".") + 1):
                world.catalog.create_namespace_if_not_exists(".".join(name.split(".")[:depth]))
            world.catalog.create_table(name, ROWS.schema)
        assert sorted(tool.names()) == sorted(names)
        for name in names:
            assert tool.load(name)["uuid"] == world.uuid(name)


def test_a_rest_server_of_others_refuses_a_wrong_secret(tmp_path):
    with Rest(tmp_path) as world:
        wrong = tmp_path / "wrong"
        wrong.write_text("somebody:else\n")
        with Tool(str(tmp_path), world.config | {"credential_file": str(wrong)}) as tool:
            assert tool.ask("list")["error"] == "permission denied"


def test_an_append_of_pyiceberg_in_a_folder_is_hinted_within_50_ms(tmp_path):
    with Folder(tmp_path) as world:
        world.create("db.t")
        table = world.catalog.load_table("db.t")
        with Tool(str(tmp_path), world.config) as tool:
            tool.ask("wait", max_ms=0)
            late = []
            for _ in range(20):
                answers = []
                waiting = threading.Thread(target=lambda: answers.append(tool.ask("wait", max_ms=10_000)))
                waiting.start()
                table.append(ROWS)
                waiting.join()
                assert answers[0]["hints"] == [{"catalog": "c", "table": "db.t"}]
                written = pathlib.Path(table.metadata_location.removeprefix("file://")).stat().st_mtime
                late.append(answers[0]["at"] - written)
            late.sort()
            print(f"hinted after {late[10] * 1000:.1f} ms (median), {late[-1] * 1000:.1f} ms (most)")
            # A machine that is busy otherwise may be late once.
            assert late[-2] < 0.05, late
            time.sleep(0.05)
            assert tool.ask("wait", max_ms=50)["hints"] == []
