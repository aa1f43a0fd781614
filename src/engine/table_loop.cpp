#include "engine/table_loop.hpp"

#include <algorithm>

#include "domain/lake/metrics.hpp"
#include "engine/table_commit.hpp"
#include "engine/table_record.hpp"

namespace signalbox::engine {

using base::ErrorKind;
using base::Result;
using base::Status;
namespace json = base::json;

namespace {

constexpr std::size_t data_content = static_cast<std::size_t>(lake::FileContent::Data);

// In a table's record: its first look is not done yet.
constexpr std::string_view first_look_key = "first_look";

// Errors that another look can't mend while the table is as it is: the commit is reported with what is unknown.
bool is_lasting(const base::Error& error) {
    return error.kind == ErrorKind::CorruptData || error.kind == ErrorKind::NotSupported ||
           error.kind == ErrorKind::NotFound;
}

// Of the whole table, not of one commit.
bool concerns_table(std::string_view metric) {
    for (const std::string_view own :
         {"snapshot.added_", "snapshot.deleted_", "snapshot.removed_", "snapshot.changed_"}) {
        if (metric.starts_with(own)) return false;
    }
    return true;
}

// What is true of a commit alone, where the table's state is not the commit's.
void leave_commit_only(lake::TableMetrics& metrics) {
    for (lake::Metric& metric : metrics.metrics) {
        if (concerns_table(metric.name)) metric.value = {};
    }
    metrics.partitions.clear();
    std::erase_if(metrics.drift, [](const lake::Drift& drift) { return drift.field.starts_with("total-"); });
}

base::WallTime time_of(const lake::Snapshot& snapshot, base::WallTime now) {
    if (snapshot.timestamp_ms < 0 || snapshot.timestamp_ms > INT64_MAX / 1'000'000) return now;
    // A writer's clock that is ahead is not believed.
    return std::min(base::WallTime(std::chrono::milliseconds(snapshot.timestamp_ms)), now);
}

// One look at one table.
class Look {
  public:
    Look(ports::LakeStore& store, const TableLoopConfig& config, const lake::TableMetadata& metadata,
         ports::TableRecord record, TableManifests manifests, TableAlarms alarms, base::WallTime now)
        : store_(store),
          config_(config),
          metadata_(metadata),
          record_(std::move(record)),
          manifests_(std::move(manifests)),
          alarms_(std::move(alarms)),
          now_(now),
          counted_(manifests_.counters()),
          first_(!record_.cursor || record_.data[first_look_key] == json::value(true)) {}

    Result<TableLook> run(const std::string& metadata_location);

  private:
    void note_events(const lake::WalkPlan& plan);
    Status report(const lake::CommitStep& step);
    Status work_out(CommitFigures& figures, ports::TableChange& change);
    Status move_to(const lake::Snapshot& snapshot, ports::TableChange& change);
    Status finish(const lake::WalkPlan& plan, const std::string& metadata_location);
    Status save(ports::TableChange& change, bool act);
    void describe(const CommitFigures& figures);

