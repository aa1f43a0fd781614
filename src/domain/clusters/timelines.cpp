#include "domain/clusters/timelines.hpp"

#include <algorithm>
#include <limits>

#include "base/text.hpp"

namespace signalbox::clusters {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t list_max = 4096;

// One half of an LSN: 1–8 hexadecimal digits.
std::optional<std::uint64_t> parse_half(std::string_view text) {
    if (text.empty() || text.size() > 8) return std::nullopt;
    std::uint64_t value = 0;
    for (const char letter : text) {
        unsigned digit = 0;
        if (letter >= '0' && letter <= '9') {
            digit = static_cast<unsigned>(letter - '0');
        } else if (letter >= 'A' && letter <= 'F') {
            digit = static_cast<unsigned>(letter - 'A') + 10;
        } else if (letter >= 'a' && letter <= 'f') {
            digit = static_cast<unsigned>(letter - 'a') + 10;
        } else {
            return std::nullopt;
        }
        value = value << 4U | digit;
    }
    return value;
}

std::optional<TimelineEnd> parse_one(std::string_view text) {
    const std::size_t at = text.find('@');
    if (at == std::string_view::npos) return std::nullopt;
    const auto timeline = base::parse_uint(text.substr(0, at));
    const std::string_view lsn = text.substr(at + 1);
    const std::size_t slash = lsn.find('/');
    if (!timeline || *timeline == 0 || *timeline > std::numeric_limits<std::uint32_t>::max() ||
        slash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto high = parse_half(lsn.substr(0, slash));
    const auto low = parse_half(lsn.substr(slash + 1));
    if (!high || !low) return std::nullopt;
    return TimelineEnd{static_cast<std::uint32_t>(*timeline), *high << 32U | *low};
}

bool before(const TimelineEnd& end, std::uint32_t timeline) { return end.timeline < timeline; }

}  // namespace

std::string TimelineEnd::text() const {
    return fmt::format("{}@{:X}/{:X}", timeline, lsn >> 32U, lsn & std::numeric_limits<std::uint32_t>::max());
}

base::Result<Timelines> Timelines::parse(std::string_view text) {
    Timelines out;
    if (base::trim(text).empty()) return out;
    for (const std::string_view part : base::split(text, ',')) {
        const auto end = parse_one(base::trim(part));
        const bool grows = end && (out.ends_.empty() || out.ends_.back().timeline < end->timeline);
        if (!grows || out.ends_.size() >= list_max) {
            return fail(ErrorKind::CorruptData,
                        "'{}' is no history of timelines: expected at most {} of timeline@LSN, oldest first, separated "
                        "by commas",
                        text.substr(0, 120), list_max);
        }
        out.ends_.push_back(*end);
    }
    return out;
}

std::string Timelines::text() const {
    std::string out;
    for (const TimelineEnd& end : ends_) {
        if (!out.empty()) out += ',';
        out += end.text();
    }
    return out;
}

const TimelineEnd* Timelines::find(std::uint32_t timeline) const {
    const auto at = std::lower_bound(ends_.begin(), ends_.end(), timeline, before);
    return at != ends_.end() && at->timeline == timeline ? &*at : nullptr;
}

bool Timelines::same_branch(const Timelines& other, std::uint32_t timeline) const {
    const TimelineEnd* mine = find(timeline);
    const TimelineEnd* theirs = other.find(timeline);
    if (mine == nullptr || theirs == nullptr) return true;
    const bool ended = mine != &ends_.back() && theirs != &other.ends_.back();
    if (!ended || (mine + 1)->timeline != (theirs + 1)->timeline) return true;
    return mine->lsn == theirs->lsn;
}

std::optional<TimelineEnd> Timelines::first_missing(const Timelines& other) const {
    for (const TimelineEnd& theirs : other.ends_) {
        const TimelineEnd* mine = find(theirs.timeline);
        if (mine == nullptr || mine->lsn < theirs.lsn || !same_branch(other, theirs.timeline)) return theirs;
    }
    return std::nullopt;
}

bool Timelines::descends_from(const Timelines& other) const {
    if (other.ends_.empty() || ends_.empty()) return false;
    const std::uint32_t theirs = other.ends_.back().timeline;
    if (theirs >= ends_.back().timeline || find(theirs) == nullptr) return false;
    return std::all_of(other.ends_.begin(), other.ends_.end(),
                       [&](const TimelineEnd& end) { return same_branch(other, end.timeline); });
}

bool Timelines::same_timeline(const Timelines& other) const {
    if (other.ends_.empty() || ends_.empty() || ends_.back().timeline != other.ends_.back().timeline) return false;
    return std::all_of(other.ends_.begin(), other.ends_.end(),
                       [&](const TimelineEnd& end) { return same_branch(other, end.timeline); });
}

void Timelines::join(const Timelines& other) {
    for (const TimelineEnd& theirs : other.ends_) {
        const auto at = std::lower_bound(ends_.begin(), ends_.end(), theirs.timeline, before);
        if (at != ends_.end() && at->timeline == theirs.timeline) {
            at->lsn = std::max(at->lsn, theirs.lsn);
        } else {
            ends_.insert(at, theirs);
        }
    }
}

Timelines Timelines::newest() const {
    Timelines out;
    for (std::size_t i = 0; i < ends_.size(); ++i) {
        if (i + 2 >= ends_.size() || ends_[i].lsn > ends_.back().lsn) out.ends_.push_back(ends_[i]);
    }
    return out;
}

Timelines Timelines::of(std::uint32_t timeline) const {
    Timelines out;
    if (const TimelineEnd* end = find(timeline)) out.ends_.push_back(*end);
    return out;
}

}  // namespace signalbox::clusters
