// The alarms that look at what one commit did.

#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "domain/alarms/alarm_internal.hpp"

namespace signalbox::alarms {
namespace {

namespace json = base::json;

// Deletions: what matters at all, as a share of the table; and what is a spike in a table that hardly ever deletes.
constexpr double deleted_share_least = 0.02;
constexpr double deleted_share_rare = 0.10;
constexpr double deletes_rarely = 0.10;  // of its commits
// Before so many commits nothing is known of the table's habits.
constexpr std::uint64_t commits_min = 12;

// Repeats: the share of a table's commits from which on they are usual, and how alike two loads are.
constexpr double repeats_usual = 0.02;
constexpr double bytes_alike = 0.001;
constexpr double by_chance_most = 0.02;  // in a month
constexpr std::chrono::hours repeat_window{24};

std::optional<Judged> judge_drift(AlarmMemory& memory, const CommitFact& fact) {
    Judged judged;
    if (fact.drift.empty()) {
        memory.drifting.clear();
        judged.datum = Datum::Good;
        judged.text = "summary and manifests agree";
        return judged;
    }
    judged.datum = Datum::Bad;
    std::vector<std::string> fields;
    std::vector<std::string> parts;
    json::array list;
    for (const DriftField& field : fact.drift) {
        fields.push_back(field.field);
        if (parts.size() < 4)
            parts.push_back(
                fmt::format("{} says {}, the manifests have {}", field.field, field.summary, field.manifests));
        list.push_back({{"field", field.field}, {"summary", field.summary}, {"manifests", field.manifests}});
    }
    if (fact.drift.size() > parts.size()) parts.push_back(fmt::format("{} more", fact.drift.size() - parts.size()));
    // A wrong total stays wrong in every later commit: that is one episode, until another field goes wrong.
    std::string drifting = base::join(fields, ",").substr(0, 1000);
    judged.occurrence = drifting != memory.drifting;
    memory.drifting = std::move(drifting);
    judged.text = "the summary drifts: " + base::join(parts, "; ");
    judged.evidence["drift"] = std::move(list);
    return judged;
}

std::optional<Judged> judge_rollback(const CommitFact& fact) {
    Judged judged;
    judged.datum = fact.rollback ? Datum::Bad : Datum::Good;
    judged.occurrence = fact.rollback;
    if (!fact.rollback) {
        judged.text = "a commit on top of the last one";
        return judged;
    }
    judged.text = "the table was rolled back";
    if (fact.abandoned_snapshot) {
        judged.text += fmt::format(" from snapshot {}", *fact.abandoned_snapshot);
        judged.evidence["abandoned_snapshot_id"] = std::to_string(*fact.abandoned_snapshot);
    }
    return judged;
}

std::optional<Judged> judge_schema(const CommitFact& fact) {
    Judged judged;
    std::vector<std::string> changes = fact.schema_changes;
    changes.insert(changes.end(), fact.spec_changes.begin(), fact.spec_changes.end());
    judged.datum = changes.empty() ? Datum::Good : Datum::Bad;
    judged.occurrence = !changes.empty();
    if (changes.empty()) {
        judged.text = "schema, partition spec and sort order as before";
        return judged;
    }
    json::array list;
    for (const std::string& change : changes) list.push_back(json::value(change));
    judged.evidence["changes"] = std::move(list);
    const std::size_t shown = std::min<std::size_t>(changes.size(), 4);
    judged.text =
        "changed: " + base::join({changes.begin(), changes.begin() + static_cast<std::ptrdiff_t>(shown)}, "; ");
    if (shown < changes.size()) judged.text += fmt::format("; {} more", changes.size() - shown);
    return judged;
}

struct Deleted {
    std::string_view of;
    std::optional<double> count;
    std::optional<double> before;
};

Deleted deleted_by(const AlarmConfig& config, const CommitFact& fact) {
    const bool files =
        config.metric.find("files") != std::string::npos || (config.metric.empty() && !fact.deleted_records);
    if (files) return {"files", fact.deleted_files, fact.files_before};
    return {"records", fact.deleted_records, fact.records_before};
}

std::optional<Judged> judge_deletions(const AlarmConfig& config, AlarmMemory& memory, const CommitFact& fact) {
    if (fact.kind == PointClass::Rewrite) return std::nullopt;
    const Deleted deleted = deleted_by(config, fact);
    if (!deleted.count) return std::nullopt;
    const std::uint64_t commits = memory.commits++;
    Judged judged;
    judged.look.value = deleted.count;
    judged.datum = Datum::Good;
    judged.occurrence = true;
    std::optional<double> share;
    if (deleted.before && *deleted.before > 0) share = *deleted.count / *deleted.before;
    if (*deleted.count > 0) {
        Band& band = memory.band.open(band_config(config));
        const auto deletions = static_cast<double>(band.learned(PointClass::Change));
        const BandVerdict verdict = band.step({fact.commit.at, *deleted.count, PointClass::Change});
        judged.look.expected = verdict.expected;
        judged.look.learning = verdict.learning;
        judged.look.score = verdict.score;
        const bool rare = commits >= commits_min && deletions < deletes_rarely * static_cast<double>(commits);
        const bool spike = verdict.learning
                               ? rare && share && *share >= deleted_share_rare
                               : verdict.outside && verdict.above && share.value_or(1) >= deleted_share_least;
        if (spike) judged.datum = Datum::Bad;
        if (verdict.expected)
            judged.evidence["expected"] = {{"low", verdict.expected->low}, {"high", verdict.expected->high}};
    }
    judged.text = fmt::format("{} {} deleted in one commit", number_text(*deleted.count), deleted.of);
    if (judged.datum == Datum::Bad && judged.look.expected)
        judged.text += fmt::format(", usually up to {}", number_text(judged.look.expected->high));
    if (judged.datum == Datum::Bad && !judged.look.expected) judged.text += ", in a table that rarely deletes";
    if (share) judged.text += fmt::format(" ({:.1f} % of the table)", 100 * *share);
    if (share) judged.evidence["share"] = *share;
    judged.evidence[fmt::format("deleted_{}", deleted.of)] = *deleted.count;
    return judged;
}

const Load* same_load(const AlarmMemory& memory, const CommitFact& fact) {
    for (auto load = memory.loads.rbegin(); load != memory.loads.rend(); ++load) {
        const base::Duration apart = fact.commit.at - load->at;
        if (apart < base::Duration::zero() || apart > repeat_window) continue;
        if (load->records == *fact.added_records &&
            std::abs(load->bytes - *fact.added_bytes) <= bytes_alike * std::max(load->bytes, *fact.added_bytes))
            return &*load;
    }
    return nullptr;
}

// How many repeats chance alone would make in a month: loads of few records are often equal. From the last loads: how
// much their records and their bytes per record differ, how many come in a month, and how much earlier than usual this
// one came. The density of two normal values being equal is 1/(2√π σ); the range of eight is 2.85 σ.
double repeats_by_chance(const AlarmMemory& memory, const CommitFact& fact) {
    constexpr double equal_density = 0.28 * 2.85;
    const std::vector<Load>& loads = memory.loads;
    if (loads.size() < AlarmMemory::loads_max) return 1e9;
    double least = loads[0].records;
    double most = least;
    double thin = loads[0].bytes / loads[0].records;
    double thick = thin;
    base::Duration shortest = base::Duration::max();
    base::Duration longest{};
    for (std::size_t i = 1; i < loads.size(); ++i) {
        const Load& load = loads[i];
        least = std::min(least, load.records);
        most = std::max(most, load.records);
        thin = std::min(thin, load.bytes / load.records);
        thick = std::max(thick, load.bytes / load.records);
        shortest = std::min(shortest, load.at - loads[i - 1].at);
        longest = std::max(longest, load.at - loads[i - 1].at);
    }
    if (most == least) return 1e9;
    const double records = std::min(1.0, static_cast<double>(loads.size()) * equal_density / (most - least));
    const double varied = thick > thin ? (thick - thin) / thick : 0;
    const double bytes = varied > 0 ? std::min(1.0, equal_density * 2 * bytes_alike / varied) : 1;
    const double days = std::chrono::duration<double, std::ratio<86400>>(loads.back().at - loads.front().at).count();
    const double per_month = 30 * static_cast<double>(loads.size()) / std::max(days, 1e-3);
    // Too early: hardly ever by chance in a table that comes by the clock, now and then in any other.
    const bool early = fact.commit.at - loads.back().at < shortest / 2;
    const double early_share = !early ? 1 : longest < 3 * shortest ? 0.001 : 0.1;
    return records * bytes * per_month * early_share;
}

std::optional<Judged> judge_repeat(AlarmMemory& memory, const CommitFact& fact) {
    if (fact.kind == PointClass::Rewrite || !fact.added_records || !fact.added_bytes || *fact.added_records <= 0)
        return std::nullopt;
    Judged judged;
    judged.datum = Datum::Good;
    judged.occurrence = true;
    judged.look.value = fact.added_records;
    judged.text = "a load unlike those before it";
    ++memory.commits;
    const Load* load = same_load(memory, fact);
    if (load != nullptr) {
        const bool unusual = memory.commits > commits_min && memory.repeat_share < repeats_usual &&
                             repeats_by_chance(memory, fact) < by_chance_most;
        if (unusual) judged.datum = Datum::Bad;
        judged.text = fmt::format("loaded twice: {} records and {} bytes, as at {}", number_text(*fact.added_records),
                                  number_text(*fact.added_bytes), base::format_time(load->at));
        judged.evidence["same_as_commit_at"] = base::format_time(load->at);
        judged.evidence["added_records"] = *fact.added_records;
    }
    const double weight = std::max(1.0 / static_cast<double>(memory.commits + 100), 1.0 / 200);
    memory.repeat_share += weight * ((load != nullptr ? 1.0 : 0.0) - memory.repeat_share);
    memory.loads.push_back({fact.commit.at, *fact.added_records, *fact.added_bytes});
    if (memory.loads.size() > AlarmMemory::loads_max) memory.loads.erase(memory.loads.begin());
    return judged;
}

}  // namespace

std::optional<Judged> judge_commit(const AlarmConfig& config, AlarmMemory& memory, const CommitFact& fact, Look& look) {
    look = {};
    if (excluded(config.exclusions, fact.commit.at)) return std::nullopt;
    std::optional<Judged> judged;
    // An event says that something happened, and nothing of what did not.
    const bool says =
        !fact.event || (config.kind == AlarmKind::Rollback && fact.rollback) ||
        (config.kind == AlarmKind::SchemaChanged && !(fact.schema_changes.empty() && fact.spec_changes.empty()));
    if (!says || (config.kind == AlarmKind::Drift && !fact.compared)) return std::nullopt;
    if (config.kind == AlarmKind::Drift) judged = judge_drift(memory, fact);
    if (config.kind == AlarmKind::Rollback) judged = judge_rollback(fact);
    if (config.kind == AlarmKind::SchemaChanged) judged = judge_schema(fact);
    if (config.kind == AlarmKind::DeletionSpike) judged = judge_deletions(config, memory, fact);
    if (config.kind == AlarmKind::Repeated) judged = judge_repeat(memory, fact);
    if (!judged) return std::nullopt;
    judged->look.datum = judged->datum;
    look = judged->look;
    add_commit(judged->evidence, fact.commit);
    if (const std::string by = commit_text(fact.commit); !by.empty()) judged->text += "; " + by;
    return judged;
}

}  // namespace signalbox::alarms
