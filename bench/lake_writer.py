"""Run by the Python that has pyiceberg.

lake_writer.py register CATALOG.db NAME METADATA_FILE        a table that lies there already, into a SQL catalog
lake_writer.py append CATALOG.db NAME COUNT                  COUNT commits, each of one manifest; prints one line of JSON for each
lake_writer.py history FOLDER COUNT                          a table with COUNT appends, every one of its metadata files kept
"""
import json
import pathlib
import sys
import time

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog


def catalog(file: str, warehouse: str = "/tmp") -> SqlCatalog:
    return SqlCatalog("bench", uri=f"sqlite:///{file}", warehouse=f"file://{warehouse}")


def row(table) -> pa.Table:
    """One row of nulls in the table's own columns."""
    schema = table.schema().as_arrow()
    return pa.Table.from_arrays([pa.nulls(1, field.type) for field in schema], schema=schema)


def register(file: str, name: str, metadata: str) -> None:
    known = catalog(file)
    known.create_namespace_if_not_exists(name.split(".")[0])
    known.register_table(name, metadata)


def append(file: str, name: str, count: int) -> None:
    table = catalog(file).load_table(name)
    for _ in range(count):
        table.append(row(table))
        snapshot = table.current_snapshot()
        manifests = snapshot.manifests(table.io)
        own = [m for m in manifests if m.added_snapshot_id == snapshot.snapshot_id]
        print(json.dumps({"snapshot_id": snapshot.snapshot_id, "at": time.time(), "manifests": len(manifests),
                          "list_bytes": len(table.io.new_input(snapshot.manifest_list)), "own_bytes": sum(m.manifest_length for m in own),
                          "metadata_bytes": len(table.io.new_input(table.metadata_location))}), flush=True)


def history(folder: str, count: int) -> None:
    home = pathlib.Path(folder)
    home.mkdir(parents=True)
    known = catalog(f"{home}/catalog.db", str(home))
    known.create_namespace("db")
    data = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "region": ["a", "b", "c"]})
    table = known.create_table("db.t", data.schema, location=f"file://{home}/t")
    for _ in range(count):
        table.append(data)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    {"register": lambda: register(*words), "append": lambda: append(words[0], words[1], int(words[2])),
     "history": lambda: history(words[0], int(words[1]))}[what]()
