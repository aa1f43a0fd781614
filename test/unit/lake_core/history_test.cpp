#include "domain/lake/history.hpp"

#include <gmock/gmock.h>

#include "base/prng.hpp"

namespace signalbox::lake {
namespace {

using base::ErrorKind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A table's history by hand: each commit takes the next sequence number and a second.
struct History {
    TableMetadata metadata;
    std::int64_t now_ms = 0;

    explicit History(int format_version = 2) {
        metadata.format_version = format_version;
        metadata.table_uuid = "u1";
        metadata.current_schema_id = 0;
        metadata.default_spec_id = 0;
        metadata.default_sort_order_id = 0;
    }
    Snapshot& snapshot(std::int64_t id, std::optional<std::int64_t> parent) {
        Snapshot snapshot;
        snapshot.id = id;
        snapshot.parent_id = parent;
        if (metadata.format_version > 1) snapshot.sequence_number = ++metadata.last_sequence_number;
        snapshot.timestamp_ms = metadata.last_updated_ms = now_ms += 1000;
        metadata.snapshots.push_back(snapshot);
        return metadata.snapshots.back();
    }
    History& set_main(std::int64_t id) {
        metadata.current_snapshot_id = id;
        metadata.snapshot_log.push_back({metadata.last_updated_ms = now_ms += 1000, id});
        return *this;
    }
    // Commits to main.
    History& commit(std::int64_t id) {
        snapshot(id, metadata.current_snapshot_id);
        return set_main(id);
    }
    History& set_ref(const std::string& name, std::int64_t id, bool tag = false) {
        drop_ref(name);
        metadata.refs.push_back({name, id, tag});
        std::sort(metadata.refs.begin(), metadata.refs.end(),
                  [](const SnapshotRef& a, const SnapshotRef& b) { return a.name < b.name; });
        return *this;
    }
    History& drop_ref(const std::string& name) {
        std::erase_if(metadata.refs, [&](const SnapshotRef& ref) { return ref.name == name; });
        return *this;
    }
    History& branch_commit(const std::string& name, std::int64_t id, std::int64_t parent) {
        snapshot(id, parent);
        return set_ref(name, id);
    }
    History& expire(std::initializer_list<std::int64_t> ids) {
        for (const std::int64_t id : ids)
            std::erase_if(metadata.snapshots, [&](const Snapshot& s) { return s.id == id; });
        return *this;
    }
};

WalkPlan plan_of(const std::optional<Cursor>& cursor, const TableMetadata& metadata,
                 FirstLook first_look = FirstLook::Baseline) {
    auto plan = plan_walk(cursor, metadata, first_look);
    EXPECT_TRUE(plan) << plan.error().text();
    return plan ? std::move(*plan) : WalkPlan();
}

Cursor baseline(const History& history) { return plan_of(std::nullopt, history.metadata).after; }

std::vector<std::string> commits(const WalkPlan& plan) {
    std::vector<std::string> list;
    for (const CommitStep& step : plan.commits) {
        list.push_back(fmt::format("{}:{}{}{}", step.snapshot_id, to_string(step.kind),
                                   step.ref.empty() || step.ref == "main" ? "" : "@" + step.ref,
                                   step.parent_known ? "" : "?"));
    }
    return list;
}

std::vector<std::string> events(const WalkPlan& plan) {
    std::vector<std::string> list;
    for (const TableEvent& event : plan.events) {
        std::string text(to_string(event.kind));
        if (event.from || event.to) text += fmt::format(" {}->{}", event.from.value_or(-1), event.to.value_or(-1));
        if (event.count > 0) text += fmt::format(" x{}", event.count);
        if (!event.ref.empty() && event.ref != "main") text += " @" + event.ref;
        list.push_back(text);
    }
    return list;
}

// From every cursor on the way, the same metadata gives the rest and nothing again.
void expect_resumable(const WalkPlan& plan, const TableMetadata& metadata) {
    Cursor cursor = plan.start;
    for (std::size_t done = 0; done <= plan.commits.size(); ++done) {
        const auto stored = decode_cursor(encode(cursor));
        ASSERT_TRUE(stored) << stored.error().text();
        const WalkPlan rest = plan_of(*stored, metadata);
        auto expected = commits(plan);
        expected.erase(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(done));
        EXPECT_EQ(commits(rest), expected);
        EXPECT_THAT(events(rest), IsEmpty());
        EXPECT_FALSE(rest.move_to);
        if (done < plan.commits.size()) cursor = plan.commits[done].after(std::move(cursor));
    }
    const WalkPlan again = plan_of(plan.after, metadata);
    EXPECT_THAT(commits(again), IsEmpty());
    EXPECT_THAT(events(again), IsEmpty());
}

TEST(Walk, a_first_look_reports_nothing_or_everything) {
    History history;
    history.commit(1).commit(2).branch_commit("audit", 3, 1).set_ref("old", 1, true);
    const WalkPlan nothing = plan_of(std::nullopt, history.metadata);
    EXPECT_THAT(commits(nothing), IsEmpty());
    EXPECT_THAT(events(nothing), IsEmpty());
    EXPECT_EQ(nothing.move_to, 2);
    EXPECT_EQ(nothing.after.main_snapshot, 2);
    const WalkPlan all = plan_of(std::nullopt, history.metadata, FirstLook::History);
    EXPECT_THAT(commits(all), ElementsAre("1:main", "2:main", "3:branch@audit"));
    EXPECT_THAT(events(all), IsEmpty());
    expect_resumable(all, history.metadata);
    expect_resumable(nothing, history.metadata);
}

TEST(Walk, a_table_without_a_snapshot_waits_for_its_first) {
    History history;
    const Cursor cursor = baseline(history);
    EXPECT_FALSE(cursor.main_snapshot);
    history.commit(1);
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(commits(plan), ElementsAre("1:main"));
    EXPECT_THAT(events(plan), IsEmpty());
    expect_resumable(plan, history.metadata);
}

TEST(Walk, quick_commits_are_each_seen_once_and_in_order) {
    History history;
    const Cursor cursor = baseline(history.commit(1));
    history.commit(5).commit(3).commit(4);
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(commits(plan), ElementsAre("5:main", "3:main", "4:main"));
    expect_resumable(plan, history.metadata);
}

TEST(Walk, a_rollback_is_an_event_and_moves_main_back) {
    History history;
    const Cursor cursor = baseline(history.commit(1).commit(2).commit(3));
    history.set_main(1);
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(plan), ElementsAre("rollback 3->1"));
    EXPECT_EQ(plan.events[0].timestamp_ms, history.now_ms);
    EXPECT_EQ(plan.move_to, 1);
    EXPECT_THAT(commits(plan), IsEmpty());
    expect_resumable(plan, history.metadata);
    history.commit(4);
    EXPECT_THAT(commits(plan_of(plan.after, history.metadata)), ElementsAre("4:main"));
    const WalkPlan at_once = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(at_once), ElementsAre("rollback 3->1"));
    EXPECT_THAT(commits(at_once), ElementsAre("4:main"));
    expect_resumable(at_once, history.metadata);
}

