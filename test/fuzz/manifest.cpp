// Any bytes as a manifest, counted into metrics as the program does it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "adapters/iceberg/manifest_reader.hpp"
#include "domain/lake/metrics.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace signalbox;
    if (size == 0) return 0;
    lake::TableMetadata metadata;
    metadata.format_version = 2;
    metadata.specs = {{0,
                       {{1000, 5, "ordered_day", "day", "timestamp"},
                        {1001, 3, "region", "identity", "string"},
                        {1002, 4, "amount", "identity", "decimal(9, 2)"},
                        {1003, 6, "hour", "hour", "timestamp"}}}};
    lake::Snapshot snapshot;
    snapshot.id = 1;
    lake::ManifestFile manifest;
    manifest.path = "fuzzed";
    manifest.added_snapshot_id = 1;
    manifest.holds_deletes = data[0] % 2 != 0;
    if (data[0] % 4 >= 2) manifest.spec_id = 0;
    lake::TableTotals totals(snapshot.id);
    const std::string_view file(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (!iceberg::read_manifest(file, manifest, metadata, totals)) return 0;
    lake::compute_metrics(metadata, &snapshot, &totals);
    return 0;
}
