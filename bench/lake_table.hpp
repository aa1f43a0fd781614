#pragma once
// Synthetic Iceberg tables of version 2 for benchmarks: metadata.json, manifest list and manifests as Iceberg's Java
// writer lays them out, with statistics of every column, and no data files. The same options give the same bytes.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace signalbox::bench {

struct TableOptions {
    std::string folder;  // absolute; made if it is not there, and must hold no table
    std::int64_t files = 100'000;
    int columns = 50;  // with statistics
    int partitions = 1000;
    std::uint64_t seed = 1;
    std::int64_t manifest_bytes = std::int64_t{8} << 20;  // Iceberg's commit.manifest.target-size-bytes
    std::int64_t manifests = 0;                           // so many instead, of equal size, if not 0
    int threads = 2;
};

struct TableMade {
    std::int64_t files = 0;
    std::int64_t records = 0;
    std::int64_t size_bytes = 0;
    std::int64_t manifests = 0;
    std::int64_t manifest_bytes = 0;
    std::string metadata_file;
};

// Throws std::runtime_error if a file can't be written.
TableMade make_table(const TableOptions& options);

// What a block of an Avro file with deflate holds, for those who want to inflate it themselves.
struct PackedBlock {
    std::int64_t rows = 0;
    std::size_t offset = 0;  // of the packed bytes in the file
    std::size_t size = 0;
};
std::vector<PackedBlock> packed_blocks(const std::string& file);

}  // namespace signalbox::bench