TEST(Walk, commits_that_came_and_went_between_two_looks_are_reported_as_rolled_back) {
    History history;
    const Cursor cursor = baseline(history.commit(1));
    history.commit(2).commit(3).set_main(1).commit(4);
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(plan), ElementsAre("rollback 3->1"));
    EXPECT_FALSE(plan.move_to) << "main is where it was";
    EXPECT_THAT(commits(plan), ElementsAre("2:rolled-back", "3:rolled-back", "4:main"));
    EXPECT_EQ(plan.after.main_snapshot, 4);
    expect_resumable(plan, history.metadata);
}

TEST(Walk, a_rollback_past_the_cursor_of_a_head_that_expired_is_a_rollback) {
    History history;
    const Cursor cursor = baseline(history.commit(1).commit(2).commit(3));
    history.set_main(1).commit(4).expire({2, 3});
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(plan), ElementsAre("snapshots-expired x2", "rollback 3->1"));
    EXPECT_EQ(plan.move_to, 1);
    EXPECT_THAT(commits(plan), ElementsAre("4:main"));
    expect_resumable(plan, history.metadata);
}

TEST(Walk, a_branch_has_its_commits_reported_and_main_goes_on_to_them) {
    History history;
    const Cursor cursor = baseline(history.commit(1));
    history.branch_commit("audit", 2, 1).branch_commit("audit", 3, 2);
    const WalkPlan branch = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(branch), ElementsAre("branch-created -1->3 @audit"));
    EXPECT_THAT(commits(branch), ElementsAre("2:branch@audit", "3:branch@audit"));
    EXPECT_EQ(branch.after.main_snapshot, 1);
    expect_resumable(branch, history.metadata);

    history.set_main(3).drop_ref("audit").commit(4);
    const WalkPlan forward = plan_of(branch.after, history.metadata);
    EXPECT_THAT(events(forward), ElementsAre("fast-forward 1->3", "branch-dropped 3->-1 @audit"));
    EXPECT_EQ(forward.move_to, 3);
    EXPECT_THAT(commits(forward), ElementsAre("4:main"));
    expect_resumable(forward, history.metadata);

    const WalkPlan at_once = plan_of(cursor, history.metadata);
    EXPECT_THAT(commits(at_once), ElementsAre("2:main", "3:main", "4:main"));
    EXPECT_THAT(events(at_once), IsEmpty());
}

