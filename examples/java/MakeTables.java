import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.DataFile;
import org.apache.iceberg.DataFiles;
import org.apache.iceberg.DeleteFile;
import org.apache.iceberg.FileFormat;
import org.apache.iceberg.FileMetadata;
import org.apache.iceberg.Metrics;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.Schema;
import org.apache.iceberg.Table;
import org.apache.iceberg.hadoop.HadoopTables;
import org.apache.iceberg.types.Types;

/**
 * Writes metadata of tables with delete files through Iceberg's own Java library. Its files are only named, never written:
 * Signalbox reads no data file. Called by make_tables.py with the folder of the tables.
 */
public class MakeTables {
  static final Schema SCHEMA =
      new Schema(
          Types.NestedField.required(1, "id", Types.LongType.get()),
          Types.NestedField.optional(2, "region", Types.StringType.get()),
          Types.NestedField.optional(3, "price", Types.DecimalType.of(9, 2)));

  /** Statistics as a writer gives them for the id and region columns. */
  static Metrics metrics(long records) {
    ByteBuffer low = ByteBuffer.wrap("ap".getBytes(StandardCharsets.UTF_8));
    ByteBuffer high = ByteBuffer.wrap("us".getBytes(StandardCharsets.UTF_8));
    return new Metrics(
        records, Map.of(1, 8 * records, 2, 70L), Map.of(1, records, 2, records), Map.of(1, 0L, 2, 0L), Map.of(), Map.of(2, low), Map.of(2, high));
  }

  static DataFile data(Table table, String region, int number, long records) {
    return DataFiles.builder(table.spec())
        .withPath(table.location() + "/data/region=" + region + "/" + number + ".parquet")
        .withPartitionPath("region=" + region)
        .withFormat(FileFormat.PARQUET)
        .withFileSizeInBytes(1000 + 10 * records)
        .withMetrics(metrics(records))
        .build();
  }

  static FileMetadata.Builder deletes(Table table, String region, String name, long records) {
    return FileMetadata.deleteFileBuilder(table.spec())
        .withPath(table.location() + "/data/region=" + region + "/" + name)
        .withPartitionPath("region=" + region)
        .withFileSizeInBytes(500 + records)
        .withMetrics(metrics(records));
  }

  static Table create(String root, String name, String version, String codec) {
    PartitionSpec spec = PartitionSpec.builderFor(SCHEMA).identity("region").build();
    return new HadoopTables(new Configuration())
        .create(
            SCHEMA,
            spec,
            Map.of(
                "format-version", version,
                "write.avro.compression-codec", codec,
                "write.metadata.compression-codec", version.equals("3") ? "gzip" : "none",
                "commit.manifest.min-count-to-merge", "3"),
            root + "/" + name);
  }

  /** Version 2: appends that merge, position deletes, equality deletes, a compaction that removes both. */
  static void mergeOnRead(String root) {
    Table table = create(root, "merge_on_read", "2", "gzip");
    DataFile first = data(table, "eu", 1, 500);
    DataFile second = data(table, "us", 2, 80);
    table.newAppend().appendFile(first).appendFile(second).commit();
    for (int i = 3; i < 8; i++) table.newAppend().appendFile(data(table, "ap", i, 11L * i)).commit();
    DeleteFile positions = deletes(table, "eu", "p1.parquet", 40).ofPositionDeletes().build();
    table.newRowDelta().addDeletes(positions).commit();
    table
        .newRowDelta()
        .addRows(data(table, "us", 8, 25))
        .addDeletes(deletes(table, "us", "e1.parquet", 5).ofEqualityDeletes(1).build())
        .addDeletes(deletes(table, "us", "p2.parquet", 7).ofPositionDeletes().build())
        .commit();
    table
        .newRewrite()
        .validateFromSnapshot(table.currentSnapshot().snapshotId())
        .deleteFile(first)
        .deleteFile(positions)
        .addFile(data(table, "eu", 9, 460))
        .commit();
    table
        .newRowDelta()
        .addDeletes(deletes(table, "ap", "p3.parquet", 9).ofPositionDeletes().build())
        .commit();
  }

  /** Version 3, metadata packed, zstd manifests: two deletion vectors that share one puffin file. */
  static void deletionVectors(String root) {
    Table table = create(root, "deletion_vectors", "3", "zstd");
    DataFile first = data(table, "eu", 1, 500);
    DataFile second = data(table, "eu", 2, 300);
    table.newAppend().appendFile(first).appendFile(second).appendFile(data(table, "us", 3, 20)).commit();
    table.newRowDelta().addDeletes(vector(table, first, 4, 44, 40)).addDeletes(vector(table, second, 48, 52, 3)).commit();
  }

  static DeleteFile vector(Table table, DataFile file, long offset, long bytes, long records) {
    return deletes(table, "eu", "vectors.puffin", records)
        .ofPositionDeletes()
        .withFormat(FileFormat.PUFFIN)
        .withReferencedDataFile(file.location())
        .withContentOffset(offset)
        .withContentSizeInBytes(bytes)
        .build();
  }

  public static void main(String[] arguments) {
    mergeOnRead(arguments[0]);
    deletionVectors(arguments[0]);
  }
}
