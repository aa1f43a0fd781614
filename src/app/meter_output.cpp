#include "app/meter_output.hpp"

#include <cmath>
#include <set>

#include "base/table_text.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

using base::MonoTime;
using base::json::array;
using base::json::object;
using base::json::value;
using meter::Analysis;
using meter::Fault;
using meter::GroupResult;
using meter::Kind;
using meter::LedgerCheck;
using meter::Outage;
using meter::Phase;
using meter::Recovery;

// To a microsecond: more digits would be noise.
double round_ms(base::Duration duration) { return std::round(base::to_ms(duration) * 1000.0) / 1000.0; }

std::string ms_text(base::Duration duration) { return fmt::format("{:.1f}", base::to_ms(duration)); }

value offset_ms(std::optional<MonoTime> at, MonoTime fault) {
    if (!at) return nullptr;
    return round_ms(*at - fault);
}

// A number; 0 when no outage was seen; null when there is no number because the path did not recover or never worked.
value outage_ms(Recovery state, const std::optional<Outage>& outage) {
    if (state == Recovery::NoOutage) return 0;
    if (!outage || !outage->end) return nullptr;
    return round_ms(*outage->end - outage->start);
}

array outages_json(const std::vector<Outage>& outages, MonoTime zero) {
    array list;
    for (const Outage& outage : outages) {
        list.push_back(object{{"start_ms", offset_ms(outage.start, zero)}, {"end_ms", offset_ms(outage.end, zero)}});
    }
    return list;
}

std::string_view state_text(Recovery state) {
    switch (state) {
        case Recovery::NoOutage:
            return "no outage seen";
        case Recovery::Recovered:
            return "recovered";
        case Recovery::NotRecovered:
            return "not recovered";
        case Recovery::NeverGood:
            return "never good";
    }
    return "?";
}

object fault_json(const Measurement& measurement, const Fault& fault) {
    const auto wall = measurement.recording.started_at_wall + (fault.at - measurement.recording.started_at);
    object outage;
    object read_outage;
    object excess;
    object states;
    for (const GroupResult& group : fault.groups) {
        if (group.writes) {
            outage[group.name] = outage_ms(group.write_state, group.write_outage);
            states[group.name] = state_text(group.write_state);
        }
        read_outage[group.name] = outage_ms(group.read_state, group.read_outage);
        if (group.excess) excess[group.name] = round_ms(*group.excess);
    }
    array phases;
    for (const Phase& phase : fault.phases) {
        object entry{{"name", phase.name}};
        if (!phase.path.empty()) entry[phase.member ? "member" : "path"] = phase.path;
        entry["start_ms"] = offset_ms(phase.start, fault.at);
        entry["end_ms"] = offset_ms(phase.end, fault.at);
        if (!phase.note.empty()) entry["note"] = phase.note;
        phases.push_back(std::move(entry));
    }
    return object{{"at", base::format_time(wall)},
                  {"given", fault.given},
                  {"old_writer", fault.old_writer},
                  {"new_writer", fault.new_writer},
                  {"outage_ms", std::move(outage)},
                  {"write_state", std::move(states)},
                  {"read_outage_ms", std::move(read_outage)},
                  {"excess_ms", std::move(excess)},
                  {"phases", std::move(phases)}};
}

object writes_json(const LedgerCheck& ledger) {
    // What could not be read back is not known, which is not the same as zero.
    const auto known = [&](std::uint64_t count) { return ledger.resolved ? value(count) : value(nullptr); };
    array lost_rows;
    for (const meter::RowId& row : ledger.lost_rows)
        lost_rows.push_back(object{{"path", row.path}, {"number", row.number}});
    array differences;
    for (const auto& member : ledger.differences) {
        differences.push_back(object{{"member", member.member}, {"missing", member.missing}, {"extra", member.extra}});
    }
    array unread;
    for (const std::string& text : ledger.unread) unread.push_back(value(text));
    return object{{"attempted", ledger.attempted},
                  {"acknowledged", ledger.acknowledged},
                  {"failed", ledger.failed},
                  {"lost", known(ledger.lost)},
                  {"duplicated", known(ledger.duplicated)},
                  {"unknown", ledger.unknown},
                  {"unknown_happened", known(ledger.unknown_happened)},
                  {"unknown_did_not_happen", known(ledger.unknown_did_not_happen)},
                  {"rolled_back", known(ledger.rolled_back)},
                  {"failed_happened", known(ledger.failed_happened)},
                  {"not_ours", known(ledger.not_ours)},
                  {"judged_by", ledger.judged_by},
                  {"lost_rows", std::move(lost_rows)},
                  {"differences", std::move(differences)},
                  {"unread", std::move(unread)}};
}

