#include "domain/meter/analysis.hpp"

#include <algorithm>
#include <set>

#include "domain/meter/phases.hpp"

namespace signalbox::meter {
namespace {

struct Group {
    std::string name;
    bool members = false;
    bool writes = false;
    std::vector<bool> paths;  // by index: belongs to it
};

std::vector<Group> groups_of(const Recording& recording) {
    std::vector<Group> groups;
    for (std::size_t i = 0; i < recording.paths.size(); ++i) {
        const PathInfo& path = recording.paths[i];
        auto found = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.name == path.group; });
        if (found == groups.end()) {
            groups.push_back(Group{path.group, false, false, std::vector<bool>(recording.paths.size(), false)});
            found = std::prev(groups.end());
        }
        found->members = found->members || path.member;
        found->writes = found->writes || path.writes;
        found->paths[i] = true;
    }
    return groups;
}

std::vector<bool> member_paths(const Recording& recording) {
    std::vector<bool> members;
    for (const PathInfo& path : recording.paths) members.push_back(path.member);
    // Without any path to a single member, every path has to stand in.
    if (std::find(members.begin(), members.end(), true) == members.end()) members.assign(members.size(), true);
    return members;
}

double percentile(const std::vector<double>& sorted, double share) {
    if (sorted.empty()) return 0;
    const double rank = share * static_cast<double>(sorted.size() - 1);
    return sorted[static_cast<std::size_t>(rank + 0.5)];
}

PathResult summarise_path(const Recording& recording, std::size_t path) {
    PathResult result;
    std::vector<double> latencies;
    for (const Sample& sample : recording.samples) {
        if (sample.path != path) continue;
        KindCounts& counts = result.counts[sample.kind];
        if (sample.outcome == Outcome::Ok) {
            ++counts.ok;
            if (sample.server != 0) result.server = recording.texts[sample.server];
            if (sample.kind == Kind::Write) latencies.push_back(base::to_ms(sample.completed_at - sample.sent_at));
        } else {
            ++(sample.outcome == Outcome::Failed ? counts.failed : counts.unknown);
            ++result.errors[code_name(sample.code)];
        }
    }
    std::sort(latencies.begin(), latencies.end());
    result.write_ms_p50 = percentile(latencies, 0.5);
    result.write_ms_p99 = percentile(latencies, 0.99);
    return result;
}

// Every moment of a write outage's first evidence, one per fault.
std::vector<MonoTime> find_faults(const Recording& recording, const std::vector<Group>& groups) {
    struct Window {
        MonoTime at;
        MonoTime end;
    };
    std::vector<Window> windows;
    const OutageRule rule = rule_for(recording.interval, std::nullopt);
    for (const Group& group : groups) {
        for (const Outage& outage :
             find_outages(stream_of(recording, Kind::Write, group.paths), rule, recording.ended_at)) {
            windows.push_back(Window{outage.evidence_at.value_or(outage.start), outage.end.value_or(outage.start)});
        }
    }
    std::sort(windows.begin(), windows.end(), [](const Window& a, const Window& b) { return a.at < b.at; });
    std::vector<MonoTime> faults;
    MonoTime busy_until = MonoTime::min();
    for (const Window& window : windows) {
        const bool apart = busy_until == MonoTime::min() || window.at > busy_until + fault_distance_min;
        if (apart) faults.push_back(window.at);
        busy_until = std::max(busy_until, window.end);
    }
    return faults;
}

// The given fault takes the place of the first one that is found after it.
std::vector<MonoTime> with_given(std::vector<MonoTime> faults, std::optional<MonoTime> given) {
    if (!given) return faults;
    // A given time is read from another clock: it may lie a little after the first error.
    constexpr Duration tolerance = std::chrono::milliseconds(100);
    const auto after =
        std::find_if(faults.begin(), faults.end(), [&](MonoTime at) { return at >= *given - tolerance; });
    if (after == faults.end()) {
        faults.push_back(*given);
    } else {
        *after = *given;
    }
    return faults;
}

Recovery recovery_of(const std::vector<Sample>& stream, const std::optional<Outage>& outage) {
    if (outage) return outage->end ? Recovery::Recovered : Recovery::NotRecovered;
    const bool good =
        std::any_of(stream.begin(), stream.end(), [](const Sample& s) { return s.outcome == Outcome::Ok; });
    return good ? Recovery::NoOutage : Recovery::NeverGood;
}

GroupResult judge_group(const Recording& recording, const Group& group, std::optional<MonoTime> from, MonoTime to) {
    GroupResult result;
    result.name = group.name;
    result.members = group.members;
    result.writes = group.writes;
    const OutageRule rule = rule_for(recording.interval, from);
    const auto judge = [&](Kind kind, Recovery& state, std::optional<Outage>& outage) {
        const std::vector<Sample> stream = stream_of(recording, kind, group.paths);
        if (from) {
            outage = longest_outage(find_outages(stream, rule, recording.ended_at), *from, to, recording.ended_at);
        }
        state = recovery_of(stream, outage);
    };
    if (group.writes) judge(Kind::Write, result.write_state, result.write_outage);
    judge(Kind::Read, result.read_state, result.read_outage);
    return result;
}

// The server of the last good write on these paths that completed in [from, to).
std::uint32_t last_write_server(const Recording& recording, const std::vector<bool>& paths, MonoTime from,
                                MonoTime to) {
    std::uint32_t server = 0;
    for (const Sample& sample : recording.samples) {
        if (sample.kind != Kind::Write || sample.outcome != Outcome::Ok || !paths[sample.path]) continue;
        if (sample.completed_at < from || sample.completed_at >= to) continue;
        server = sample.server;
    }
    return server;
}

