"""Tables that PySpark writes now, with Iceberg's runtime: after each commit, our metrics against SQL over the writer's own metadata tables."""
import datetime
import gzip
import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
from test_tables import metrics

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tools" / "lib"))
from iceberg_spark import Lake  # noqa: E402  (the path comes first)
import lake_truth  # noqa: E402

MERGE_ON_READ = {f"write.{kind}.mode": "merge-on-read" for kind in ("delete", "update", "merge")}
TARGET_BYTES = 512 << 20  # Iceberg's default
DELETED = 2  # an entry's status
COLUMNS = "id BIGINT, name STRING, region STRING, day DATE"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    started = Lake(os.environ["CONFORMANCE_ICEBERG_SPARK"], tmp_path_factory.mktemp("lake"))
    yield started
    started.stop()


class Watched:
    """A table, and the live files of every snapshot that it ever had: they are still known when the writer has forgotten them."""

    def __init__(self, lake: Lake, name: str, version: int, partitioned_by: str = "region", **properties: str):
        self.lake = lake
        self.name = f"db.{name}"
        self.live: dict[int, list[dict]] = {}
        self.commits: dict[int, dict] = {}
        self.rows_made = 0
        self.unpartitioned = not partitioned_by
        given = ", ".join(f"'{key}'='{value}'" for key, value in {"format-version": str(version), **properties}.items())
        by = f"PARTITIONED BY ({partitioned_by})" if partitioned_by else ""
        self.do(f"CREATE TABLE {self.name} ({COLUMNS}) USING iceberg {by} TBLPROPERTIES ({given})")

    def do(self, *statements: str) -> None:
        """The last one is checked: give several where nothing is to be seen between them."""
        for statement in statements:
            self.lake.sql(statement.replace("$T", self.name))
        self.check()

    def call(self, procedure: str, arguments: str = "") -> None:
        self.do(f"CALL lake.system.{procedure}(table => '{self.name}'{', ' if arguments else ''}{arguments})")

    def insert(self, count: int, region: str = "", branch: str = "") -> None:
        """`count` new rows, of all regions unless one is named."""
        where = f"'{region}'" if region else "element_at(array('north', 'south', 'east', NULL), CAST(id % 4 + 1 AS INT))"
        target = f"{self.name}.branch_{branch}" if branch else self.name
        extra = ", NULL" * (len(self.lake.spark.table(self.name).columns) - 4)
        self.rows_made += count
        self.do(f"INSERT INTO {target} SELECT id, concat('n', id), {where}, date_add(DATE'2026-03-01', CAST(id % 3 AS INT)){extra} "
                f"FROM range({self.rows_made - count}, {self.rows_made})")

    def snapshot_ids(self) -> list[int]:
        return [row[0] for row in self.lake.sql(f"SELECT snapshot_id FROM {self.name}.snapshots ORDER BY committed_at")]

    def check(self) -> None:
        theirs = self.lake.tables(self.name, "entries", "partitions", "manifests", "snapshots", "refs")
        got = metrics(str(self.lake.folder(self.name)), "--partitions", "100000")
        current = next((row["snapshot_id"] for row in theirs["refs"] if row["name"] == "main"), None)
        assert got["snapshot_id"] == current
        files = [entry for entry in theirs["entries"] if entry["status"] != DELETED]
        self._learn(theirs, current, files)
        expected = self._expected(theirs, current, files)
        check_metrics(got, expected)
        check_partitions(got, theirs)
        assert got["metrics"].get("deletes.dangling_file_count", 0) <= lake_truth.dangling(files, {0} if self.unpartitioned else set())
        summary = [row["summary"] for row in theirs["snapshots"] if row["snapshot_id"] == current]
        assert got["summary_drift"] == [], summary
        if current is not None:
            (snapshot,) = [row for row in theirs["snapshots"] if row["snapshot_id"] == current]
            assert got["operation"] == snapshot["operation"]
            assert moment(got["timestamp"]) == moment(snapshot["committed_at"])

    def _expected(self, theirs: dict, current: int | None, files: list[dict]) -> dict:
        java = self.lake.java_table(self.name)
        expected = lake_truth.table_metrics(files, theirs["partitions"]) | lake_truth.shape_metrics(files, theirs["manifests"], TARGET_BYTES)
        expected |= {"history.snapshot_count": len(theirs["snapshots"]), "history.ref_count": len(theirs["refs"]),
                     "history.metadata_file_count": len(java.operations().current().previousFiles()) + 1, "table.schema_id": java.schema().schemaId(),
                     "table.spec_id": java.spec().specId(), "table.sort_order_id": java.sortOrder().orderId()}
        if current is None:
            return expected
        (snapshot,) = [row for row in theirs["snapshots"] if row["snapshot_id"] == current]
        expected["table.last_commit_timestamp"] = moment(snapshot["committed_at"]).timestamp()
        return expected | lake_truth.change_metrics(*lake_truth.difference(self.live.get(snapshot["parent_id"], []), self.live[current]))

    def _learn(self, theirs: dict, current: int | None, files: list[dict]) -> None:
        for snapshot in sorted(theirs["snapshots"], key=lambda row: row["committed_at"]):
            number = snapshot["snapshot_id"]
            if number in self.live:
                continue
            self.live[number] = files if number == current else self.lake.files_at(self.name, number)
            parent = snapshot["parent_id"]
            self.commits[number] = lake_truth.commit(snapshot, [] if parent is None else self.live[parent], self.live[number])


