#include "domain/clusters/gtid.hpp"

#include <algorithm>
#include <limits>

#include "base/text.hpp"

namespace signalbox::clusters {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t list_max = 4096;

bool before(const Gtid& a, const Gtid& b) { return a.domain != b.domain ? a.domain < b.domain : a.server < b.server; }

std::optional<Gtid> parse_one(std::string_view text) {
    const auto parts = base::split(text, '-');
    if (parts.size() != 3) return std::nullopt;
    const auto domain = base::parse_uint(parts[0]);
    const auto server = base::parse_uint(parts[1]);
    const auto sequence = base::parse_uint(parts[2]);
    constexpr std::uint64_t max = std::numeric_limits<std::uint32_t>::max();
    if (!domain || !server || !sequence || *domain > max || *server > max) return std::nullopt;
    return Gtid{static_cast<std::uint32_t>(*domain), static_cast<std::uint32_t>(*server), *sequence};
}

}  // namespace

std::string Gtid::text() const { return fmt::format("{}-{}-{}", domain, server, sequence); }

base::Result<GtidState> GtidState::parse(std::string_view text) {
    GtidState state;
    if (base::trim(text).empty()) return state;
    std::size_t count = 0;
    for (const std::string_view part : base::split(text, ',')) {
        const auto gtid = parse_one(base::trim(part));
        if (!gtid || ++count > list_max) {
            return fail(ErrorKind::CorruptData,
                        "'{}' is no GTID list: expected at most {} of domain-server-sequence, separated by commas",
                        text.substr(0, 120), list_max);
        }
        state.add(*gtid);
    }
    return state;
}

std::string GtidState::text() const {
    std::string out;
    for (const Gtid& gtid : last_) {
        if (!out.empty()) out += ',';
        out += gtid.text();
    }
    return out;
}

std::uint64_t GtidState::sequence(std::uint32_t domain, std::uint32_t server) const {
    const auto found = std::lower_bound(last_.begin(), last_.end(), Gtid{domain, server, 0}, before);
    return found != last_.end() && found->domain == domain && found->server == server ? found->sequence : 0;
}

std::optional<Gtid> GtidState::first_missing(const GtidState& other) const {
    auto mine = last_.begin();
    for (const Gtid& theirs : other.last_) {
        while (mine != last_.end() && before(*mine, theirs)) ++mine;
        const bool same = mine != last_.end() && !before(theirs, *mine);
        if (!same || mine->sequence < theirs.sequence) return theirs;
    }
    return std::nullopt;
}

void GtidState::add(const Gtid& gtid) {
    const auto at = std::lower_bound(last_.begin(), last_.end(), gtid, before);
    if (at != last_.end() && !before(gtid, *at)) {
        at->sequence = std::max(at->sequence, gtid.sequence);
    } else {
        last_.insert(at, gtid);
    }
}

void GtidState::join(const GtidState& other) {
    for (const Gtid& gtid : other.last_) add(gtid);
}

GtidState GtidState::newest_per_domain() const {
    GtidState newest;
    for (std::size_t begin = 0; begin < last_.size();) {
        std::size_t end = begin;
        std::uint64_t sequence = 0;
        for (; end < last_.size() && last_[end].domain == last_[begin].domain; ++end) {
            sequence = std::max(sequence, last_[end].sequence);
        }
        for (; begin < end; ++begin) {
            if (last_[begin].sequence == sequence) newest.last_.push_back(last_[begin]);
        }
    }
    return newest;
}

}  // namespace signalbox::clusters
