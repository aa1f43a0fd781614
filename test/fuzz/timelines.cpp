// Any bytes are a PostgreSQL history of timelines or an error; what was read is written and read again as the same.

#include "domain/clusters/timelines.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using signalbox::clusters::Timelines;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto history = Timelines::parse(text);
    if (!history) return 0;
    const auto again = Timelines::parse(history->text());
    SB_ASSERT(again && *again == *history, "a history that was written reads as the same");
    SB_ASSERT(history->contains(*history) && !history->descends_from(*history), "a history contains itself");
    SB_ASSERT(history->contains(history->newest()), "a history contains its newest part");
    Timelines joined = history->newest();
    joined.join(*history);
    SB_ASSERT(joined == *history, "joining what is contained gives the container");
    return 0;
}
