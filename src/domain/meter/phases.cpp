#include "domain/meter/phases.hpp"

#include <algorithm>

namespace signalbox::meter {
namespace {

constexpr std::size_t refused_phases_max = 8;  // per path

std::optional<std::size_t> member_path(const PhaseScope& scope, const std::string& server) {
    if (server.empty()) return std::nullopt;
    for (std::size_t i = 0; i < scope.paths->size(); ++i) {
        if (scope.recording->paths[i].member && (*scope.paths)[i].server == server) return i;
    }
    return std::nullopt;
}

Phase path_phase(const PhaseScope& scope, std::string_view name, std::size_t path) {
    Phase phase;
    phase.name = name;
    phase.path = scope.recording->paths[path].name;
    phase.member = scope.recording->paths[path].member;
    return phase;
}

// A member is away while reads on it fail.
void add_restart(const PhaseScope& scope, std::string_view name, const std::string& server,
                 std::vector<Phase>& phases) {
    const auto path = member_path(scope, server);
    if (!path) return;
    Phase phase = path_phase(scope, name, *path);
    const auto outage =
        longest_outage((*scope.paths)[*path].read_outages, scope.from, scope.to, scope.recording->ended_at);
    if (outage) {
        phase.start = outage->start;
        phase.end = outage->end;
    } else {
        phase.note = "no interruption seen";
    }
    phases.push_back(std::move(phase));
}

// Runs of refused writes, on endpoints and on the old writer. A member that refuses to the end has become a reader;
// what refused from the beginning never was a writer.
void add_refusals(const PhaseScope& scope, std::size_t path, std::vector<Phase>& phases) {
    if (scope.recording->paths[path].member && member_path(scope, scope.old_writer) != path) return;
    std::optional<Phase> run;
    std::size_t found = 0;
    bool refused_before = true;
    for (const Sample& sample : scope.recording->samples) {
        if (sample.path != path || sample.kind != Kind::Write) continue;
        const bool refused = is_read_only_refusal(sample.code);
        if (sample.completed_at < scope.from) {
            refused_before = refused;
            continue;
        }
        if (sample.sent_at >= scope.to) break;
        if (refused && !refused_before && !run) {
            run = path_phase(scope, phase_name::refused_read_only, path);
            run->start = sample.completed_at;
        } else if (!refused && run) {
            // The end of a time that was seen to last: the first other answer.
            run->end = sample.completed_at;
            phases.push_back(std::move(*run));
            run.reset();
            if (++found >= refused_phases_max) return;
        }
        if (!refused) refused_before = false;
    }
    if (!run) return;
    run->note = scope.recording->paths[path].member ? "it is a reader now" : "to the end of the measurement";
    phases.push_back(std::move(*run));
}

struct Move {
    bool known = false;  // the path gave an answer before the fault
    std::optional<MonoTime> at;
};

// When the answers of one kind on a path changed for the last time, from one before the fault to another at the end.
template <typename Text>
Move last_change(const PhaseScope& scope, std::size_t path, Kind kind, Text text_of) {
    Move move;
    std::uint32_t before = 0;
    std::uint32_t current = 0;
    for (const Sample& sample : scope.recording->samples) {
        if (sample.path != path || sample.kind != kind || sample.outcome != Outcome::Ok) continue;
        if (sample.completed_at >= scope.to) break;
        const std::uint32_t text = text_of(sample);
        if (sample.completed_at < scope.from) {
            before = current = text;
            move.known = true;
        } else if (text != current) {
            current = text;
            move.at = sample.completed_at;
        }
    }
    if (current == before) move.at.reset();
    return move;
}

Move server_change(const PhaseScope& scope, std::size_t path, Kind kind) {
    return last_change(scope, path, kind, [](const Sample& sample) { return sample.server; });
}

// An endpoint with a name has moved when DNS says so; any other when the new server answers through it.
void add_endpoint_move(const PhaseScope& scope, std::size_t path, std::vector<Phase>& phases) {
    const PathInfo& info = scope.recording->paths[path];
    if (info.member) return;
    Phase phase =
        path_phase(scope, info.writes ? phase_name::writer_endpoint_moved : phase_name::reader_endpoint_moved, path);
    Move move = last_change(scope, path, Kind::Dns, [](const Sample& sample) { return sample.text; });
    phase.note = "by DNS";
    if (!info.named || !move.known) {
        move = server_change(scope, path, info.writes ? Kind::Write : Kind::Read);
        phase.note = "by the server that answers";
    }
    if (move.at) {
        phase.start = scope.start;
        phase.end = move.at;
    } else {
        phase.note = "no move seen";
    }
    phases.push_back(std::move(phase));
}

void add_events(const PhaseScope& scope, std::vector<Phase>& phases) {
    Phase phase;
    phase.name = phase_name::events;
    for (const Event& event : scope.recording->events) {
        if (event.at < scope.from || event.at >= scope.to) continue;
        if (event.kind == "failover-started" && !phase.start) phase.start = event.at;
        if (event.kind == "failover-completed" && phase.start && !phase.end) phase.end = event.at;
    }
    if (phase.start) phases.push_back(std::move(phase));
}

}  // namespace

std::optional<MonoTime> announced_start(const Recording& recording, MonoTime fault) {
    constexpr Duration early_max = std::chrono::minutes(1);
    std::optional<MonoTime> start;
    for (const Event& event : recording.events) {
        if (event.kind == "failover-started" && event.at <= fault && event.at >= fault - early_max) start = event.at;
    }
    return start;
}

std::vector<Phase> find_phases(const PhaseScope& scope) {
    std::vector<Phase> phases;
    if (scope.new_writer != scope.old_writer) {
        add_restart(scope, phase_name::old_replica_restarts, scope.new_writer, phases);
    }
    add_restart(scope, phase_name::old_writer_restarts, scope.old_writer, phases);
    for (std::size_t i = 0; i < scope.recording->paths.size(); ++i) add_refusals(scope, i, phases);
    for (std::size_t i = 0; i < scope.recording->paths.size(); ++i) add_endpoint_move(scope, i, phases);
    add_events(scope, phases);
    return phases;
}

}  // namespace signalbox::meter