def check_whole(table: Watched) -> None:
    """At the end: the writer's tables agree with one another, otherwise they could not be the truth; and every commit that is left."""
    def by_identity(files):
        return sorted((str(lake_truth.identity_of(f)), f["content"], f["record_count"]) for f in files)
    theirs = table.lake.tables(table.name, "files", "data_files", "delete_files", "entries", "manifests", "all_manifests", "refs", "history",
                               "metadata_log_entries")
    (current,) = [row["snapshot_id"] for row in theirs["refs"] if row["name"] == "main"]
    assert max(theirs["history"], key=lambda row: row["made_current_at"])["snapshot_id"] == current
    got = metrics(str(table.lake.folder(table.name)))
    assert got["metrics"].get("history.metadata_file_count") in (None, len(theirs["metadata_log_entries"]))
    assert by_identity(theirs["files"]) == by_identity(theirs["data_files"] + theirs["delete_files"])
    assert by_identity(theirs["files"]) == by_identity([entry for entry in theirs["entries"] if entry["status"] != 2])
    mine = {row["path"] for row in theirs["all_manifests"] if row["reference_snapshot_id"] == current}
    assert {row["path"] for row in theirs["manifests"]} == mine
    live = sum(row[f"{kind}_data_files_count"] for row in theirs["manifests"] for kind in ("added", "existing"))
    assert live == len(theirs["data_files"])
    check_commits(table)