    ports::LakeStore& store_;
    const TableLoopConfig& config_;
    const lake::TableMetadata& metadata_;
    ports::TableRecord record_;
    TableManifests manifests_;
    TableAlarms alarms_;
    base::WallTime now_;
    ports::ReadCounters counted_;  // of the reader, up to the last report
    bool first_;                   // the table's first look: what it finds is the past
    bool forget_ = false;
    ports::TableChange events_;  // to be stored with the next save
    lake::TableState state_;
    std::size_t read_before_ = 0;
    std::size_t known_before_ = 0;
    TableLook look_;
};

Result<TableLook> Look::run(const std::string& metadata_location) {
    SB_TRY(const lake::WalkPlan plan, lake::plan_walk(record_.cursor, metadata_, config_.first_look));
    if (plan.recreated) first_ = true;
    forget_ = plan.recreated;
    if (record_.version > 0 && !plan.recreated) {
        auto state = store_.state(record_.name);
        // What can't be understood is built again from the table.
        forget_ = !state && state.error().kind == ErrorKind::CorruptData;
        if (!state && !forget_) return tl::unexpected<base::Error>(state.error());
        if (state) state_ = std::move(*state);
    }
    look_.notes = plan.notes;
    note_events(plan);
    const std::size_t skipped = first_ && plan.commits.size() > config_.history_commits_max
                                    ? plan.commits.size() - config_.history_commits_max
                                    : 0;
    record_.cursor = plan.start;
    for (std::size_t i = 0; i < plan.commits.size(); ++i) {
        record_.cursor = plan.commits[i].after(std::move(*record_.cursor));
        if (i >= skipped) SB_CHECK(report(plan.commits[i]));
    }
    SB_CHECK(finish(plan, metadata_location));
    look_.alarms = alarms_.standings();
    look_.next_tick = alarms_.next_due(now_);
    look_.manifests_read = manifests_.manifests_read();
    look_.manifests_known = manifests_.manifests_known();
    return std::move(look_);
}

// Events are stored together with what is stored next. Where main moved without a commit, its state follows with the
// first commit after it, or at the end.
void Look::note_events(const lake::WalkPlan& plan) {
    for (const lake::TableEvent& event : plan.events) {
        events_.commits.push_back(event_record(record_.name, event, now_));
        ports::JournalEntry entry;
        entry.at = now_;
        entry.kind = "table-event";
        entry.subject = record_.name;
        entry.data = events_.commits.back().data;
        entry.data["event"] = lake::to_string(event.kind);
        if (!first_ || plan.recreated) events_.entries.push_back(std::move(entry));
        const alarms::CommitFact fact = fact_of(event, now_);
        if (fact.rollback || !fact.schema_changes.empty() || !fact.spec_changes.empty()) alarms_.observe(fact, now_);
    }
}

Status Look::report(const lake::CommitStep& step) {
    const lake::Snapshot* snapshot = metadata_.snapshot(step.snapshot_id);
    if (snapshot == nullptr) {
        return base::fail(ErrorKind::CorruptData, "snapshot {} is to be reported, and the metadata has none of that id",
                          step.snapshot_id);
    }
    manifests_.next_commit();
    CommitFigures figures;
    figures.step = &step;
    figures.snapshot = snapshot;
    // What was there before is known where the state is the parent's.
    figures.before_known = state_.snapshot_id == step.parent_id;
    figures.records_before = state_.live()[data_content].records;
    figures.files_before = state_.live()[data_content].files;
    ports::TableChange change;
    if (auto status = work_out(figures, change); !status) {
        // What the newest commit names must be there: it is still being copied, or the table is broken, and looked at
        // again.
        const bool missing =
            status.error().kind == ErrorKind::NotFound && step.snapshot_id == metadata_.current_snapshot_id;
        if (missing || !is_lasting(status.error())) return status;
        figures.compared = false;
        look_.trouble = status.error().text();
        figures.change.notes.push_back("can't be read: " + status.error().text());
        figures.metrics = lake::compute_metrics(metadata_, snapshot, lake::TableState(), figures.change);
        leave_commit_only(figures.metrics);
        change = {};
        // What was half added is not the state of anything.
        if (record_.version > 0 && !forget_) {
            SB_TRY(state_, store_.state(record_.name));
        } else {
            state_ = {};
        }
    }
    figures.manifests_read = manifests_.manifests_read() - std::exchange(read_before_, manifests_.manifests_read());
    figures.manifests_known = manifests_.manifests_known() - std::exchange(known_before_, manifests_.manifests_known());
    const ports::ReadCounters counters = manifests_.counters();
    figures.read = {counters.requests - counted_.requests, counters.bytes - counted_.bytes};
    counted_ = counters;
    change.commits.push_back(commit_record(record_.name, figures, config_.partitions_max, now_));
    const base::WallTime at = time_of(*snapshot, now_);
    // A branch's commits are no news of the table that its readers see.
    if (step.kind == lake::CommitKind::Main) {
        for (const alarms::Observation& observation : observations_of(figures, now_)) alarms_.observe(observation, at);
    }
    if (step.kind == lake::CommitKind::Main) describe(figures);
    record_.cursor->metadata_location.clear();
    return save(change, !first_);
}

Status Look::work_out(CommitFigures& figures, ports::TableChange& change) {
    SB_TRY(figures.change, change_of_commit(*figures.step, *figures.snapshot, state_, manifests_));
    const bool main = figures.step->kind == lake::CommitKind::Main;
    if (main) {
        SB_CHECK(move_to(*figures.snapshot, change));
        figures.state_known = true;
    }
    figures.metrics = lake::compute_metrics(metadata_, figures.snapshot, state_, figures.change);
    if (!main) leave_commit_only(figures.metrics);
    return {};
}

Status Look::move_to(const lake::Snapshot& snapshot, ports::TableChange& change) {
    SB_TRY(StateMove move, move_state(state_, snapshot, manifests_));
    forget_ = forget_ || move.rebuilt;
    change.state = &state_;
    change.partitions = std::move(move.partitions);
    change.put = std::move(move.put);
    change.gone = std::move(move.gone);
    return {};
}

// What `table list` shows.
void Look::describe(const CommitFigures& figures) {
    json::object& object = record_.data;
    const std::string operation = operation_of(*figures.snapshot);
    object["last_commit"] = {{"snapshot_id", figures.snapshot->id},
                             {"timestamp_ms", figures.snapshot->timestamp_ms},
                             {"operation", operation.empty() ? json::value(nullptr) : json::value(operation)}};
    if (figures.state_known) object["metrics"] = metrics_json(figures.metrics);
    const auto count = [&](std::string_view key, bool more) {
        const json::value* old = object.if_contains(key);
        object[key] = (old != nullptr && old->is_int64() ? old->get_int64() : 0) + (more ? 1 : 0);
    };
    count("commits", true);
    count("drift_commits", !figures.metrics.drift.empty());
}

Status Look::finish(const lake::WalkPlan& plan, const std::string& metadata_location) {
    ports::TableChange change;
    // A first look that reports nothing still needs the state to begin with, and so does whatever moved unseen.
    const lake::Snapshot* head = plan.after.main_snapshot ? metadata_.snapshot(*plan.after.main_snapshot) : nullptr;
    if (head != nullptr && state_.snapshot_id != head->id) {
        manifests_.next_commit();
        if (auto status = move_to(*head, change); !status) {
            if (status.error().kind == ErrorKind::NotFound || !is_lasting(status.error())) return status;
            look_.trouble = "the table's totals are unknown: " + status.error().text();
            look_.notes.push_back(look_.trouble);
            change = {};
            record_.data["metrics"] = nullptr;
        } else {
            CommitFigures figures;
            figures.snapshot = head;
            figures.state_known = true;
            figures.metrics = lake::compute_metrics(metadata_, head, state_, lake::Change());
            const json::value commits = record_.data["commits"];
            describe(figures);
            record_.data["commits"] = commits.is_int64() ? commits : json::value(0);
        }
    }
    alarms_.observe(alarms::Tick(), now_);
    const bool first = std::exchange(first_, false);
    record_.cursor = plan.after;
    record_.cursor->metadata_location = metadata_location;
    if (!record_.data.contains("trouble")) record_.data["trouble"] = nullptr;
    record_.data["looked_at"] = base::format_time(now_);
    record_.data["format_version"] = metadata_.format_version;
    record_.data["location"] = metadata_.location;
    return save(change, !first);
}

Status Look::save(ports::TableChange& change, bool act) {
    change.at = now_;
    change.forget = forget_;
    change.commits.insert(change.commits.begin(), std::make_move_iterator(events_.commits.begin()),
                          std::make_move_iterator(events_.commits.end()));
    std::move(events_.entries.begin(), events_.entries.end(), std::back_inserter(change.entries));
    events_ = {};
    // Kept, so that a first look that was interrupted goes on as one.
    record_.data[first_look_key] = first_;
    SB_TRY(std::vector<AlarmChange> changes, alarms_.take(change, act));
    json::array in_alarm;
    for (const std::string& name : alarms_.in_alarm()) in_alarm.emplace_back(name);
    record_.data["in_alarm"] = std::move(in_alarm);
    SB_CHECK(store_.save(record_, change));
    forget_ = false;
    std::move(change.commits.begin(), change.commits.end(), std::back_inserter(look_.reported));
    std::move(changes.begin(), changes.end(), std::back_inserter(look_.changes));
    return {};
}

}  // namespace

TableLoop::TableLoop(ports::LakeStore& store, ports::Journal& journal, TableLoopConfig config)
    : store_(store), journal_(journal), config_(std::move(config)) {}

bool glob_matches(std::string_view glob, std::string_view name) {
    // The last star takes one character more whenever what follows it does not fit.
    std::size_t g = 0;
    std::size_t n = 0;
    std::size_t star = std::string_view::npos;
    std::size_t retry = 0;
    while (n < name.size()) {
        if (g < glob.size() && (glob[g] == '?' || (glob[g] != '*' && glob[g] == name[n]))) {
            ++g;
            ++n;
        } else if (g < glob.size() && glob[g] == '*') {
            star = g++;
            retry = n;
        } else if (star != std::string_view::npos) {
            g = star + 1;
            n = ++retry;
        } else {
            return false;
        }
    }
    while (g < glob.size() && glob[g] == '*') ++g;
    return g == glob.size();
}

std::vector<const alarms::AlarmConfig*> TableLoop::alarms_of(const std::string& table) const {
    std::vector<const alarms::AlarmConfig*> found;
    for (const AlarmBinding& binding : config_.alarms) {
        const bool meant = std::any_of(binding.tables.begin(), binding.tables.end(),
                                       [&](const std::string& glob) { return glob_matches(glob, table); });
        if (meant) found.push_back(&binding.config);
    }
    return found;
}

Result<TableLook> TableLoop::look(const std::string& table, const lake::TableMetadata& metadata,
                                  const std::string& metadata_location, ports::TableReader& reader, base::WallTime now,
                                  const std::function<void(const ports::ReadProgress&)>& on_progress) {
    SB_TRY(auto stored, store_.load(table));
    ports::TableRecord record;
    record.name = table;
    if (stored) record = std::move(*stored);
    SB_TRY(TableAlarms alarms, TableAlarms::load(store_, journal_, table, alarms_of(table), config_.actions, now));
    Look look(store_, config_, metadata, std::move(record),
              TableManifests(store_, table, metadata, reader, on_progress), std::move(alarms), now);
    return look.run(metadata_location);
}

Result<TableLook> TableLoop::tick(const std::string& table, base::WallTime now) {
    TableLook look;
    SB_TRY(auto stored, store_.load(table));
    if (!stored) return look;
    SB_TRY(TableAlarms alarms, TableAlarms::load(store_, journal_, table, alarms_of(table), config_.actions, now));
    alarms.observe(alarms::Tick(), now);
    ports::TableChange change;
    change.at = now;
    // A first look that was interrupted has only seen the past.
    const json::value* first = stored->data.if_contains(first_look_key);
    SB_TRY(look.changes, alarms.take(change, first == nullptr || *first != json::value(true)));
    look.alarms = alarms.standings();
    look.next_tick = alarms.next_due(now);
    json::array in_alarm;
    for (const std::string& name : alarms.in_alarm()) in_alarm.emplace_back(name);
    stored->data["in_alarm"] = std::move(in_alarm);
    SB_CHECK(store_.save(*stored, change));
    return look;
}

Result<std::optional<base::WallTime>> TableLoop::next_tick(const std::string& table, base::WallTime now) {
    SB_TRY(const TableAlarms alarms,
           TableAlarms::load(store_, journal_, table, alarms_of(table), config_.actions, now));
    return alarms.next_due(now);
}

Status TableLoop::note_trouble(const std::string& table, const std::string& trouble, base::WallTime now) {
    SB_TRY(auto stored, store_.load(table));
    ports::TableRecord record;
    record.name = table;
    if (stored) record = std::move(*stored);
    const json::value next = trouble.empty() ? json::value(nullptr) : json::value(trouble);
    const json::value* last = record.data.if_contains("trouble");
    if (last != nullptr ? *last == next : trouble.empty()) return {};
    record.data["trouble"] = next;
    ports::TableChange change;
    ports::JournalEntry entry;
    entry.at = now;
    entry.kind = "table-trouble";
    entry.subject = table;
    entry.data = {{"trouble", next}};
    change.entries.push_back(std::move(entry));
    return store_.save(record, change);
}

}  // namespace signalbox::engine
