#include "domain/lake/history.hpp"

#include <algorithm>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace signalbox::lake {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::string_view main_name = "main";

// Snapshots by id; their parents lead to a beginning.
class Ancestry {
  public:
    static Result<Ancestry> of(const TableMetadata& metadata) {
        Ancestry ancestry;
        for (const Snapshot& snapshot : metadata.snapshots) {
            if (!ancestry.by_id_.emplace(snapshot.id, &snapshot).second) {
                return fail(ErrorKind::CorruptData, "'snapshots' has two snapshots with the id {}", snapshot.id);
            }
        }
        SB_CHECK(ancestry.check_cycles(metadata));
        return ancestry;
    }

    const Snapshot* find(std::int64_t id) const {
        const auto found = by_id_.find(id);
        return found == by_id_.end() ? nullptr : found->second;
    }
    const Snapshot* parent(const Snapshot& snapshot) const {
        return snapshot.parent_id ? find(*snapshot.parent_id) : nullptr;
    }
    // The snapshot and its ancestors, as far as the metadata has them, the youngest first.
    std::vector<const Snapshot*> line(const Snapshot* head) const {
        std::vector<const Snapshot*> line;
        for (; head != nullptr; head = parent(*head)) line.push_back(head);
        return line;
    }
    bool is_ancestor(std::int64_t ancestor, std::int64_t of) const {
        for (const Snapshot* at = find(of); at != nullptr; at = parent(*at)) {
            if (at->id == ancestor) return true;
        }
        return false;
    }

  private:
    Status check_cycles(const TableMetadata& metadata) const {
        std::unordered_map<std::int64_t, std::size_t> walk_of;  // the walk that came by first
        for (std::size_t walk = 0; walk < metadata.snapshots.size(); ++walk) {
            for (const Snapshot* at = &metadata.snapshots[walk]; at != nullptr; at = parent(*at)) {
                const auto [place, first] = walk_of.emplace(at->id, walk);
                if (first) continue;
                if (place->second != walk) break;
                return fail(ErrorKind::CorruptData, "the parents of snapshot {} lead back to it: a cycle", at->id);
            }
        }
        return {};
    }

    std::unordered_map<std::int64_t, const Snapshot*> by_id_;
};

class Planner {
  public:
    Planner(const TableMetadata& metadata, const Ancestry& ancestry, Cursor cursor)
        : metadata_(metadata), ancestry_(ancestry), cursor_(std::move(cursor)), head_(metadata.current_snapshot()) {
        plan_.start = cursor_;
        plan_.start.metadata_location.clear();
    }

    WalkPlan plan() {
        note_definitions();
        prune_seen();
        walk_main();
        walk_branches();
        walk_rest();
        note_refs();
        order_commits();
        finish();
        return std::move(plan_);
    }

    // For a first look at a table, or at another one of its name: what is there is no news.
    void begin(bool with_history) {
        take_definitions(plan_.start);
        take_refs(plan_.start);
        const auto line = ancestry_.line(head_);
        if (!line.empty()) plan_.start.gap_told = line.back()->id;
        if (with_history) {
            cursor_ = plan_.start;
            return;
        }
        for (const Snapshot& snapshot : metadata_.snapshots) plan_.start.seen.insert(snapshot.id);
        if (head_ != nullptr) {
            move_main(*head_);
            plan_.move_to = head_->id;
        }
        cursor_ = plan_.start;
    }
    std::vector<TableEvent>& events() { return plan_.events; }
    void set_recreated() { plan_.recreated = true; }

  private:
    bool seen(std::int64_t id) const { return plan_.start.seen.count(id) > 0 || placed_.count(id) > 0; }

    TableEvent& event(TableEventKind kind, std::string text) {
        TableEvent event;
        event.kind = kind;
        event.text = std::move(text);
        event.timestamp_ms = metadata_.last_updated_ms;
        return plan_.events.emplace_back(std::move(event));
    }

    void take_definitions(Cursor& cursor) const {
        cursor.table_uuid = metadata_.table_uuid;
        cursor.schema_id = metadata_.current_schema_id;
        cursor.spec_id = metadata_.default_spec_id;
        cursor.sort_order_id = metadata_.default_sort_order_id;
    }

    void take_refs(Cursor& cursor) const {
        cursor.refs.clear();
        cursor.tags.clear();
        for (const SnapshotRef& ref : metadata_.refs) {
            if (ref.name == main_name) continue;
            cursor.refs[ref.name] = ref.snapshot_id;
            if (ref.tag) cursor.tags.insert(ref.name);
        }
    }

