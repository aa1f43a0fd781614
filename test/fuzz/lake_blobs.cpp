// Any bytes as what the store keeps of tables. What is accepted is what encoding writes: it encodes to the same bytes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "domain/lake/history.hpp"
#include "domain/lake/metrics.hpp"

namespace {

using namespace signalbox;

void aggregate(std::string_view text) {
    const auto decoded = lake::decode_aggregate(text);
    if (!decoded) return;
    SB_ASSERT(decoded->encode() == text, "equal aggregates have equal bytes");
    lake::TableState state;
    if (!state.add(*decoded)) return;
    lake::TableMetadata metadata;
    metadata.specs = {{0, {{1000, 1, "p", "identity", "decimal(9, 2)", "p"}}}};
    lake::compute_metrics(metadata, nullptr, state, lake::change_by_claims(1, {&*decoded}));
    SB_ASSERT(state.remove(*decoded).has_value(), "what was added can be taken away");
}

void partition_and_state(std::string_view text) {
    // The first byte tells how long the partition's part is.
    const std::size_t size = std::min<std::size_t>(static_cast<unsigned char>(text[0]), text.size() - 1);
    const auto partition = lake::decode_partition_state(text.substr(1, size));
    std::unordered_map<std::string, lake::PartitionState> partitions;
    if (partition) {
        SB_ASSERT(partition->encode() == text.substr(1, size), "equal partitions have equal bytes");
        partitions.emplace("", *partition);
    }
    const auto state = lake::TableState::decode(text.substr(1 + size), std::move(partitions), {});
    if (state) SB_ASSERT(state->encode_scalars() == text.substr(1 + size), "equal states have equal bytes");
}

void cursor(std::string_view text) {
    const auto value = base::parse_json(text);
    if (!value || !value->is_object()) return;
    const auto decoded = lake::decode_cursor(value->get_object());
    if (!decoded) return;
    const auto again = lake::decode_cursor(lake::encode(*decoded));
    SB_ASSERT(again && lake::encode(*again) == lake::encode(*decoded), "a cursor survives the store");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] % 3) {
        case 0:
            aggregate(text);
            break;
        case 1:
            partition_and_state(text);
            break;
        default:
            cursor(text);
    }
    return 0;
}