object path_json(const Measurement& measurement, std::size_t index, MonoTime zero) {
    const meter::PathInfo& info = measurement.recording.paths[index];
    const meter::PathResult& path = measurement.analysis.paths[index];
    const auto longest = [&](const std::vector<Outage>& outages) {
        return meter::longest_outage(outages, MonoTime::min(), MonoTime::max(), measurement.recording.ended_at);
    };
    const auto ms = [&](Kind kind, const std::vector<Outage>& outages) -> value {
        const auto counts = path.counts.find(kind);
        if (counts == path.counts.end() || counts->second.ok == 0) return nullptr;
        const auto outage = longest(outages);
        return outage_ms(!outage ? Recovery::NoOutage : Recovery::Recovered, outage);
    };
    object samples;
    for (const auto& [kind, counts] : path.counts) {
        samples[meter::to_string(kind)] =
            object{{"ok", counts.ok}, {"failed", counts.failed}, {"unknown", counts.unknown}};
    }
    object errors;
    for (const auto& [code, count] : path.errors) errors[code] = count;
    return object{{"name", info.name},
                  {"group", info.group},
                  {"member", info.member},
                  {"server", path.server},
                  {"write_outage_ms", info.writes ? ms(Kind::Write, path.write_outages) : value(nullptr)},
                  {"read_outage_ms", ms(Kind::Read, path.read_outages)},
                  {"write_outages", outages_json(path.write_outages, zero)},
                  {"read_outages", outages_json(path.read_outages, zero)},
                  {"write_ms_p50", std::round(path.write_ms_p50 * 1000) / 1000},
                  {"write_ms_p99", std::round(path.write_ms_p99 * 1000) / 1000},
                  {"errors", std::move(errors)},
                  {"samples", std::move(samples)}};
}

void add_phase_rows(base::TableText& table, const Fault& fault) {
    for (const Phase& phase : fault.phases) {
        if (!phase.start) {
            table.row({phase.name, phase.path, "", "", "", phase.note});
            continue;
        }
        table.row({phase.name, phase.path.empty() ? "cluster" : phase.path, offset_text(*phase.start, fault.at),
                   phase.end ? offset_text(*phase.end, fault.at) : "",
                   phase.end ? ms_text(*phase.end - *phase.start) : "",
                   phase.end || !phase.note.empty() ? phase.note : "had not ended"});
    }
}

void add_outage_row(base::TableText& table, std::string name, const std::string& path, Recovery state,
                    const std::optional<Outage>& outage, MonoTime zero) {
    if (!outage) {
        table.row(
            {std::move(name), path, "", "", state == Recovery::NoOutage ? "0" : "", std::string(state_text(state))});
        return;
    }
    table.row({std::move(name), path, offset_text(outage->start, zero),
               outage->end ? offset_text(*outage->end, zero) : "",
               outage->end ? ms_text(*outage->end - outage->start) : "", outage->end ? "" : "not recovered"});
}

std::string fault_table(const Measurement& measurement, const Fault& fault) {
    const auto wall = measurement.recording.started_at_wall + (fault.at - measurement.recording.started_at);
    std::string text =
        fmt::format("Fault at {} ({}); writer {} -> {}. Times in ms after it.\n\n", base::format_time(wall),
                    fault.given ? "given" : "first failed write", fault.old_writer.empty() ? "?" : fault.old_writer,
                    fault.new_writer.empty() ? "?" : fault.new_writer);
    base::TableText table({"PHASE", "PATH", "START", "END", "MS", "NOTE"});
    add_phase_rows(table, fault);
    for (const GroupResult& group : fault.groups) {
        if (group.writes) {
            add_outage_row(table, "write outage", group.name, group.write_state, group.write_outage, fault.at);
        }
    }
    for (const GroupResult& group : fault.groups) {
        add_outage_row(table, "read outage", group.name, group.read_state, group.read_outage, fault.at);
    }
    for (const GroupResult& group : fault.groups) {
        if (!group.excess) continue;
        table.row({"excess over direct", group.name, "", offset_text(*group.first_good_write, fault.at),
                   ms_text(*group.excess), "first good write by the new writer"});
    }
    return text + table.render() + "\n";
}

std::string error_table(const Measurement& measurement) {
    std::set<std::string> codes;
    for (const auto& path : measurement.analysis.paths) {
        for (const auto& [code, count] : path.errors) codes.insert(code);
    }
    if (codes.empty()) return "No operation failed.\n\n";
    std::vector<std::string> header{"ERROR CODE"};
    for (const auto& path : measurement.recording.paths) header.push_back(path.name);
    base::TableText table(header);
    for (const std::string& code : codes) {
        std::vector<std::string> row{code};
        for (const auto& path : measurement.analysis.paths) {
            const auto count = path.errors.find(code);
            row.push_back(count == path.errors.end() ? "0" : fmt::format("{}", count->second));
        }
        table.row(std::move(row));
    }
    return table.render() + "\n";
}

std::string path_list(const LedgerCheck& ledger, const meter::Recording& recording) {
    std::vector<std::string> rows;
    for (const meter::RowId& row : ledger.lost_rows) {
        rows.push_back(fmt::format("{} {}", recording.paths[row.path].name, row.number));
    }
    return base::join(rows, ", ");
}

}  // namespace

std::string outage_text(Recovery state, const std::optional<Outage>& outage) {
    if (state == Recovery::NoOutage) return "none";
    if (!outage || !outage->end) return std::string(state_text(state));
    return ms_text(*outage->end - outage->start) + " ms";
}

