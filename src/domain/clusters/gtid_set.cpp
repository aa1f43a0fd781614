#include "domain/clusters/gtid_set.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace signalbox::clusters {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t sources_max = 4096;
constexpr std::size_t intervals_max = 65'536;
constexpr std::uint64_t number_max = (1ULL << 63U) - 2;  // GNO_END - 1 of the server
constexpr std::size_t tag_max = 32;

bool is_hex(char letter) { return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f'); }

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& letter : out) {
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    }
    return out;
}

bool is_uuid(std::string_view text) {
    if (text.size() != 36) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !is_hex(text[i])) return false;
    }
    return true;
}

// A letter or underscore, then also digits, at most 32.
bool is_tag(std::string_view text) {
    if (text.empty() || text.size() > tag_max || (text[0] >= '0' && text[0] <= '9')) return false;
    return std::all_of(text.begin(), text.end(), [](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '_';
    });
}

std::optional<GtidInterval> interval_of(std::string_view text) {
    const std::size_t dash = text.find('-');
    const auto first = base::parse_uint(base::trim(text.substr(0, dash)));
    const auto last = dash == std::string_view::npos ? first : base::parse_uint(base::trim(text.substr(dash + 1)));
    if (!first || !last || *first == 0 || *last > number_max || *first > *last) return std::nullopt;
    return GtidInterval{*first, *last};
}

void merge(std::vector<GtidInterval>& intervals) {
    std::sort(intervals.begin(), intervals.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::size_t kept = 0;
    for (std::size_t i = 1; i < intervals.size(); ++i) {
        if (intervals[i].first <= intervals[kept].last + 1) {
            intervals[kept].last = std::max(intervals[kept].last, intervals[i].last);
        } else {
            intervals[++kept] = intervals[i];
        }
    }
    if (!intervals.empty()) intervals.resize(kept + 1);
}

bool before(const GtidSource& a, const GtidSource& b) { return a.uuid != b.uuid ? a.uuid < b.uuid : a.tag < b.tag; }

// The first part of `theirs` that no interval of `mine` covers. Merged intervals: one must cover it whole.
std::optional<GtidInterval> first_uncovered(const std::vector<GtidInterval>& mine,
                                            const std::vector<GtidInterval>& theirs) {
    auto at = mine.begin();
    for (const GtidInterval& wanted : theirs) {
        while (at != mine.end() && at->last < wanted.first) ++at;
        if (at == mine.end() || at->first > wanted.last) return wanted;
        if (at->first > wanted.first) return GtidInterval{wanted.first, at->first - 1};
        if (at->last < wanted.last) {
            const auto next = std::next(at);
            const bool meets = next != mine.end() && next->first <= wanted.last;
            return GtidInterval{at->last + 1, meets ? next->first - 1 : wanted.last};
        }
    }
    return std::nullopt;
}

}  // namespace

std::string GtidSource::text() const {
    std::string out = uuid;
    if (!tag.empty()) out += ":" + tag;
    for (const GtidInterval& one : intervals) {
        out += one.first == one.last ? fmt::format(":{}", one.first) : fmt::format(":{}-{}", one.first, one.last);
    }
    return out;
}

base::Result<GtidSet> GtidSet::parse(std::string_view text) {
    const auto corrupt = [&] {
        return fail(ErrorKind::CorruptData,
                    "'{}' is no GTID set: expected uuid[:tag]:first[-last], separated by commas, at most {} of them",
                    text.substr(0, 120), sources_max);
    };
    GtidSet set;
    if (base::trim(text).empty()) return set;
    std::vector<GtidSource> found;
    std::size_t intervals = 0;
    for (const std::string_view part : base::split(text, ',')) {
        const auto pieces = base::split(base::trim(part), ':');
        const std::string uuid = lower(base::trim(pieces[0]));
        if (!is_uuid(uuid) || pieces.size() < 2) return corrupt();
        // Intervals after a tag are of that tag: "uuid:1-3:tag:4".
        bool fresh = true;
        for (std::size_t i = 1; i < pieces.size(); ++i) {
            const std::string piece = lower(base::trim(pieces[i]));
            if (is_tag(piece)) {
                if (i + 1 == pieces.size() || (i > 1 && fresh)) return corrupt();
                if (found.size() >= sources_max) return corrupt();
                found.push_back({uuid, piece, {}});
                fresh = true;
                continue;
            }
            const auto interval = interval_of(piece);
            if (!interval || ++intervals > intervals_max) return corrupt();
            if (i == 1) {
                if (found.size() >= sources_max) return corrupt();
                found.push_back({uuid, "", {}});
            }
            found.back().intervals.push_back(*interval);
            fresh = false;
        }
    }
    std::stable_sort(found.begin(), found.end(), before);
    for (GtidSource& source : found) {
        if (!set.sources_.empty() && !before(set.sources_.back(), source)) {
            auto& into = set.sources_.back().intervals;
            into.insert(into.end(), source.intervals.begin(), source.intervals.end());
        } else {
            set.sources_.push_back(std::move(source));
        }
    }
    for (GtidSource& source : set.sources_) merge(source.intervals);
    return set;
}

std::string GtidSet::text() const {
    std::string out;
    for (const GtidSource& source : sources_) {
        if (!out.empty()) out += ',';
        out += source.text();
    }
    return out;
}

std::optional<GtidSet> GtidSet::first_missing(const GtidSet& other) const {
    auto mine = sources_.begin();
    for (const GtidSource& theirs : other.sources_) {
        while (mine != sources_.end() && before(*mine, theirs)) ++mine;
        const bool same = mine != sources_.end() && !before(theirs, *mine);
        const auto missing =
            same ? first_uncovered(mine->intervals, theirs.intervals) : std::optional(theirs.intervals.front());
        if (!missing) continue;
        GtidSet one;
        one.sources_.push_back({theirs.uuid, theirs.tag, {*missing}});
        return one;
    }
    return std::nullopt;
}

void GtidSet::add(GtidSource source) {
    const auto at = std::lower_bound(sources_.begin(), sources_.end(), source, before);
    if (at == sources_.end() || before(source, *at)) {
        sources_.insert(at, std::move(source));
        return;
    }
    at->intervals.insert(at->intervals.end(), source.intervals.begin(), source.intervals.end());
    merge(at->intervals);
}

void GtidSet::join(const GtidSet& other) {
    for (const GtidSource& source : other.sources_) add(source);
}

GtidSet GtidSet::of(std::string_view uuid) const {
    GtidSet out;
    for (const GtidSource& source : sources_) {
        if (source.uuid == uuid) out.sources_.push_back(source);
    }
    return out;
}

GtidSet GtidSet::without(std::string_view uuid) const {
    GtidSet out;
    for (const GtidSource& source : sources_) {
        if (source.uuid != uuid) out.sources_.push_back(source);
    }
    return out;
}

}  // namespace signalbox::clusters