// Completion of the first good write that this server took and that was sent in [from, to).
std::optional<MonoTime> first_write_by(const Recording& recording, const std::vector<bool>& paths, std::uint32_t server,
                                       MonoTime from, MonoTime to) {
    std::optional<MonoTime> first;
    for (const Sample& sample : recording.samples) {
        if (sample.kind != Kind::Write || sample.outcome != Outcome::Ok || !paths[sample.path]) continue;
        if (sample.server != server || sample.sent_at < from || sample.sent_at >= to) continue;
        first = first ? std::min(*first, sample.completed_at) : sample.completed_at;
    }
    return first;
}

std::string member_name(const Recording& recording, const std::vector<PathResult>& paths, const std::string& server) {
    for (std::size_t i = 0; i < paths.size(); ++i) {
        if (recording.paths[i].member && !server.empty() && paths[i].server == server) return recording.paths[i].name;
    }
    return server;
}

Fault judge_fault(const Recording& recording, const std::vector<Group>& groups, const std::vector<PathResult>& paths,
                  MonoTime at, MonoTime to) {
    Fault fault;
    fault.at = at;
    fault.given = recording.fault_at == at;
    const std::vector<bool> members = member_paths(recording);
    const OutageRule rule = rule_for(recording.interval, at);
    const auto direct = longest_outage(
        find_outages(stream_of(recording, Kind::Write, members), rule, recording.ended_at), at, to, recording.ended_at);
    const MonoTime direct_start = direct ? direct->start : at;
    const std::uint32_t old_writer = last_write_server(recording, members, MonoTime::min(), at);
    const std::uint32_t last_writer = last_write_server(recording, members, direct_start + Duration(1), to);
    const std::uint32_t new_writer = last_writer != 0 ? last_writer : old_writer;
    const auto direct_first = first_write_by(recording, members, new_writer, direct_start, to);
    for (const Group& group : groups) {
        GroupResult result = judge_group(recording, group, at, to);
        const bool disturbed = result.write_outage.has_value() || new_writer != old_writer;
        if (!group.members && group.writes && disturbed) {
            const MonoTime since = result.write_outage ? result.write_outage->start : direct_start;
            result.first_good_write = first_write_by(recording, group.paths, new_writer, since, to);
            if (result.first_good_write && direct_first) result.excess = *result.first_good_write - *direct_first;
        }
        fault.groups.push_back(std::move(result));
    }
    const std::string& old_server = recording.texts[old_writer];
    const std::string& new_server = recording.texts[new_writer];
    fault.old_writer = member_name(recording, paths, old_server);
    fault.new_writer = member_name(recording, paths, new_server);
    const MonoTime start = announced_start(recording, at).value_or(at);
    fault.phases = find_phases(
        PhaseScope{&recording, &paths, std::min({at, direct_start, start}), to, start, old_server, new_server});
    return fault;
}

void count_samples(const Recording& recording, Analysis& analysis) {
    MonoTime calm_until = MonoTime::max();
    if (!analysis.faults.empty()) {
        // A dying server ends its connections one by one: what fails after the last good write belongs to the fault.
        calm_until = analysis.faults.front().at;
        for (const GroupResult& group : analysis.faults.front().groups) {
            if (group.write_outage) calm_until = std::min(calm_until, group.write_outage->start);
        }
    }
    for (const Sample& sample : recording.samples) {
        const bool refused = is_read_only_refusal(sample.code);
        if (sample.outcome == Outcome::Ok) {
            ++analysis.samples_ok;
        } else if (refused) {
            ++analysis.samples_refused;
        } else {
            ++(sample.outcome == Outcome::Failed ? analysis.samples_failed : analysis.samples_unknown);
        }
        const bool expected = sample.outcome == Outcome::Ok || (refused && recording.paths[sample.path].member);
        if (!expected && sample.completed_at < calm_until) ++analysis.own_errors;
    }
    analysis.own_errors += recording.ticks_late;
}

}  // namespace

Analysis analyse(const Recording& unsorted) {
    Recording recording = unsorted;
    std::stable_sort(recording.samples.begin(), recording.samples.end(),
                     [](const Sample& a, const Sample& b) { return a.completed_at < b.completed_at; });
    Analysis analysis;
    const std::vector<Group> groups = groups_of(recording);
    const std::vector<MonoTime> faults = with_given(find_faults(recording, groups), recording.fault_at);
    const std::optional<MonoTime> first =
        faults.empty() ? std::nullopt : std::optional(*std::min_element(faults.begin(), faults.end()));
    const OutageRule rule = rule_for(recording.interval, first);
    for (std::size_t i = 0; i < recording.paths.size(); ++i) {
        PathResult result = summarise_path(recording, i);
        result.write_outages = find_outages(stream_of(recording, Kind::Write, i), rule, recording.ended_at);
        result.read_outages = find_outages(stream_of(recording, Kind::Read, i), rule, recording.ended_at);
        analysis.paths.push_back(std::move(result));
    }
    for (std::size_t i = 0; i < faults.size(); ++i) {
        const MonoTime to = i + 1 < faults.size() ? faults[i + 1] : MonoTime::max();
        analysis.faults.push_back(judge_fault(recording, groups, analysis.paths, faults[i], to));
    }
    if (faults.empty()) {
        for (const Group& group : groups) {
            analysis.calm.push_back(judge_group(recording, group, std::nullopt, MonoTime::max()));
        }
    }
    count_samples(recording, analysis);
    return analysis;
}

}  // namespace signalbox::meter
