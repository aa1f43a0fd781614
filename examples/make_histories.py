"""Writes examples/tables/history_*: tables with every commit that they ever had, by PySpark with Iceberg's runtime and by DuckDB.

To repeat it, after `make conformance` has installed them into build/conformance:

    export CONFORMANCE_REST_CATALOG="build/conformance/rest/classes:build/conformance/rest/*"
    build/conformance/venv/bin/python examples/make_histories.py build/conformance/spark/iceberg-spark-runtime-*.jar [NAME…]

Ids, times and paths differ at each run, so that the tables are committed rather than made by the build. All metadata files, manifest
lists and manifests are kept, also those that the writer removed when it expired snapshots; data files are not.

  history_v1     version 1, not partitioned: appends, a delete that rewrites a file, a column more; its current snapshot names its
                 manifests inline, as writers once did (edited: today's write a list)
  history_spark  version 2, by region: appends, position deletes, an equality delete, a compaction, a rollback, a branch with two commits, a
                 tag, a staged and a cherry-picked commit, a partition field more, expired snapshots
  history_v3     version 3: deletion vectors of which two share a file and one is replaced, row lineage, zstd manifests, gzip metadata
  history_duckdb version 3, by DuckDB 1.5.5, whose metadata tables are read by Spark: deletion vectors that replace one another, with two faults
                 of that writer: replaced vectors are missing in the summary (the totals stay wrong from then on), and entries that the
                 parent had as DELETED are written DELETED again, as if this commit had removed them

Next to each lies NAME.expected.json, worked out from the writer's own metadata tables after each commit (tools/lib/lake_truth.py):

  commits   every commit, oldest first, also those that expired later ("expired": true: the newest metadata file has no such
            snapshot). What it added and removed is the difference of the live files of its parent and its own; bytes are of data
            files alone, *_delete_bytes of delete files, a deletion vector with its own bytes. `metadata_file`: the metadata file that first has it.
            `ref`: the branch that it was made on, null if on none
  current   the newest metadata file: its snapshot, the totals, the metrics (docs/reference/table-metrics.md), refs and partitions
"""
import gzip
import json
import pathlib
import re
import shutil
import sys
import tempfile
import typing

import duckdb

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools" / "lib"), str(ROOT / "test" / "conformance")]
import lake_truth  # noqa: E402  (the path comes first)
from iceberg_spark import Lake  # noqa: E402
from rest_catalog import RestCatalog  # noqa: E402

TARGET = ROOT / "examples" / "tables"
DELETED = 2  # an entry's status
REGIONS = "element_at(array('eu', 'us', 'ap'), CAST(id % 3 + 1 AS INT))"


def version_of(metadata_file: str) -> int:
    """v12.metadata.json, 00012-….metadata.json"""
    return int(re.match(r"v?([0-9]+)", metadata_file)[1])


