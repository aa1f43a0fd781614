"""Tables that pyiceberg writes now: our metrics against what pyiceberg itself says of them."""
import json
import os
import random
import subprocess

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

SCHEMA = Schema(NestedField(1, "id", LongType(), required=False), NestedField(2, "region", StringType(), required=False))
BY_REGION = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="region"))


def metrics(folder: str, *options: str) -> dict:
    done = subprocess.run([os.environ["SIGNALBOX_BIN"], "table", "metrics", folder, "--output", "json", *options], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows(generator: random.Random, first: int) -> pa.Table:
    count = generator.randint(1, 40)
    return pa.table({"id": pa.array(range(first, first + count), pa.int64()),
                     "region": [generator.choice(["north", "south", "east"]) for _ in range(count)]})


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("partitioned", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_metrics_agree_with_the_writer(tmp_path, version, partitioned, seed):
    generator = random.Random(f"{seed} {version} {partitioned}")
    catalog = SqlCatalog("c", uri=f"sqlite:///{tmp_path}/c.db", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("db")
    options = {"partition_spec": BY_REGION} if partitioned else {}
    table = catalog.create_table("db.t", SCHEMA, properties={"format-version": str(version)}, **options)
    for commit in range(generator.randint(2, 6)):
        if commit and generator.random() < 0.3:
            table.overwrite(rows(generator, commit * 100))
        elif commit and generator.random() < 0.3:
            table.delete(f"id < {commit * 50}")
        else:
            table.append(rows(generator, commit * 100))
        files = table.inspect.files().to_pylist()
        got = metrics(table.location().removeprefix("file://"))
        assert got["snapshot_id"] == table.metadata.current_snapshot_id
        assert got["metrics"]["snapshot.total_data_files"] == len(files)
        assert got["metrics"]["snapshot.total_records"] == sum(f["record_count"] for f in files)
        assert got["metrics"]["snapshot.total_files_size"] == sum(f["file_size_in_bytes"] for f in files)
        if files:
            counts = [f["record_count"] for f in files]
            assert got["metrics"]["files.max_record_count"] == max(counts)
            assert got["metrics"]["files.min_record_count"] == min(counts)
            assert got["metrics"]["files.avg_record_count"] == pytest.approx(sum(counts) / len(counts))
        if partitioned:
            theirs = sorted((p["record_count"], p["file_count"]) for p in table.inspect.partitions().to_pylist())
            assert sorted((p["record_count"], p["file_count"]) for p in got["partitions"]) == theirs
        assert got["summary_drift"] == [], (table.current_snapshot().summary, got["metrics"])
