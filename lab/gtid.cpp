#include "lab/gtid.hpp"

#include <algorithm>
#include <functional>

#include "base/text.hpp"

namespace signalbox::lab {
namespace {

using Take = std::function<void(std::uint64_t domain, std::uint64_t server, std::uint64_t sequence)>;

base::Status each_gtid(std::string_view text, const Take& take) {
    if (base::trim(text).empty()) return {};
    for (const auto part : base::split(text, ',')) {
        const auto fields = base::split(base::trim(part), '-');
        const auto domain = fields.size() == 3 ? base::parse_uint(fields[0]) : std::nullopt;
        const auto server = fields.size() == 3 ? base::parse_uint(fields[1]) : std::nullopt;
        const auto sequence = fields.size() == 3 ? base::parse_uint(fields[2]) : std::nullopt;
        if (!domain || !server || !sequence)
            return base::fail(base::ErrorKind::CorruptData, "expected a GTID like 0-1-57, found '{}'", part);
        take(*domain, *server, *sequence);
    }
    return {};
}

}  // namespace

base::Result<Position> parse_gtid_position(std::string_view text) {
    Position position;
    position.text = std::string(text);
    SB_CHECK(each_gtid(text, [&](auto domain, auto, auto sequence) {
        auto& held = position.last[std::to_string(domain)];
        held = std::max(held, sequence);
    }));
    return position;
}

base::Result<GtidState> GtidState::parse(std::string_view text) {
    GtidState state;
    SB_CHECK(each_gtid(text, [&](auto domain, auto server, auto sequence) {
        auto& held = state.sequences_[{domain, server}];
        held = std::max(held, sequence);
    }));
    return state;
}

bool GtidState::contains(const GtidState& other) const {
    return std::all_of(other.sequences_.begin(), other.sequences_.end(), [&](const auto& entry) {
        const auto found = sequences_.find(entry.first);
        return found != sequences_.end() && found->second >= entry.second;
    });
}

}  // namespace signalbox::lab