    void note_definitions() {
        const auto compare = [&](TableEventKind kind, const char* what, std::optional<std::int32_t> before,
                                 std::optional<std::int32_t> now) {
            if (!before || !now || before == now) return;
            TableEvent& changed = event(kind, fmt::format("the {} changed from {} to {}", what, *before, *now));
            changed.from = *before;
            changed.to = *now;
        };
        compare(TableEventKind::SchemaChanged, "schema", cursor_.schema_id, metadata_.current_schema_id);
        compare(TableEventKind::SpecChanged, "partition spec", cursor_.spec_id, metadata_.default_spec_id);
        compare(TableEventKind::SortOrderChanged, "sort order", cursor_.sort_order_id, metadata_.default_sort_order_id);
        take_definitions(plan_.start);
    }

    // Forgets snapshots that expired, and knows again those that an older metadata file brings back.
    void prune_seen() {
        std::set<std::int64_t>& seen = plan_.start.seen;
        std::int64_t expired = 0;
        for (auto id = seen.begin(); id != seen.end();) {
            const bool there = ancestry_.find(*id) != nullptr;
            if (!there) ++expired;
            id = there ? std::next(id) : seen.erase(id);
        }
        if (expired > 0) {
            event(TableEventKind::SnapshotsExpired, fmt::format("{} snapshots expired", expired)).count = expired;
        }
        for (const Snapshot& snapshot : metadata_.snapshots) {
            const bool old = snapshot.sequence_number > 0 && snapshot.sequence_number <= cursor_.last_sequence_number &&
                             snapshot.timestamp_ms <= cursor_.main_timestamp_ms;
            if (!old || cursor_.seen.empty() || !seen.insert(snapshot.id).second) continue;
            plan_.notes.push_back(fmt::format(
                "snapshot {} is back: it is older than what was reported, and is not reported again", snapshot.id));
        }
    }

    void move_main(const Snapshot& to) {
        plan_.start.main_snapshot = to.id;
        plan_.start.main_sequence = to.sequence_number;
        plan_.start.main_timestamp_ms = to.timestamp_ms;
    }

    // Main goes to a snapshot that is known already.
    void move(TableEventKind kind, const Snapshot& to, std::optional<std::int64_t> from) {
        const char* how = kind == TableEventKind::Rollback ? "was rolled back" : "went on";
        TableEvent& moved = event(kind, from ? fmt::format("main {} from snapshot {} to {}", how, *from, to.id)
                                             : fmt::format("main {} to snapshot {}", how, to.id));
        moved.from = from;
        moved.to = to.id;
        moved.ref = main_name;
        for (const SnapshotLogEntry& entry : metadata_.snapshot_log) {
            if (entry.snapshot_id == to.id) moved.timestamp_ms = entry.timestamp_ms;
        }
        if (cursor_.main_snapshot == to.id) return;  // there and back again
        plan_.move_to = to.id;
        move_main(to);
    }

    void walk_main() {
        if (head_ == nullptr) {
            if (!cursor_.main_snapshot) return;
            TableEvent& emptied = event(TableEventKind::Rollback, "main has no snapshot any more");
            emptied.from = cursor_.main_snapshot;
            emptied.ref = main_name;
            plan_.start.main_snapshot.reset();
            plan_.start.main_sequence = 0;
            return;
        }
        const auto line = ancestry_.line(head_);
        // The youngest snapshot of the line that is known: what lies above it is new.
        const auto known = std::find_if(line.begin(), line.end(), [&](const Snapshot* s) { return seen(s->id); });
        const auto reported =
            std::find_if(line.begin(), line.end(), [&](const Snapshot* s) { return cursor_.main_snapshot == s->id; });
        const auto newest_rolled_back = rolled_back_since();
        if (known == line.end()) {
            walk_disconnected(*line.back());
        } else if (!cursor_.main_snapshot) {
            move(TableEventKind::FastForward, **known, std::nullopt);
        } else if (reported == line.end()) {
            move(TableEventKind::Rollback, **known, newest_rolled_back ? newest_rolled_back : cursor_.main_snapshot);
        } else if (known < reported) {
            move(TableEventKind::FastForward, **known, cursor_.main_snapshot);
        } else if (newest_rolled_back) {
            move(TableEventKind::Rollback, **reported, newest_rolled_back);
        }
        for (auto at = known; at != line.begin();) place(**--at, CommitKind::Main, std::string(main_name));
    }

