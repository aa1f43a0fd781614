"""Writes the tables under examples/tables/ with pyiceberg and Iceberg's Java library, writers that Signalbox shares no code with.

To repeat it:

    python3 -m venv /tmp/pyiceberg
    /tmp/pyiceberg/bin/pip install 'pyiceberg[pyarrow,pyiceberg-core,sql-sqlite]==0.12.0'
    mvn -q -f examples/java/pom.xml dependency:build-classpath -Dmdep.outputFile=/tmp/pyiceberg/classpath
    /tmp/pyiceberg/bin/python examples/make_tables.py /tmp/pyiceberg/classpath

Ids, times and paths differ at each run, so that the tables are committed rather than made by the build. Only metadata is
kept: metadata files, manifest lists and manifests. The data files are never read and not kept.

  orders    version 2, by day and region: five appends, a delete that rewrites files, an overwrite of one partition that
            compacts it, one more append
  evolved   version 2, partition spec changed from month to day, column renamed, null and text partition values
  plain_v1  version 1, not partitioned, three appends
  empty     version 2, without a snapshot

pyiceberg writes no delete files; examples/java/MakeTables.java has Iceberg's own library write the metadata of
  merge_on_read     version 2: merged manifests, position and equality deletes, a compaction
  deletion_vectors  version 3: two deletion vectors in one puffin file, zstd manifests, gzip metadata
of which the current snapshot alone is kept.

Next to each lies NAME.expected.json: the metrics, worked out here from pyiceberg's own inspection of the table.
"""

import datetime
import decimal
import json
import pathlib
import shutil
import subprocess
import sys

import pyarrow
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThan
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import StaticTable
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform
from pyiceberg.types import DateType, DecimalType, LongType, NestedField, StringType, TimestampType

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools" / "lib"))
from lake_truth import change_metrics, table_metrics  # noqa: E402  (the path comes first)

WAREHOUSE = pathlib.Path("/tmp/signalbox-examples")
TARGET = pathlib.Path(__file__).resolve().parent / "tables"
FIRST_DAY = datetime.datetime(2026, 3, 1)
REGIONS = ["eu", "us", "ap"]

ORDERS = Schema(
    NestedField(1, "order_id", LongType(), required=False),
    NestedField(2, "customer", StringType(), required=False),
    NestedField(3, "region", StringType(), required=False),
    NestedField(4, "amount", DecimalType(9, 2), required=False),
    NestedField(5, "ordered_at", TimestampType(), required=False),
)


def orders(day, count):
    """`count` orders of that day, the first regions getting more of them."""
    rows = []
    for i in range(count):
        rows.append(
            {
                "order_id": day * 100_000 + i,
                "customer": f"customer-{i % 17}",
                "region": REGIONS[min(i % 5, 2)],
                "amount": decimal.Decimal(i % 997).scaleb(-2) + 5,
                "ordered_at": FIRST_DAY + datetime.timedelta(days=day, seconds=60 * i),
            }
        )
    return pyarrow.Table.from_pylist(rows, schema=ORDERS.as_arrow())


def make_orders(catalog):
    spec = PartitionSpec(
        PartitionField(5, 1000, DayTransform(), "ordered_day"), PartitionField(3, 1001, IdentityTransform(), "region")
    )
    table = catalog.create_table("shop.orders", ORDERS, partition_spec=spec, properties={"format-version": "2"})
    for day, count in enumerate([120, 340, 75, 410]):
        table.append(orders(day, count))
    table.append(orders(1, 60))
    table.delete(And(EqualTo("region", "ap"), LessThan("ordered_at", "2026-03-02T00:30:00")))
    second_day = And(
        GreaterThanOrEqual("ordered_at", "2026-03-02T00:00:00"), LessThan("ordered_at", "2026-03-03T00:00:00")
    )
    one_partition = And(EqualTo("region", "eu"), second_day)
    table.overwrite(table.scan(row_filter=one_partition).to_arrow(), overwrite_filter=one_partition)
    table.append(orders(4, 95))
    return table


def make_evolved(catalog):
    schema = Schema(
        NestedField(1, "event_date", DateType(), required=False), NestedField(2, "kind", StringType(), required=False)
    )
    spec = PartitionSpec(PartitionField(1, 1000, MonthTransform(), "event_month"))
    table = catalog.create_table("shop.evolved", schema, partition_spec=spec, properties={"format-version": "2"})

    def rows(names, month, count, name="kind"):
        days = [datetime.date(2026, month, 1 + i % 27) for i in range(count)]
        return pyarrow.table({"event_date": days, name: [names[i % len(names)] for i in range(count)]})

    table.append(rows(["click", "view"], 1, 50))
    table.append(rows(["click"], 2, 20))
    with table.update_spec() as update:
        update.remove_field("event_month")
        update.add_field("kind", IdentityTransform(), "kind")
    table.append(rows(["click", None, "a/b=c", "Übersicht"], 3, 41))
    with table.update_schema() as update:
        update.rename_column("kind", "event_kind")
    table.append(rows(["click", None], 4, 10, "event_kind"))
    return table