TEST(Walk, a_branch_that_moves_without_commits_is_an_event_of_its_own) {
    History history;
    const Cursor cursor = baseline(history.commit(1).commit(2).set_ref("audit", 1).set_ref("test", 2));
    history.set_ref("audit", 2).set_ref("test", 1);
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(plan), ElementsAre("fast-forward 1->2 @audit", "rollback 2->1 @test"));
    expect_resumable(plan, history.metadata);
}

TEST(Walk, tags_are_told_apart_from_branches_also_when_they_go) {
    History history;
    const Cursor cursor = baseline(history.commit(1).commit(2).set_ref("v1", 1, true));
    history.drop_ref("v1").set_ref("v2", 2, true);
    EXPECT_THAT(events(plan_of(cursor, history.metadata)),
                ElementsAre("tag-created -1->2 @v2", "tag-dropped 1->-1 @v1"));
}

TEST(Walk, a_staged_commit_is_reported_and_its_publication_moves_main) {
    History history;
    const Cursor cursor = baseline(history.commit(1));
    history.snapshot(2, 1);
    const WalkPlan staged = plan_of(cursor, history.metadata);
    EXPECT_THAT(commits(staged), ElementsAre("2:staged"));
    EXPECT_EQ(staged.after.main_snapshot, 1);
    history.set_main(2);
    const WalkPlan published = plan_of(staged.after, history.metadata);
    EXPECT_THAT(events(published), ElementsAre("fast-forward 1->2"));
    EXPECT_EQ(published.move_to, 2);
    EXPECT_THAT(commits(published), IsEmpty());
    expect_resumable(published, history.metadata);
}

TEST(Walk, the_cursors_own_head_may_expire_and_nothing_is_missing) {
    History history;
    const Cursor cursor = baseline(history.commit(1).commit(2));
    history.commit(3).commit(4).expire({1, 2});
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(commits(plan), ElementsAre("3:main", "4:main"));
    EXPECT_THAT(events(plan), ElementsAre("snapshots-expired x2"));
    EXPECT_EQ(plan.after.seen, (std::set<std::int64_t>{3, 4}));
    expect_resumable(plan, history.metadata);
}

TEST(Walk, commits_that_expired_unseen_are_a_gap_of_known_size) {
    History history;
    const Cursor cursor = baseline(history.commit(1));
    history.commit(2).branch_commit("audit", 3, 2).commit(4).commit(5).expire({1, 2, 4});
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(plan),
                ElementsAre("snapshots-expired x1", "history-gap 1->5 x2", "branch-created -1->3 @audit"));
    EXPECT_THAT(commits(plan), ElementsAre("3:branch@audit?", "5:main?"));
    expect_resumable(plan, history.metadata);
}

TEST(Walk, a_first_snapshot_seen_late_is_a_gap_too) {
    History history;
    const Cursor cursor = baseline(history);
    history.commit(1).commit(2).commit(3).expire({1});
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(plan), ElementsAre("history-gap -1->2 x1"));
    EXPECT_THAT(commits(plan), ElementsAre("2:main?", "3:main"));
    expect_resumable(plan, history.metadata);
}

TEST(Walk, main_begun_anew_under_the_same_uuid_is_said) {
    History history;
    const Cursor cursor = baseline(history.commit(1).commit(2));
    history.snapshot(3, std::nullopt);
    history.set_main(3).commit(4);
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(plan), ElementsAre("history-gap 2->3"));
    EXPECT_THAT(plan.events[0].text, HasSubstr("begun anew"));
    EXPECT_THAT(commits(plan), ElementsAre("3:main", "4:main"));
    expect_resumable(plan, history.metadata);
}

TEST(Walk, another_table_of_the_same_name_starts_anew) {
    History history;
    const Cursor cursor = baseline(history.commit(1).commit(2));
    History other;
    other.metadata.table_uuid = "u2";
    other.commit(7).commit(8);
    const WalkPlan plan = plan_of(cursor, other.metadata);
    EXPECT_TRUE(plan.recreated);
    EXPECT_THAT(events(plan), ElementsAre("recreated"));
    EXPECT_THAT(commits(plan), ElementsAre("7:main", "8:main"));
    expect_resumable(plan, other.metadata);
}

TEST(Walk, main_without_a_snapshot_any_more_is_a_rollback_to_none) {
    History history;
    const Cursor cursor = baseline(history.commit(1));
    history.metadata.current_snapshot_id.reset();
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(plan), ElementsAre("rollback 1->-1"));
    EXPECT_FALSE(plan.after.main_snapshot);
    expect_resumable(plan, history.metadata);
}

TEST(Walk, changes_of_schema_spec_and_order_are_events_once) {
    History history;
    const Cursor cursor = baseline(history.commit(1));
    history.metadata.current_schema_id = 1;
    history.metadata.default_spec_id = 2;
    history.metadata.default_sort_order_id = 3;
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(events(plan), ElementsAre("schema-changed 0->1", "spec-changed 0->2", "sort-order-changed 0->3"));
    expect_resumable(plan, history.metadata);
}

