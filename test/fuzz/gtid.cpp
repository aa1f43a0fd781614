// Any bytes are a GTID list or an error; what was read is written and read again as the same.

#include "domain/clusters/gtid.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using signalbox::clusters::GtidState;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto state = GtidState::parse(text);
    if (!state) return 0;
    const auto again = GtidState::parse(state->text());
    SB_ASSERT(again && *again == *state, "a list that was written reads as the same");
    SB_ASSERT(state->contains(state->newest_per_domain()), "a state contains its newest");
    SB_ASSERT(state->contains(*state) && !state->first_missing(*state), "a state contains itself");
    return 0;
}
