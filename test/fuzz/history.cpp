// Any two metadata files, one after the other (a NUL between them): the walk from the first to the second ends, and a
// second one reports nothing again.

#include "domain/lake/history.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace signalbox;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::size_t middle = std::min(text.find('\0'), text.size());
    const auto before = lake::parse_table_metadata(text.substr(0, middle));
    if (!before) return 0;
    const auto history = lake::plan_walk(std::nullopt, *before, lake::FirstLook::History);
    if (!history) return 0;
    SB_ASSERT(history->commits.size() <= before->snapshots.size(), "each snapshot is reported once at most");
    const auto after = lake::parse_table_metadata(text.substr(std::min(middle + 1, text.size())));
    if (!after) return 0;
    const auto walk = lake::plan_walk(history->after, *after, lake::FirstLook::Baseline);
    if (!walk) return 0;
    SB_ASSERT(walk->commits.size() <= after->snapshots.size(), "each snapshot is reported once at most");
    for (const lake::Cursor& cursor : {walk->start, walk->after}) {
        const auto again = lake::plan_walk(cursor, *after, lake::FirstLook::Baseline);
        SB_ASSERT(again && again->events.empty(), "no event is reported again");
        SB_ASSERT(again->commits.size() <= walk->commits.size(), "no commit is reported again");
    }
    return 0;
}