    // No snapshot of main's line is known.
    void walk_disconnected(const Snapshot& oldest) {
        if (oldest.parent_id && oldest.parent_id == cursor_.main_snapshot) return;  // it only expired
        if (!oldest.parent_id && !cursor_.main_snapshot) return;                    // the first commit ever
        if (cursor_.gap_told == oldest.id) return;
        plan_.start.gap_told = oldest.id;
        TableEvent& gap =
            event(TableEventKind::HistoryGap,
                  oldest.parent_id
                      ? fmt::format("commits of main before snapshot {} expired before they were seen", oldest.id)
                      : fmt::format("main was begun anew with snapshot {}, which has no parent", oldest.id));
        gap.from = cursor_.main_snapshot;
        gap.to = oldest.id;
        gap.ref = main_name;
        gap.timestamp_ms = oldest.timestamp_ms;
        if (oldest.parent_id) gap.count = missing_before(oldest);
    }

    // Sequence numbers between main's and that one which no snapshot has any more; of all branches.
    std::int64_t missing_before(const Snapshot& oldest) const {
        const std::int64_t first = cursor_.main_snapshot ? cursor_.main_sequence : 0;
        if (oldest.sequence_number <= first + 1 || (cursor_.main_snapshot && first == 0)) return 0;
        std::set<std::int64_t> there;
        for (const Snapshot& snapshot : metadata_.snapshots) {
            if (snapshot.sequence_number > first && snapshot.sequence_number < oldest.sequence_number) {
                there.insert(snapshot.sequence_number);
            }
        }
        return oldest.sequence_number - first - 1 - static_cast<std::int64_t>(there.size());
    }

    // The newest snapshot that came to main after the last look and has left it again.
    std::optional<std::int64_t> rolled_back_since() const {
        std::optional<std::int64_t> newest;
        std::unordered_set<std::int64_t> on_line;
        for (const Snapshot* snapshot : ancestry_.line(head_)) on_line.insert(snapshot->id);
        for (const SnapshotLogEntry& entry : metadata_.snapshot_log) {
            if (entry.timestamp_ms <= cursor_.log_timestamp_ms || on_line.count(entry.snapshot_id) > 0) continue;
            if (ancestry_.find(entry.snapshot_id) != nullptr && !seen(entry.snapshot_id)) newest = entry.snapshot_id;
        }
        return newest;
    }

    void place(const Snapshot& snapshot, CommitKind kind, std::string ref) {
        if (seen(snapshot.id)) return;
        placed_.insert(snapshot.id);
        CommitStep step;
        step.snapshot_id = snapshot.id;
        step.kind = kind;
        step.ref = std::move(ref);
        step.parent_id = snapshot.parent_id;
        const bool from_main = kind == CommitKind::Main && snapshot.parent_id == plan_.start.main_snapshot;
        step.parent_known = !snapshot.parent_id || from_main || ancestry_.find(*snapshot.parent_id) != nullptr;
        step.sequence_number = snapshot.sequence_number;
        step.timestamp_ms = snapshot.timestamp_ms;
        plan_.commits.push_back(std::move(step));
    }

    void walk_branches() {
        for (const SnapshotRef& ref : metadata_.refs) {
            if (ref.tag || ref.name == main_name) continue;
            for (const Snapshot* at = ancestry_.find(ref.snapshot_id); at != nullptr && !seen(at->id);
                 at = ancestry_.parent(*at)) {
                place(*at, CommitKind::Branch, ref.name);
            }
        }
    }

    void walk_rest() {
        std::unordered_set<std::int64_t> was_current;
        for (const SnapshotLogEntry& entry : metadata_.snapshot_log) was_current.insert(entry.snapshot_id);
        for (const Snapshot& snapshot : metadata_.snapshots) {
            if (was_current.count(snapshot.id) > 0) {
                place(snapshot, CommitKind::RolledBack, std::string(main_name));
            } else {
                place(snapshot, CommitKind::Staged, {});
            }
        }
    }

