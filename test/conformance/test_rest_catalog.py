"""Iceberg's own REST catalog server and pyiceberg as its client: what our client of such catalogs is tested with."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import UnauthorizedError
from rest_catalog import RestCatalog, token_of
from test_tables import metrics

HERE = pathlib.Path(__file__).resolve().parent


@pytest.mark.parametrize("prefix", ["", "/api/catalog"])
def test_a_table_written_through_the_server_is_read_by_us(tmp_path, prefix):
    with RestCatalog(tmp_path, prefix, token_of("etl")) as server:
        catalog = load_catalog("rest", type="rest", uri=server.uri, credential="etl:secret")
        catalog.create_namespace("shop")
        table = catalog.create_table("shop.orders", pa.schema([("id", pa.int64())]))
        table.append(pa.table({"id": [1, 2, 3]}))
        got = metrics(table.location().removeprefix("file://").removeprefix("file:"))
        assert (got["snapshot_id"], got["metrics"]["snapshot.total_records"]) == (table.current_snapshot().snapshot_id, 3)
        assert ("POST", f"{prefix}/v1/namespaces/shop/tables/orders", 200) in server.requests()


def test_a_client_without_the_token_is_refused(tmp_path):
    with RestCatalog(tmp_path, token=token_of("etl")) as server:
        with pytest.raises(UnauthorizedError):
            load_catalog("rest", type="rest", uri=server.uri, token="another").list_namespaces()


def test_the_server_is_gone_after_its_starter_was_killed(tmp_path):
    starter = subprocess.Popen([sys.executable, str(HERE / "rest_catalog.py"), str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert starter.stdout.readline().startswith("http://127.0.0.1:")
        (server,) = pathlib.Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text().split()
    finally:
        os.kill(starter.pid, signal.SIGKILL)
        starter.wait()
    deadline = time.monotonic() + 15
    while (there := pathlib.Path(f"/proc/{server}").exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    if there:
        os.kill(int(server), signal.SIGKILL)
    assert not there