def make_plain_v1(catalog):
    schema = Schema(NestedField(1, "id", LongType(), required=False), NestedField(2, "name", StringType(), required=False))
    table = catalog.create_table("shop.plain_v1", schema, properties={"format-version": "1"})
    for count in (10, 1000, 33):
        table.append(pyarrow.table({"id": list(range(count)), "name": [f"row {i}" for i in range(count)]}))
    return table


def make_empty(catalog):
    schema = Schema(NestedField(1, "id", LongType(), required=False))
    return catalog.create_table("shop.empty", schema, properties={"format-version": "2"})


def expected(table):
    """The metrics as pyiceberg's inspection tables have them; none of its summaries is used, but for the size of deletion vectors."""
    metrics, partitions = {}, []
    snapshot = table.current_snapshot()
    files = table.inspect.files().to_pylist() if snapshot else []
    if snapshot:
        own = [e for e in table.inspect.entries().to_pylist() if e["snapshot_id"] == snapshot.snapshot_id]
        added = [e["data_file"] for e in own if e["status"] == 1]
        removed = [e["data_file"] for e in own if e["status"] == 2]
        metrics |= change_metrics(added, removed)
        partitions = [p for p in table.inspect.partitions().to_pylist() if p["file_count"]]
    metrics |= table_metrics(files, partitions)
    if any(f["file_format"] == "PUFFIN" for f in files):
        # Vectors share a file. pyiceberg does not tell their own sizes; the summary, by the library that wrote it, does.
        metrics["snapshot.added_files_size"] = int(snapshot.summary["added-files-size"])
        metrics["snapshot.total_files_size"] = int(snapshot.summary["total-files-size"])
    return {
        "snapshot_id": snapshot.snapshot_id if snapshot else None,
        "timestamp_ms": snapshot.timestamp_ms if snapshot else None,
        "format_version": table.metadata.format_version,
        "metrics": metrics,
        "partitions": sorted(
            (
                {
                    "partition": {k: v if v is None else str(v) for k, v in p.get("partition", {}).items()},
                    "record_count": p["record_count"],
                    "file_count": p["file_count"],
                }
                for p in partitions
            ),
            key=lambda p: json.dumps(p, sort_keys=True),
        ),
    }


def keep(name, table, snapshots):
    """Copies the newest metadata file and what those snapshots name; older metadata files are left out."""
    target = TARGET / name / "metadata"
    shutil.rmtree(TARGET / name, ignore_errors=True)
    target.mkdir(parents=True)
    paths = {table.metadata_location}
    for snapshot in snapshots:
        paths.add(snapshot.manifest_list)
        paths.update(manifest.manifest_path for manifest in snapshot.manifests(table.io))
    for path in paths:
        shutil.copyfile(path.removeprefix("file://"), target / path.rsplit("/", 1)[1])
    (TARGET / f"{name}.expected.json").write_text(json.dumps(expected(table), indent=2) + "\n")


def make_by_java(classpath):
    program = pathlib.Path(__file__).resolve().parent / "java" / "MakeTables.java"
    subprocess.run(["java", "-cp", classpath.read_text(), str(program), str(WAREHOUSE / "java")], check=True)
    for folder in sorted((WAREHOUSE / "java").iterdir()):
        hint = (folder / "metadata" / "version-hint.text").read_text()
        (metadata_file,) = (folder / "metadata").glob(f"v{hint}.*json")
        table = StaticTable.from_metadata(str(metadata_file))
        keep(folder.name, table, [table.current_snapshot()])
        shutil.copyfile(folder / "metadata" / "version-hint.text", TARGET / folder.name / "metadata" / "version-hint.text")


def main():
    shutil.rmtree(WAREHOUSE, ignore_errors=True)
    WAREHOUSE.mkdir()
    catalog = SqlCatalog("examples", uri="sqlite:///:memory:", warehouse=f"file://{WAREHOUSE}")
    catalog.create_namespace("shop")
    for make in (make_orders, make_evolved, make_plain_v1, make_empty):
        table = make(catalog)
        keep(table.name()[-1], table, table.metadata.snapshots)
    make_by_java(pathlib.Path(sys.argv[1]))
    shutil.rmtree(WAREHOUSE)


if __name__ == "__main__":
    main()
