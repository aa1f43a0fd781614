// Any bytes as a manifest, counted into metrics as the program does it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "adapters/iceberg/manifest_reader.hpp"
#include "base/assert.hpp"
#include "domain/lake/health.hpp"
#include "domain/lake/metrics.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace signalbox;
    if (size == 0) return 0;
    lake::TableMetadata metadata;
    metadata.format_version = 2;
    metadata.specs = {{0,
                       {{1000, 5, "ordered_day", "day", "timestamp", "ordered_at"},
                        {1001, 3, "region", "identity", "string", "region"},
                        {1002, 4, "amount", "identity", "decimal(9, 2)", "amount"},
                        {1003, 6, "hour", "hour", "timestamp", "place.at"}}}};
    lake::Snapshot snapshot;
    snapshot.id = 1;
    lake::ManifestFile manifest;
    manifest.path = "fuzzed";
    manifest.added_snapshot_id = 1;
    manifest.holds_deletes = data[0] % 2 != 0;
    if (data[0] % 4 >= 2) manifest.spec_id = 0;
    const std::string_view file(reinterpret_cast<const char*>(data) + 1, size - 1);
    const auto aggregate = iceberg::read_manifest(file, manifest, metadata);
    if (!aggregate) return 0;
    std::vector<lake::LiveFile> files;
    SB_ASSERT(iceberg::read_live_files(file, manifest, metadata, files).has_value(), "what adds up can be listed");
    const auto decoded = lake::decode_aggregate(aggregate->encode());
    SB_ASSERT(decoded && decoded->encode() == aggregate->encode(), "an aggregate survives the store");
    lake::TableState state;
    if (!state.add(*aggregate)) return 0;
    const lake::Change change = lake::change_by_claims(snapshot.id, {&*aggregate});
    lake::compute_metrics(metadata, &snapshot, state, change);
    lake::assess(metadata, state, {"db.t", "c", 3, 1'000'000, 0});
    SB_ASSERT(state.remove(*aggregate).has_value(), "what was added can be taken away");
    SB_ASSERT(state.same_as(lake::TableState()), "and leaves nothing");
    return 0;
}
