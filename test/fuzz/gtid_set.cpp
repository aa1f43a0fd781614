// Any bytes are a MySQL GTID set or an error; what was read is written and read again as the same.

#include "domain/clusters/gtid_set.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using signalbox::clusters::GtidSet;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto set = GtidSet::parse(text);
    if (!set) return 0;
    const auto again = GtidSet::parse(set->text());
    SB_ASSERT(again && *again == *set, "a set that was written reads as the same");
    SB_ASSERT(set->contains(*set), "a set contains itself");
    // The two halves of the text, where both are sets, make the whole.
    const std::size_t comma = text.find(',', text.size() / 2);
    if (comma == std::string_view::npos) return 0;
    auto left = GtidSet::parse(text.substr(0, comma));
    const auto right = GtidSet::parse(text.substr(comma + 1));
    if (!left || !right) return 0;
    if (const auto missing = left->first_missing(*right)) {
        SB_ASSERT(right->contains(*missing) && !left->contains(*missing), "what is missing is there and not here");
    }
    left->join(*right);
    SB_ASSERT(*left == *set && left->contains(*right), "the halves make the whole");
    return 0;
}
