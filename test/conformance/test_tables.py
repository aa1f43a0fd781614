"""Tables that pyiceberg writes now: our metrics against what pyiceberg itself says of them."""
import json
import os
import pathlib
import random
import subprocess
import sys

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, IdentityTransform
from pyiceberg.types import LongType, NestedField, StringType

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tools" / "lib"))
import lake_truth  # noqa: E402  (the path comes first)

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


class Watched:
    """A table after each of its commits: by pyiceberg's inspection, what a commit changed as the difference of the live files."""

    def __init__(self, folder: pathlib.Path, version: int, partitioned: bool):
        self.catalog = SqlCatalog("c", uri=f"sqlite:///{folder}/c.db", warehouse=f"file://{folder}")
        self.catalog.create_namespace("db")
        options = {"partition_spec": BY_REGION} if partitioned else {}
        self.table = self.catalog.create_table("db.t", SCHEMA, properties={"format-version": str(version)}, **options)
        self.live: dict[int, list[dict]] = {}

    def check(self) -> None:
        self.table = self.catalog.load_table("db.t")
        for snapshot in self.table.snapshots():
            if snapshot.snapshot_id not in self.live:
                self.live[snapshot.snapshot_id] = self.table.inspect.files(snapshot.snapshot_id).to_pylist()
        got = metrics(self.table.location().removeprefix("file://"), "--partitions", "1000")
        current = self.table.current_snapshot()
        assert got["snapshot_id"] == (current and current.snapshot_id)
        if current is None:
            return
        partitions = self.table.inspect.partitions().to_pylist()
        before = self.live[current.parent_snapshot_id] if current.parent_snapshot_id else []
        files = self.live[current.snapshot_id]
        expected = lake_truth.table_metrics(files, partitions) | lake_truth.change_metrics(*lake_truth.difference(before, files))
        for name, found in got["metrics"].items():
            if name in expected:
                value = expected[name]
                assert found == (value if value is None else pytest.approx(value, rel=1e-9)), (name, found, value)
        theirs = sorted((row["record_count"], row["file_count"]) for row in lake_truth.merge_partitions(partitions))
        assert sorted((row["record_count"], row["file_count"]) for row in got["partitions"]) == theirs
        assert got["summary_drift"] == [], (current.summary, got["metrics"])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("partitioned", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_metrics_agree_with_the_writer(tmp_path, version, partitioned, seed):
    generator = random.Random(f"{seed} {version} {partitioned}")
    watched = Watched(tmp_path, version, partitioned)
    for commit in range(generator.randint(4, 9)):
        table = watched.table
        steps = [lambda: table.append(rows(generator, commit * 100))]
        if commit:
            steps += [
                lambda: table.overwrite(rows(generator, commit * 100)),
                lambda: table.overwrite(rows(generator, commit * 100), overwrite_filter="region == 'north'"),
                lambda: table.delete(f"id < {commit * 50}"),
                lambda: table.delete("region == 'south'"),
                lambda: table.upsert(rows(generator, (commit - 1) * 100 + 10), ["id"]),
                lambda: table.append(rows(generator, commit * 100), snapshot_properties={"by": "test"}),
            ]
            if partitioned:
                steps.append(lambda: table.dynamic_partition_overwrite(rows(generator, commit * 100)))
        generator.choice(steps)()
        watched.check()


@pytest.mark.parametrize("version", [1, 2])
def test_a_table_that_evolves_branches_and_forgets(tmp_path, version):
    generator = random.Random(version)
    watched = Watched(tmp_path, version, True)
    for first in (0, 100):
        watched.table.append(rows(generator, first))
        watched.check()
    first_snapshot = watched.table.snapshots()[0].snapshot_id
    with watched.table.update_spec() as update:
        update.add_field("id", BucketTransform(3), "bucket")
    watched.table.append(rows(generator, 200))
    watched.check()
    watched.table.manage_snapshots().create_branch(watched.table.current_snapshot().snapshot_id, "audit").create_tag(first_snapshot, "first").commit()
    watched.table.append(rows(generator, 300), branch="audit")
    watched.check()
    with watched.table.update_schema() as update:
        update.add_column("price", LongType())
        update.rename_column("region", "area")
    watched.check()
    watched.table.delete("area == 'north'")
    watched.check()
    watched.table.manage_snapshots().remove_tag("first").commit()
    watched.table.maintenance.expire_snapshots().by_id(first_snapshot).commit()
    watched.check()
    assert first_snapshot not in [snapshot.snapshot_id for snapshot in watched.table.snapshots()]