    void note_refs() {
        const auto& before = cursor_.refs;
        take_refs(plan_.start);
        for (const auto& [name, id] : plan_.start.refs) {
            const bool tag = plan_.start.tags.count(name) > 0;
            const auto old = before.find(name);
            if (old == before.end()) {
                note_ref(tag ? TableEventKind::TagCreated : TableEventKind::BranchCreated, name, std::nullopt, id);
            } else if (old->second != id) {
                note_moved_ref(name, tag, old->second, id);
            }
        }
        for (const auto& [name, id] : before) {
            if (plan_.start.refs.count(name) > 0) continue;
            const bool tag = cursor_.tags.count(name) > 0;
            note_ref(tag ? TableEventKind::TagDropped : TableEventKind::BranchDropped, name, id, std::nullopt);
        }
    }

    // A branch that went on with new commits is no event: they are reported.
    void note_moved_ref(const std::string& name, bool tag, std::int64_t from, std::int64_t to) {
        if (tag) return note_ref(TableEventKind::TagCreated, name, from, to);
        const bool forward = ancestry_.is_ancestor(from, to);
        if (forward && placed_.count(to) > 0) return;
        // Where the old head has expired nothing tells whether it was an ancestor.
        if (!forward && ancestry_.find(from) == nullptr) return;
        note_ref(forward ? TableEventKind::FastForward : TableEventKind::Rollback, name, from, to);
    }

    void note_ref(TableEventKind kind, const std::string& name, std::optional<std::int64_t> from,
                  std::optional<std::int64_t> to) {
        TableEvent& noted = event(kind, fmt::format("{} '{}'", to_string(kind), name.substr(0, 300)));
        noted.ref = name;
        noted.from = from;
        noted.to = to;
    }

    void order_commits() {
        std::unordered_map<std::int64_t, std::vector<std::size_t>> children;
        const auto later = [&](std::size_t a, std::size_t b) {
            const auto key = [&](std::size_t i) {
                const CommitStep& step = plan_.commits[i];
                return std::tuple(step.sequence_number, step.timestamp_ms, step.snapshot_id);
            };
            return key(a) > key(b);
        };
        std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> ready(later);
        for (std::size_t i = 0; i < plan_.commits.size(); ++i) {
            const auto parent = plan_.commits[i].parent_id;
            if (parent && placed_.count(*parent) > 0) {
                children[*parent].push_back(i);
            } else {
                ready.push(i);
            }
        }
        std::vector<CommitStep> ordered;
        while (!ready.empty()) {
            const std::size_t next = ready.top();
            ready.pop();
            for (const std::size_t child : children[plan_.commits[next].snapshot_id]) ready.push(child);
            ordered.push_back(std::move(plan_.commits[next]));
        }
        plan_.commits = std::move(ordered);
    }

    void finish() {
        for (const SnapshotLogEntry& entry : metadata_.snapshot_log) {
            plan_.start.log_timestamp_ms = std::max(plan_.start.log_timestamp_ms, entry.timestamp_ms);
        }
        plan_.after = plan_.start;
        for (const CommitStep& step : plan_.commits) plan_.after = step.after(std::move(plan_.after));
        if (plan_.commits.empty()) plan_.start.last_sequence_number = metadata_.last_sequence_number;
        // Only now: a snapshot of these numbers that is not reported yet must not pass for an old one.
        plan_.after.last_sequence_number = metadata_.last_sequence_number;
    }

    const TableMetadata& metadata_;
    const Ancestry& ancestry_;
    Cursor cursor_;
    const Snapshot* head_;
    WalkPlan plan_;
    std::unordered_set<std::int64_t> placed_;
};

}  // namespace

Result<WalkPlan> plan_walk(const std::optional<Cursor>& cursor, const TableMetadata& metadata, FirstLook first_look) {
    SB_TRY(const Ancestry ancestry, Ancestry::of(metadata));
    const bool recreated = cursor && !cursor->table_uuid.empty() && !metadata.table_uuid.empty() &&
                           cursor->table_uuid != metadata.table_uuid;
    Planner planner(metadata, ancestry, cursor && !recreated ? *cursor : Cursor());
    if (!cursor || recreated) planner.begin(recreated || first_look == FirstLook::History);
    if (recreated) {
        planner.set_recreated();
        TableEvent event;
        event.kind = TableEventKind::Recreated;
        event.text = fmt::format("the table was made anew: its uuid was {} and is {}", cursor->table_uuid.substr(0, 80),
                                 metadata.table_uuid.substr(0, 80));
        event.timestamp_ms = metadata.last_updated_ms;
        planner.events().push_back(std::move(event));
    }
    return planner.plan();
}

}  // namespace signalbox::lake
