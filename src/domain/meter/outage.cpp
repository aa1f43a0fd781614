#include "domain/meter/outage.hpp"

#include <algorithm>
#include <map>

namespace signalbox::meter {
namespace {

// An operation that was never answered shows trouble from when it was sent, an error from when it came.
MonoTime evidence_time(const Sample& sample) { return sample.code == 0 ? sample.sent_at : sample.completed_at; }

using EvidenceByPath = std::map<std::uint16_t, std::vector<MonoTime>>;

EvidenceByPath collect_evidence(const std::vector<Sample>& stream) {
    EvidenceByPath evidence;
    for (const Sample& sample : stream) {
        if (sample.outcome != Outcome::Ok) evidence[sample.path].push_back(evidence_time(sample));
    }
    for (auto& [path, times] : evidence) std::sort(times.begin(), times.end());
    return evidence;
}

std::optional<MonoTime> first_evidence(const EvidenceByPath& evidence, std::uint16_t path, MonoTime from, MonoTime to) {
    const auto found = evidence.find(path);
    if (found == evidence.end()) return std::nullopt;
    const auto at = std::lower_bound(found->second.begin(), found->second.end(), from);
    if (at == found->second.end() || *at >= to) return std::nullopt;
    return *at;
}

// The good samples, once by completion and once by sending; `best_from[i]` is the earliest completion among
// by_sent[i…].
struct Good {
    std::vector<Sample> by_completion;
    std::vector<MonoTime> sent;
    std::vector<MonoTime> best_from;

    explicit Good(const std::vector<Sample>& stream) {
        std::copy_if(stream.begin(), stream.end(), std::back_inserter(by_completion),
                     [](const Sample& sample) { return sample.outcome == Outcome::Ok; });
        std::vector<Sample> by_sent = by_completion;
        std::sort(by_completion.begin(), by_completion.end(),
                  [](const Sample& a, const Sample& b) { return a.completed_at < b.completed_at; });
        std::sort(by_sent.begin(), by_sent.end(),
                  [](const Sample& a, const Sample& b) { return a.sent_at < b.sent_at; });
        best_from.resize(by_sent.size());
        MonoTime best = MonoTime::max();
        for (std::size_t i = by_sent.size(); i-- > 0;) {
            best = std::min(best, by_sent[i].completed_at);
            best_from[i] = best;
        }
        for (const Sample& sample : by_sent) sent.push_back(sample.sent_at);
    }

    std::optional<MonoTime> first_completion_sent_from(MonoTime from) const {
        const auto at = std::lower_bound(sent.begin(), sent.end(), from);
        if (at == sent.end()) return std::nullopt;
        return best_from[static_cast<std::size_t>(at - sent.begin())];
    }
};

}  // namespace

OutageRule rule_for(Duration interval, std::optional<MonoTime> stalls_since) {
    return OutageRule{interval + interval / 2, std::max<Duration>(5 * interval, std::chrono::milliseconds(50)),
                      stalls_since};
}

std::vector<Outage> find_outages(const std::vector<Sample>& stream, const OutageRule& rule, MonoTime until) {
    const Good good(stream);
    const EvidenceByPath evidence = collect_evidence(stream);
    std::vector<Outage> outages;
    MonoTime resume = MonoTime::min();
    for (const Sample& last : good.by_completion) {
        const MonoTime start = last.completed_at;
        if (start < resume) continue;
        const std::optional<MonoTime> end = good.first_completion_sent_from(start);
        const MonoTime stop = end.value_or(std::max(until, start));
        if (stop - start < rule.gap_min) continue;
        const auto shown = first_evidence(evidence, last.path, start, end.value_or(MonoTime::max()));
        const bool stall = rule.stalls_since && stop > *rule.stalls_since && stop - start >= rule.stall_min;
        if (!shown && !stall) continue;
        outages.push_back(Outage{start, end, shown});
        if (!end) break;
        resume = *end;
    }
    return outages;
}

std::optional<Outage> longest_outage(const std::vector<Outage>& outages, MonoTime from, MonoTime to, MonoTime until) {
    std::optional<Outage> longest;
    Duration length{-1};
    for (const Outage& outage : outages) {
        const MonoTime end = outage.end.value_or(std::max(until, outage.start));
        if (outage.evidence_at.value_or(outage.start) >= to || (outage.end && *outage.end <= from)) continue;
        const bool better_shown = longest && outage.evidence_at && !longest->evidence_at;
        const bool worse_shown = longest && !outage.evidence_at && longest->evidence_at;
        if (worse_shown || (!better_shown && end - outage.start <= length)) continue;
        longest = outage;
        length = end - outage.start;
    }
    return longest;
}

std::vector<Sample> stream_of(const Recording& recording, Kind kind, const std::vector<bool>& wanted) {
    std::vector<Sample> stream;
    std::copy_if(recording.samples.begin(), recording.samples.end(), std::back_inserter(stream),
                 [&](const Sample& sample) { return sample.kind == kind && wanted[sample.path]; });
    return stream;
}

std::vector<Sample> stream_of(const Recording& recording, Kind kind, std::size_t path) {
    std::vector<bool> wanted(recording.paths.size(), false);
    wanted[path] = true;
    return stream_of(recording, kind, wanted);
}

}  // namespace signalbox::meter
