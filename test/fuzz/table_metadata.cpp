// Any bytes as a table's metadata file.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "domain/lake/metrics.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace signalbox;
    const auto metadata = lake::parse_table_metadata(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!metadata) return 0;
    const lake::Snapshot* snapshot = metadata->current_snapshot();
    if (snapshot == nullptr) return 0;
    const lake::TableTotals totals(snapshot->id);
    lake::compute_metrics(*metadata, snapshot, &totals);
    for (const lake::PartitionSpec& spec : metadata->specs) lake::partition_name("", spec);
    return 0;
}