class History:
    """One table, its truth noted after every step."""

    def __init__(self, lake: Lake, name: str, table: str, folder: pathlib.Path, run: typing.Callable[[str], object]):
        self.lake = lake
        self.name = name
        self.table = table
        self.folder = folder
        self.run = run
        self.live: dict[int, list[dict]] = {}
        self.commits: list[dict] = []
        self.rows_made = 0
        self.files: dict[str, bytes] = {}

    def do(self, statement: str, ref: str | None = "main") -> None:
        self.run(statement.replace("$T", self.table))
        self.note(ref)

    def insert(self, count: int, ref: str | None = "main") -> None:
        target = f"{self.table}.branch_{ref}" if ref not in (None, "main") else self.table
        more = ", 0" * (len(self.lake.spark.table(self.table).columns) - 3)
        self.rows_made += count
        self.do(f"INSERT INTO {target} SELECT id, concat('name-', id), {REGIONS}{more} FROM range({self.rows_made - count}, {self.rows_made})", ref)

    def metadata_file(self) -> str:
        self.collect()
        return max((name for name in self.files if name.endswith(".metadata.json")), key=version_of)

    def snapshots(self) -> list[dict]:
        return sorted(self.lake.tables(self.table, "snapshots")["snapshots"], key=lambda row: row["committed_at"])

    def note(self, ref: str | None) -> None:
        for snapshot in self.snapshots():
            number = snapshot["snapshot_id"]
            if number in self.live:
                continue
            self.live[number] = self.lake.files_at(self.table, number)
            parent = snapshot["parent_id"]
            before = [] if parent is None else self.live[parent]
            self.collect()
            self.commits.append(lake_truth.commit(snapshot, before, self.live[number]) | {"ref": ref})

    def collect(self) -> None:
        self.files |= {path.name: path.read_bytes() for path in (self.folder / "metadata").iterdir() if not path.name.startswith(".")}

    def text(self, name: str) -> bytes:
        return gzip.decompress(self.files[name]) if ".gz." in name else self.files[name]

    def first_metadata_file(self, snapshot_id: int) -> str:
        for name in sorted((name for name in self.files if name.endswith(".metadata.json")), key=version_of):
            if any(snapshot["snapshot-id"] == snapshot_id for snapshot in json.loads(self.text(name)).get("snapshots", [])):
                return name
        raise KeyError(snapshot_id)

    def expected(self) -> dict:
        self.collect()
        theirs = self.lake.tables(self.table, "snapshots", "refs", "entries", "partitions", "manifests", "metadata_log_entries")
        (current,) = [row["snapshot_id"] for row in theirs["refs"] if row["name"] == "main"]
        (snapshot,) = [row for row in theirs["snapshots"] if row["snapshot_id"] == current]
        kept = {row["snapshot_id"] for row in theirs["snapshots"]}
        files = [entry for entry in theirs["entries"] if entry["status"] != DELETED]
        change = lake_truth.change_metrics(*lake_truth.difference(self.live.get(snapshot["parent_id"], []), files))
        return {
            "commits": [commit | {"metadata_file": self.first_metadata_file(commit["snapshot_id"]), "expired": commit["snapshot_id"] not in kept}
                        for commit in self.commits],
            "current": {
                "snapshot_id": current,
                "metadata_file": self.metadata_file(),
                "format_version": json.loads(self.text(self.metadata_file()))["format-version"],
                "refs": {row["name"]: {"type": row["type"].lower(), "snapshot_id": row["snapshot_id"]} for row in theirs["refs"]},
                **lake_truth.totals(files),
                "metrics": change | lake_truth.table_metrics(files, theirs["partitions"]) | lake_truth.shape_metrics(files, theirs["manifests"], 512 << 20),
                "partitions": sorted(lake_truth.merge_partitions(theirs["partitions"]), key=lake_truth.partition_of),
            },
        }

    def keep(self, expected: dict) -> None:
        target = TARGET / self.name / "metadata"
        shutil.rmtree(TARGET / self.name, ignore_errors=True)
        target.mkdir(parents=True)
        for name, content in self.files.items():
            (target / name).write_bytes(content)
        (TARGET / f"{self.name}.expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def by_spark(lake: Lake, name: str, version: int, partitioned_by: str, **properties: str) -> History:
    given = ", ".join(f"'{key}'='{value}'" for key, value in {"format-version": str(version), **properties}.items())
    lake.sql(f"CREATE TABLE shop.{name} (id BIGINT, name STRING, region STRING) USING iceberg {partitioned_by} TBLPROPERTIES ({given})")
    return History(lake, name, f"shop.{name}", lake.folder(f"shop.{name}"), lake.sql)


def make_v1(lake: Lake) -> None:
    history = by_spark(lake, "history_v1", 1, "")
    for count in (40, 25):
        history.insert(count)
    history.do("DELETE FROM $T WHERE id < 10")
    history.do("ALTER TABLE $T ADD COLUMN price INT")
    history.insert(7)
    expected = history.expected()
    history.keep(expected)
    inline_manifests(TARGET / history.name / "metadata" / expected["current"]["metadata_file"], expected["current"]["snapshot_id"], lake, history)


def inline_manifests(path: pathlib.Path, snapshot_id: int, lake: Lake, history: History) -> None:
    """The snapshot names its manifests itself, as the specification of version 1 has it, instead of a list of them."""
    metadata = json.loads(path.read_text())
    (snapshot,) = [snapshot for snapshot in metadata["snapshots"] if snapshot["snapshot-id"] == snapshot_id]
    (path.parent / snapshot.pop("manifest-list").rsplit("/", 1)[1]).unlink()
    snapshot["manifests"] = [row["path"] for row in lake.tables(history.table, "manifests")["manifests"]]
    path.write_text(json.dumps(metadata))


def make_v2(lake: Lake) -> None:
    history = by_spark(lake, "history_spark", 2, "PARTITIONED BY (region)", **{f"write.{kind}.mode": "merge-on-read" for kind in ("delete", "update", "merge")},
                      **{"commit.manifest.min-count-to-merge": "4"})
    for count in (30, 12, 9):
        history.insert(count)
    history.do("DELETE FROM $T WHERE id IN (1, 2, 4)")
    lake.delete_equal(history.table, "name", "name-9", {"region": "eu"})
    history.note("main")
    compacted_from = history.snapshots()[-1]["snapshot_id"]
    history.do("CALL lake.system.rewrite_data_files(table => '$T', options => map('rewrite-all', 'true', 'remove-dangling-deletes', 'true'))")
    history.insert(6)
    history.do(f"CALL lake.system.rollback_to_snapshot('$T', {compacted_from})")
    history.do("ALTER TABLE $T CREATE TAG audited")
    history.do("ALTER TABLE $T CREATE BRANCH trial")
    history.insert(5, "trial")
    history.do("DELETE FROM shop.history_spark.branch_trial WHERE id = 7", "trial")
    history.do("ALTER TABLE $T ADD PARTITION FIELD bucket(2, id)")
    history.insert(8)
    history.do("ALTER TABLE $T SET TBLPROPERTIES ('write.wap.enabled'='true')")
    lake.spark.conf.set("spark.wap.id", "staged")
    history.insert(3, None)
    lake.spark.conf.unset("spark.wap.id")
    (staged,) = [row["snapshot_id"] for row in history.snapshots() if row["summary"].get("wap.id") == "staged"]
    history.insert(4)
    history.do(f"CALL lake.system.cherrypick_snapshot('$T', {staged})")
    history.do("CALL lake.system.rewrite_data_files(table => '$T', options => map('rewrite-all', 'true'))")
    history.do("UPDATE $T SET name = 'renamed' WHERE id = 20")
    # Three of main stay; the rest of it goes, but for what the tag and the branch hold.
    history.do("CALL lake.system.expire_snapshots(table => '$T', older_than => TIMESTAMP '2099-01-01 00:00:00', retain_last => 3)")
    history.insert(2)
    history.keep(history.expected())


def make_v3(lake: Lake) -> None:
    history = by_spark(lake, "history_v3", 3, "PARTITIONED BY (region)", **{f"write.{kind}.mode": "merge-on-read" for kind in ("delete", "update", "merge")},
                      **{"write.manifest.compression-codec": "zstd", "write.metadata.compression-codec": "gzip"})
    history.insert(30)
    history.insert(15)
    history.do("DELETE FROM $T WHERE id IN (1, 2, 4, 33)")
    history.do("DELETE FROM $T WHERE id IN (5, 7)")
    history.do("UPDATE $T SET name = 'renamed' WHERE id = 20")
    history.do("CALL lake.system.rewrite_data_files(table => '$T', options => map('rewrite-all', 'true'))")
    history.insert(3)
    history.do("DELETE FROM $T WHERE region = 'ap'")
    history.keep(history.expected())


def make_duckdb(lake: Lake, server: RestCatalog) -> None:
    database = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "threads": "1"})
    for name in ("avro", "httpfs", "iceberg"):
        (extension,) = pathlib.Path(sys.prefix).glob(f"lib/python3*/site-packages/duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
        database.execute(f"LOAD '{extension}'")
    database.execute(f"ATTACH '' AS rest (TYPE iceberg, ENDPOINT '{server.uri}', AUTHORIZATION_TYPE 'none')")
    database.execute("CREATE SCHEMA rest.shop")
    database.execute("CREATE TABLE rest.shop.history_duckdb (id BIGINT, name VARCHAR) WITH ('format-version'='3')")
    history = History(lake, "history_duckdb", "rest.shop.history_duckdb", server.warehouse / "shop" / "history_duckdb", database.execute)
    history.do("INSERT INTO $T SELECT i, 'name-' || i FROM range(20) r(i)")
    history.do("INSERT INTO $T SELECT i, 'name-' || i FROM range(20, 27) r(i)")
    history.do("DELETE FROM $T WHERE id IN (3, 4, 21)")
    history.do("DELETE FROM $T WHERE id = 6")
    history.do("UPDATE $T SET name = 'renamed' WHERE id IN (5, 22)")
    history.do("INSERT INTO $T SELECT i, 'name-' || i FROM range(27, 29) r(i)")
    history.keep(history.expected())
    database.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, RestCatalog(pathlib.Path(folder) / "rest") as server:
        lake = Lake(sys.argv[1], pathlib.Path(folder) / "lake", server.uri)
        makers = {"history_v1": make_v1, "history_spark": make_v2, "history_v3": make_v3, "history_duckdb": lambda lake: make_duckdb(lake, server)}
        for name in sys.argv[2:] or makers:
            makers[name](lake)
        lake.stop()


if __name__ == "__main__":
    main()