TEST(Walk, in_version_1_a_clock_that_runs_back_does_not_change_the_order) {
    History history(1);
    const Cursor cursor = baseline(history.commit(1));
    history.now_ms = -100'000;
    history.commit(2);
    history.now_ms = -200'000;
    history.commit(3).snapshot(4, 2);
    const WalkPlan plan = plan_of(cursor, history.metadata);
    EXPECT_THAT(commits(plan), ElementsAre("2:main", "3:main", "4:staged"));
    expect_resumable(plan, history.metadata);
}

TEST(Walk, an_older_metadata_file_does_not_bring_expired_commits_back) {
    History history;
    history.commit(1).commit(2).commit(3);
    const TableMetadata old = history.metadata;
    const Cursor cursor = baseline(history.commit(4).expire({1, 2}));
    const WalkPlan plan = plan_of(cursor, old);
    EXPECT_THAT(commits(plan), IsEmpty());
    EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("snapshot 1 is back"), HasSubstr("snapshot 2 is back")));
}

TEST(Walk, a_cycle_of_parents_is_named) {
    for (const std::int64_t parent : {3, 2}) {
        History history;
        history.commit(1).commit(2).commit(3);
        history.metadata.snapshots[1].parent_id = parent;
        const auto plan = plan_walk(std::nullopt, history.metadata, FirstLook::History);
        ASSERT_FALSE(plan);
        EXPECT_EQ(plan.error().kind, ErrorKind::CorruptData);
        EXPECT_THAT(plan.error().text(), HasSubstr("lead back to it: a cycle"));
    }
}

TEST(Walk, a_snapshot_that_is_there_twice_is_named) {
    History history;
    history.commit(1).commit(1);
    EXPECT_THAT(plan_walk(std::nullopt, history.metadata, FirstLook::Baseline).error().text(),
                HasSubstr("two snapshots with the id 1"));
}

TEST(Walk, ten_thousand_commits_are_planned_in_a_moment) {
    History history;
    const Cursor cursor = baseline(history.commit(1));
    for (std::int64_t id = 2; id <= 10'000; ++id) history.commit(id);
    EXPECT_EQ(plan_of(cursor, history.metadata).commits.size(), 9999U);
}

// Any sequence of what catalogs do, looked at now and then: each snapshot that was there at a look is reported once.
TEST(Walk, every_commit_is_reported_once_whatever_happens_between_looks) {
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
        SCOPED_TRACE(seed);
        base::Prng prng(seed);
        History history(prng.below(4) == 0 ? 1 : 2);
        Cursor cursor = baseline(history.commit(1));
        std::map<std::int64_t, int> reported;
        std::set<std::int64_t> there{1};
        std::int64_t next = 2;
        const auto any_snapshot = [&] {
            return history.metadata.snapshots[prng.below(history.metadata.snapshots.size())].id;
        };
        for (int step = 0; step < 30; ++step) {
            switch (prng.below(8)) {
                case 0:
                    history.set_main(any_snapshot());
                    break;
                case 1:
                    history.branch_commit(prng.below(2) == 0 ? "a" : "b", next++, any_snapshot());
                    break;
                case 2:
                    history.snapshot(next++, any_snapshot());
                    break;
                case 3:
                    history.expire({any_snapshot()});
                    break;
                default:
                    history.commit(next++);
            }
            if (history.metadata.snapshot(*history.metadata.current_snapshot_id) == nullptr) {
                history.commit(next++);
            }
            std::erase_if(history.metadata.refs, [&](const SnapshotRef& ref) {
                return history.metadata.snapshot(ref.snapshot_id) == nullptr;
            });
            if (prng.below(3) != 0) continue;
            const WalkPlan plan = plan_of(cursor, history.metadata);
            expect_resumable(plan, history.metadata);
            std::set<std::int64_t> before = plan.start.seen;
            for (const CommitStep& commit : plan.commits) {
                ++reported[commit.snapshot_id];
                if (commit.parent_id && history.metadata.snapshot(*commit.parent_id) != nullptr) {
                    EXPECT_EQ(before.count(*commit.parent_id), 1U) << "a parent comes first";
                }
                before.insert(commit.snapshot_id);
            }
            for (const Snapshot& snapshot : history.metadata.snapshots) there.insert(snapshot.id);
            EXPECT_EQ(plan.after.main_snapshot, history.metadata.current_snapshot_id);
            cursor = plan.after;
        }
        for (const auto& [id, times] : reported) EXPECT_EQ(times, 1) << id;
        EXPECT_EQ(reported.size() + 1, there.size());
        if (HasFailure()) break;
    }
}

}  // namespace
}  // namespace signalbox::lake
