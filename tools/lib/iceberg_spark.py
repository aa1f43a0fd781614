"""PySpark with Iceberg's runtime on a Hadoop catalog in a folder: a writer of tables that Signalbox shares no code with.
With a REST catalog it also reads what others write there."""
import json
import pathlib

from pyspark.sql import SparkSession

JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
CATALOG = "lake"
FILE_COLUMNS = ["content", "file_path", "file_format", "spec_id", "partition", "record_count", "file_size_in_bytes", "referenced_data_file",
                "content_offset", "content_size_in_bytes"]


class Lake:
    """`warehouse`: where the tables lie, NAMESPACE/TABLE each. Tables of the REST catalog are called rest.NAMESPACE.TABLE. One to a process,
    as Spark itself has it."""

    def __init__(self, runtime_jar: str, warehouse: pathlib.Path, rest_uri: str = ""):
        self.warehouse = warehouse
        rest = {"spark.sql.catalog.rest": "org.apache.iceberg.spark.SparkCatalog", "spark.sql.catalog.rest.type": "rest",
                "spark.sql.catalog.rest.uri": rest_uri, "spark.sql.catalog.rest.cache-enabled": "false"} if rest_uri else {}
        builder = SparkSession.builder.master("local[1]").appName("signalbox")
        for key, value in {
            "spark.jars": runtime_jar,
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.memory": "768m",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.extraJavaOptions": JAVA,
            "spark.local.dir": str(warehouse / ".spark"),
            "spark.sql.warehouse.dir": str(warehouse / ".hive"),
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "1",
            # Tables of a few rows: planning and compiling would take longer than running.
            "spark.sql.adaptive.enabled": "false",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
            "spark.sql.defaultCatalog": CATALOG,
            f"spark.sql.catalog.{CATALOG}": "org.apache.iceberg.spark.SparkCatalog",
            f"spark.sql.catalog.{CATALOG}.type": "hadoop",
            f"spark.sql.catalog.{CATALOG}.warehouse": str(warehouse),
            f"spark.sql.catalog.{CATALOG}.cache-enabled": "false",
            **rest,
        }.items():
            builder = builder.config(key, value)
        self.spark = builder.getOrCreate()
        self.spark.sparkContext.setLogLevel("ERROR")

    def stop(self) -> None:
        self.spark.stop()

    def sql(self, statement: str) -> list:
        return self.spark.sql(statement).collect()

    def folder(self, table: str) -> pathlib.Path:
        return self.warehouse / table.replace(".", "/")

    def java_table(self, table: str):
        """Iceberg's own Java object of that table, as it is now."""
        return self.spark._jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(self.spark._jsparkSession, f"{CATALOG}.{table}")

    def _select(self, table: str, what: str, version: str = "") -> str:
        columns = "*"
        if what in ("files", "data_files", "delete_files", "all_data_files", "all_delete_files"):
            there = self.spark.table(f"{table}.{what}").columns  # an unpartitioned table has no column `partition`
            columns = ", ".join(column for column in FILE_COLUMNS if column in there)
        elif what in ("entries", "all_entries"):
            there = self.spark.table(f"{table}.{what}").select("data_file.*").columns
            columns = ", ".join(["status", "snapshot_id", "sequence_number"] + [f"data_file.{c}" for c in FILE_COLUMNS if c in there])
        return f"SELECT '{what}' AS what, to_json(struct({columns}), map('ignoreNullFields', 'false')) AS row FROM {table}.{what}{version}"

    def tables(self, table: str, *whats: str) -> dict[str, list[dict]]:
        """Rows of the table's metadata tables, all in one query."""
        found: dict[str, list[dict]] = {what: [] for what in whats}
        for row in self.sql(" UNION ALL ".join(self._select(table, what) for what in whats)):
            found[row.what].append(json.loads(row.row))
        return found

    def files_at(self, table: str, snapshot_id: int) -> list[dict]:
        """The live files of any snapshot that the table still has."""
        return [json.loads(row.row) for row in self.sql(self._select(table, "files", f" VERSION AS OF {snapshot_id}"))]

    def delete_equal(self, table: str, column: str, value: str, partition: dict[str, str]) -> None:
        """Commits an equality delete: rows of that (identity) partition whose text column has that value are gone. Spark writes none
        by itself, so that Iceberg's writers are called here."""
        iceberg = self.spark._jvm.org.apache.iceberg
        loaded = self.java_table(table)
        schema, spec = loaded.schema(), loaded.spec()
        ids = self.spark.sparkContext._gateway.new_array(self.spark._jvm.int, 1)
        ids[0] = schema.findField(column).fieldId()
        row = iceberg.data.GenericRecord.create(schema)
        for name, part in partition.items():
            row.setField(name, part)
        key = iceberg.PartitionKey(spec, schema)
        key.partition(iceberg.data.InternalRecordWrapper(schema.asStruct()).wrap(row))
        deleted = schema.select([column])
        parquet = iceberg.FileFormat.PARQUET
        output = iceberg.io.OutputFileFactory.builderFor(loaded, 1, 1).format(parquet).build().newOutputFile(spec, key)
        factory = getattr(iceberg.data, "GenericFileWriterFactory$Builder")(loaded)
        writer = factory.deleteFileFormat(parquet).equalityFieldIds(ids).equalityDeleteRowSchema(deleted).build().newEqualityDeleteWriter(output, spec, key)
        record = iceberg.data.GenericRecord.create(deleted)
        record.setField(column, value)
        writer.write(record)
        writer.close()
        loaded.newRowDelta().addDeletes(writer.toDeleteFile()).commit()