std::string offset_text(MonoTime at, MonoTime fault) { return fmt::format("{:+.1f}", base::to_ms(at - fault)); }

std::string ledger_verdict(const LedgerCheck& ledger) {
    if (!ledger.resolved)
        return "The ledgers could not be read back from the writer or from all members: what was lost is not known.";
    std::string text = ledger.lost == 0 ? "No acknowledged write was lost"
                                        : fmt::format("{} ACKNOWLEDGED WRITES WERE LOST", ledger.lost);
    text += ledger.duplicated == 0 ? ", and none is there twice."
                                   : fmt::format(", and {} ARE THERE TWICE.", ledger.duplicated);
    return text;
}

std::string measurement_table(const Measurement& measurement) {
    const Analysis& analysis = measurement.analysis;
    const LedgerCheck& ledger = measurement.ledger;
    std::string text;
    for (const Fault& fault : analysis.faults) text += fault_table(measurement, fault);
    if (analysis.faults.empty()) text += "No outage seen.\n\n";
    text += error_table(measurement);
    base::TableText writes({"WRITES", "COUNT"});
    const auto row = [&](std::string name, std::uint64_t count, bool known = true) {
        writes.row({std::move(name), known ? fmt::format("{}", count) : "not known"});
    };
    row("attempted", ledger.attempted);
    row("acknowledged", ledger.acknowledged);
    row("  lost", ledger.lost, ledger.resolved);
    row("  there twice", ledger.duplicated, ledger.resolved);
    row("failed", ledger.failed);
    row("unknown", ledger.unknown);
    row("  happened", ledger.unknown_happened, ledger.resolved);
    row("  did not happen", ledger.unknown_did_not_happen, ledger.resolved);
    row("seen unacknowledged, then rolled back", ledger.rolled_back, ledger.resolved);
    text += writes.render() + "\n" + ledger_verdict(ledger);
    if (ledger.resolved) text += fmt::format(" Judged by {}.", ledger.judged_by);
    text += "\n";
    if (!ledger.lost_rows.empty()) text += "Lost, for example: " + path_list(ledger, measurement.recording) + "\n";
    for (const auto& member : ledger.differences) {
        text += fmt::format("{} differs: {} rows missing, {} rows that should not be there.\n", member.member,
                            member.missing, member.extra);
    }
    for (const std::string& unread : ledger.unread) text += "Could not be read back: " + unread + "\n";
    if (ledger.failed_happened > 0) {
        text +=
            fmt::format("{} writes were refused with an error and are there nevertheless.\n", ledger.failed_happened);
    }
    text += fmt::format(
        "{} operations: {} ok, {} refused as read-only, {} failed, {} unknown; errors of our own or in calm: {}; "
        "latest wake-up "
        "{:.1f} ms.\n",
        measurement.recording.samples.size(), analysis.samples_ok, analysis.samples_refused, analysis.samples_failed,
        analysis.samples_unknown, analysis.own_errors, base::to_ms(measurement.recording.lag_max));
    return text;
}

object measurement_json(const Measurement& measurement) {
    const Analysis& analysis = measurement.analysis;
    const meter::Recording& recording = measurement.recording;
    const MonoTime zero = analysis.faults.empty() ? recording.started_at : analysis.faults.front().at;
    object root;
    root["writes"] = writes_json(measurement.ledger);
    array paths;
    for (std::size_t i = 0; i < recording.paths.size(); ++i) paths.push_back(path_json(measurement, i, zero));
    root["paths"] = std::move(paths);
    array faults;
    for (const Fault& fault : analysis.faults) faults.push_back(fault_json(measurement, fault));
    if (faults.empty()) {
        object outage;
        for (const GroupResult& group : analysis.calm) {
            if (group.writes) outage[group.name] = outage_ms(group.write_state, group.write_outage);
        }
        root["outage_ms"] = std::move(outage);
        root["excess_ms"] = object{};
        root["failover"] = nullptr;
    } else {
        const object& first = faults.front().get_object();
        root["outage_ms"] = first.at("outage_ms");
        root["excess_ms"] = first.at("excess_ms");
        root["failover"] = object{{"at", first.at("at")},
                                  {"given", first.at("given")},
                                  {"old_writer", first.at("old_writer")},
                                  {"new_writer", first.at("new_writer")},
                                  {"phases", first.at("phases")}};
    }
    root["faults"] = std::move(faults);
    root["samples"] = object{{"total", recording.samples.size()},
                             {"ok", analysis.samples_ok},
                             {"refused_read_only", analysis.samples_refused},
                             {"failed", analysis.samples_failed},
                             {"unknown", analysis.samples_unknown}};
    root["own_errors"] = analysis.own_errors;
    root["ticks"] = object{{"late", recording.ticks_late},
                           {"skipped_busy", recording.ticks_skipped},
                           {"lag_ms_max", round_ms(recording.lag_max)}};
    root["interval_ms"] = base::to_ms(recording.interval);
    root["started_at"] = base::format_time(recording.started_at_wall);
    root["duration_ms"] = round_ms(recording.ended_at - recording.started_at);
    return root;
}

}  // namespace signalbox::app