def our_commits(folder: pathlib.Path) -> list[dict] | None:
    """What `signalbox table commits` makes of the newest metadata file, oldest first; None if this build has no such command."""
    command = [os.environ["SIGNALBOX_BIN"], "table", "commits", str(folder), "--limit", "100000", "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode == 2:
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["items"]


def kinds_of(theirs: dict) -> dict[int, str]:
    """Of each snapshot: on main, on another branch, once current and not any more, or staged."""
    parents = {row["snapshot_id"]: row["parent_id"] for row in theirs["snapshots"]}

    def line(head: int | None):
        while head in parents:
            yield head
            head = parents[head]
    kinds = dict.fromkeys(parents, "staged") | {row["snapshot_id"]: "rolled-back" for row in theirs["history"] if row["snapshot_id"] in parents}
    for row in sorted(theirs["refs"], key=lambda row: row["name"] == "main"):
        if row["type"] == "BRANCH":
            kinds |= dict.fromkeys(line(row["snapshot_id"]), "main" if row["name"] == "main" else "branch")
    return kinds


# Names of a commit's change: ours, the truth's.
CHANGES = {"added_data_files": "added_data_files", "added_records": "added_records", "added_data_size": "added_bytes",
           "deleted_data_files": "removed_data_files", "deleted_records": "removed_records", "deleted_data_size": "removed_bytes",
           "added_delete_files": "added_delete_files", "removed_delete_files": "removed_delete_files",
           "added_position_deletes": "added_position_deletes", "changed_partition_count": "changed_partitions"}


def check_commits(table: Watched) -> None:
    """Every snapshot that the table still has is one commit, told once, after its parent, with what it did."""
    items = our_commits(table.lake.folder(table.name))
    if items is None:
        return
    theirs = table.lake.tables(table.name, "snapshots", "refs", "history")
    kept = {row["snapshot_id"]: row for row in theirs["snapshots"]}
    ours = [item for item in items if item["kind"] in ("main", "branch", "staged", "rolled-back")]
    assert sorted(item["snapshot_id"] for item in ours) == sorted(kept)
    assert {item["snapshot_id"]: item["kind"] for item in ours} == kinds_of(theirs)
    told: set[int] = set()
    for item in ours:
        number = item["snapshot_id"]
        parent = kept[number]["parent_id"]
        assert item["parent_id"] == parent and (parent in told or parent not in kept), f"{number} is told before its parent"
        told.add(number)
        truth = table.commits[number]
        assert item["operation"] == truth["operation"]
        for name, field in CHANGES.items():
            # Of a commit whose parent has expired only the statuses tell, or nothing: unknown is allowed there, wrong is not.
            known = item["change"][name] is not None or parent in kept or parent is None
            assert not known or item["change"][name] == truth[field], (number, name, item["change"], truth)


def check_metrics(got: dict, expected: dict) -> None:
    for name, found in got["metrics"].items():
        if name in expected:
            value = expected[name]
            assert found == (value if value is None else pytest.approx(value, rel=1e-9)), (name, found, value)
    unheard = set(got["metrics"]) - set(expected) - {"deletes.dangling_file_count"}
    assert got["snapshot_id"] is None or not unheard, f"nothing to compare {unheard} with: tell it in tools/lib/lake_truth.py"


def check_partitions(got: dict, theirs: dict) -> None:
    def values(row):  # a name's parts that are not null
        return sorted(part for part in row["partition_name"].split("/") if not part.endswith("=null") and part != "(unpartitioned)")
    ours = sorted((values(row), row["record_count"], row["file_count"]) for row in got["partitions"])
    assert ours == sorted((sorted(f"{key}={value}" for key, value in row["partition"].items()), row["record_count"], row["file_count"])
                          for row in lake_truth.merge_partitions(theirs["partitions"]))


def moment(text: str) -> datetime.datetime:
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_table_that_is_rewritten_evolved_and_expired(lake, version):
    table = Watched(lake, f"life_v{version}", version, **{"commit.manifest.min-count-to-merge": "3"})
    for count in (8, 5, 12):
        table.insert(count)
    table.do("DELETE FROM $T WHERE id < 3")
    table.do("UPDATE $T SET name = 'new' WHERE id = 9")
    table.do("DELETE FROM $T WHERE region = 'south'")
    before = table.snapshot_ids()[-1]
    table.do("ALTER TABLE $T ADD COLUMN price DECIMAL(9, 2)", "ALTER TABLE $T RENAME COLUMN name TO title",
             "ALTER TABLE $T ADD PARTITION FIELD bucket(4, id)")
    table.insert(9)
    table.do("ALTER TABLE $T DROP PARTITION FIELD region", "ALTER TABLE $T WRITE ORDERED BY id DESC")
    table.insert(4)
    table.do(f"CALL lake.system.rollback_to_snapshot('{table.name}', {before})")
    table.insert(6)
    table.call("rewrite_data_files", "options => map('rewrite-all', 'true')")
    if version != 2:
        table.call("rewrite_manifests")
    table.call("expire_snapshots", "older_than => TIMESTAMP '2099-01-01 00:00:00', retain_last => 2")
    table.do("INSERT OVERWRITE $T SELECT * FROM $T WHERE id % 2 = 0")
    check_whole(table)


@pytest.mark.parametrize("version", [2, 3])
def test_deletes_of_every_kind(lake, version):
    """Version 2: position deletes; version 3: deletion vectors, one puffin file for several; both: equality deletes."""
    table = Watched(lake, f"deletes_v{version}", version, **MERGE_ON_READ)
    table.insert(40)
    table.insert(12, "south")
    table.do("DELETE FROM $T WHERE id IN (1, 2, 3, 4, 6)")
    table.do("DELETE FROM $T WHERE id IN (5, 8)")
    table.do("UPDATE $T SET name = 'new' WHERE id IN (9, 10)")
    table.do("MERGE INTO $T USING (SELECT explode(array(11, 12, 900)) AS id) AS s ON $T.id = s.id "
             "WHEN MATCHED AND s.id = 11 THEN DELETE WHEN MATCHED THEN UPDATE SET name = 'merged' "
             "WHEN NOT MATCHED THEN INSERT (id, name, region, day) VALUES (s.id, 'in', 'west', DATE'2026-03-01')")
    lake.delete_equal(table.name, "name", "n45", {"region": "south"})
    table.check()
    assert not lake.sql(f"SELECT * FROM {table.name} WHERE name = 'n45'")
    table.do("ALTER TABLE $T ADD PARTITION FIELD day")
    table.insert(5, "south")
    table.do("DELETE FROM $T WHERE id = 56")
    kinds = {(f["content"], f["file_format"]) for files in table.live.values() for f in files}
    assert kinds == {(0, "PARQUET"), (1, "PARQUET" if version == 2 else "PUFFIN"), (2, "PARQUET")}
    if version == 2:
        table.call("rewrite_position_delete_files", "options => map('rewrite-all', 'true')")
    else:
        vectors = [f for files in table.live.values() for f in files if f["content"] == 1]
        assert len({f["file_path"] for f in vectors}) < len({lake_truth.identity_of(f) for f in vectors}), "no two vectors share a file"
    table.call("rewrite_data_files", "options => map('rewrite-all', 'true', 'remove-dangling-deletes', 'true')")
    check_whole(table)
    table.do("DELETE FROM $T WHERE id >= 0")


def test_branches_tags_staged_and_cherry_picked_commits(lake):
    table = Watched(lake, "branches", 2)
    table.insert(6)
    table.do("ALTER TABLE $T CREATE BRANCH audit", "ALTER TABLE $T CREATE TAG first")
    table.insert(5, branch="audit")
    table.insert(7, branch="audit")
    table.insert(3)
    lake.sql(f"ALTER TABLE {table.name} SET TBLPROPERTIES ('write.wap.enabled'='true')")
    lake.spark.conf.set("spark.wap.id", "staged")
    table.insert(4)
    lake.spark.conf.unset("spark.wap.id")
    (staged,) = [row[0] for row in lake.sql(f"SELECT snapshot_id FROM {table.name}.snapshots WHERE summary['wap.id'] = 'staged'")]
    table.insert(2)
    table.do(f"CALL lake.system.cherrypick_snapshot('{table.name}', {staged})")
    first = table.snapshot_ids()[0]
    table.do(f"CALL lake.system.rollback_to_snapshot('{table.name}', {first})")
    table.do(f"CALL lake.system.fast_forward('{table.name}', 'main', 'audit')")
    table.insert(1)
    check_commits(table)
    table.do("ALTER TABLE $T DROP BRANCH audit", "ALTER TABLE $T DROP TAG first")
    check_whole(table)


@pytest.mark.parametrize("codec, name", [("gzip", b"deflate"), ("snappy", b"snappy"), ("zstd", b"zstandard"), ("uncompressed", b"null")])
def test_every_codec_of_manifests_and_metadata(lake, codec, name):
    """Iceberg 1.12 writes metadata.json plain or by gzip, and manifest lists by gzip."""
    table = Watched(lake, f"codec_{codec}", 2 if codec == "snappy" else 3, "", **MERGE_ON_READ, **{
        "write.manifest.compression-codec": codec, "write.metadata.compression-codec": "gzip" if codec == "zstd" else "none"})
    table.insert(7)
    table.do("DELETE FROM $T WHERE id = 2")
    manifests = list((lake.folder(table.name) / "metadata").glob("*-m*.avro"))
    assert len(manifests) == 2
    assert all(b"avro.codec" + bytes([2 * len(name)]) + name in file.read_bytes() for file in manifests)
    if codec == "zstd":
        (newest,) = (lake.folder(table.name) / "metadata").glob("v3.gz.metadata.json")
        assert json.loads(gzip.decompress(newest.read_bytes()))["format-version"] == 3


@pytest.mark.parametrize("seed", [1, 2])
def test_any_sequence_of_commits(lake, seed):
    generator = random.Random(seed)
    table = Watched(lake, f"random_{seed}", generator.choice([2, 3]), generator.choice(["region", "region, day", "bucket(3, id)", ""]),
                    **generator.choice([MERGE_ON_READ, {}]), **{"commit.manifest.min-count-to-merge": "4"})
    table.insert(20)
    for _ in range(7):
        below, above = sorted(generator.sample(range(table.rows_made + 3), 2))
        generator.choice([
            lambda: table.insert(generator.randint(1, 9)),
            lambda: table.do(f"DELETE FROM $T WHERE id BETWEEN {below} AND {above} AND id % 3 = 0"),
            lambda: table.do(f"UPDATE $T SET region = 'east' WHERE id BETWEEN {below} AND {below + 2}"),
            lambda: table.do(f"DELETE FROM $T WHERE region = '{generator.choice(['north', 'south'])}'"),
            lambda: table.do(f"CALL lake.system.set_current_snapshot('{table.name}', {generator.choice(table.snapshot_ids())})"),
            lambda: table.call("rewrite_data_files", "options => map('rewrite-all', 'true')"),
            lambda: table.call("rewrite_manifests"),
        ])()
    check_whole(table)
