// Any bytes as a table's metadata file.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "domain/lake/health.hpp"
#include "domain/lake/metrics.hpp"
#include "domain/lake/partition_filter.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace signalbox;
    const auto metadata = lake::parse_table_metadata(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!metadata) return 0;
    const lake::Snapshot* snapshot = metadata->current_snapshot();
    if (snapshot == nullptr) return 0;
    const lake::TableState state;
    lake::compute_metrics(*metadata, snapshot, state, lake::Change());
    lake::assess(*metadata, state, {"db.t", "c", 3, 1'000'000, std::nullopt});
    for (const lake::PartitionSpec& spec : metadata->specs) {
        lake::partition_name("", spec);
        lake::partition_filter("", spec);
    }
    return 0;
}
