// A table is looked at by the real loop over the real store; only the table's files are of memory.
#include "engine/table_loop.hpp"

#include <gmock/gmock.h>

#include "adapters/sqlite/lake_store.hpp"
#include "unit/watch/fake_table.hpp"

namespace signalbox::engine {
namespace {

using base::ErrorKind;
using base::Result;
using base::Status;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

base::WallTime at(std::int64_t ms) { return base::WallTime(std::chrono::milliseconds(ms)); }

struct Store {
    std::shared_ptr<sqlite::Database> database = sqlite::Database::open(":memory:").value();
    std::unique_ptr<sqlite::LakeStore> lake = sqlite::LakeStore::open(database).value();
    std::unique_ptr<sqlite::JournalStore> journal = sqlite::JournalStore::open(database).value();
};

// Dies once at the n-th call: before it does anything, or after the store did it and before anybody knew.
class DyingStore final : public ports::LakeStore {
  public:
    DyingStore(ports::LakeStore& real, int dies_at, bool after) : real_(real), dies_at_(dies_at), after_(after) {}
    int calls() const { return calls_; }

    Result<std::optional<ports::TableRecord>> load(const std::string& table) override {
        return through<std::optional<ports::TableRecord>>([&] { return real_.load(table); });
    }
    Result<std::vector<ports::TableRecord>> list() override { return real_.list(); }
    Result<lake::TableState> state(const std::string& table) override {
        return through<lake::TableState>([&] { return real_.state(table); });
    }
    Result<std::vector<lake::ManifestAggregate>> aggregates(const std::string& table,
                                                            const std::vector<lake::ManifestKey>& keys) override {
        return through<std::vector<lake::ManifestAggregate>>([&] { return real_.aggregates(table, keys); });
    }
    Status save(ports::TableRecord& record, const ports::TableChange& change) override {
        return through<void>([&] { return real_.save(record, change); });
    }
    Status forget(const std::string& table) override { return real_.forget(table); }
    Result<std::vector<ports::CommitRecord>> commits(const ports::CommitQuery& query) override {
        return real_.commits(query);
    }
    Result<std::vector<ports::AlarmRecord>> alarms(const std::string& table) override {
        return through<std::vector<ports::AlarmRecord>>([&] { return real_.alarms(table); });
    }
    Result<base::json::array> silences() override { return real_.silences(); }
    Status save_silences(const base::json::array& silences, const ports::JournalEntry& entry) override {
        return real_.save_silences(silences, entry);
    }
    Result<std::optional<std::int64_t>> sink_position(const std::string& sink) override {
        return real_.sink_position(sink);
    }
    Status save_sink_position(const std::string& sink, std::int64_t sequence) override {
        return real_.save_sink_position(sink, sequence);
    }

  private:
    template <typename T, typename Call>
    Result<T> through(Call call) {
        const bool dies = ++calls_ == dies_at_;
        if (dies && !after_) return base::fail(ErrorKind::Internal, "killed");
        auto result = call();
        if (dies) return base::fail(ErrorKind::Internal, "killed");
        return result;
    }

    ports::LakeStore& real_;
    int dies_at_;
    bool after_;
    int calls_ = 0;
};

TableLoopConfig config_with_alarms() {
    TableLoopConfig config;
    alarms::AlarmConfig drift;
    drift.name = "drift";
    drift.kind = alarms::AlarmKind::Drift;
    drift.m = drift.n = 1;
    config.alarms.push_back({drift, {"*"}});
    alarms::AlarmConfig rollback;
    rollback.name = "rollback";
    rollback.kind = alarms::AlarmKind::Rollback;
    rollback.m = rollback.n = 1;
    config.alarms.push_back({rollback, {"*"}});
    return config;
}

Result<TableLook> look(ports::LakeStore& store, ports::Journal& journal, test::FakeTable& table,
                       const TableLoopConfig& config = config_with_alarms()) {
    TableLoop loop(store, journal, config);
    return loop.look("c.db.t", table.metadata(), table.location(), table, at(table.metadata().last_updated_ms + 500),
                     {});
}

std::vector<std::string> reports(ports::LakeStore& store) {
    std::vector<std::string> lines;
    const auto commits = store.commits({});
    if (!commits) return {commits.error().text()};
    for (const auto& commit : *commits) {
        const auto* change = commit.data.if_contains("change");
        lines.push_back(fmt::format("{} {} {}", commit.kind, commit.snapshot_id,
                                    change == nullptr ? "" : base::json::serialize(*change)));
    }
    return lines;
}

std::vector<std::int64_t> snapshots(const std::vector<ports::CommitRecord>& commits, std::string_view kind) {
    std::vector<std::int64_t> ids;
    for (const auto& commit : commits) {
        if (commit.kind == kind) ids.push_back(commit.snapshot_id);
    }
    return ids;
}

TEST(TableLoop, quick_commits_between_two_looks_are_each_reported_once_and_in_order) {
    Store store;
    test::FakeTable table;
    const auto first = table.append(3);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    const auto second = table.append(2);
    const auto third = table.append(5);
    const auto found = look(*store.lake, *store.journal, table);
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_THAT(snapshots(found->reported, "main"), ElementsAre(second, third));
    EXPECT_EQ(found->reported[0].data.at("change").at("added_data_files"), 2);
    EXPECT_EQ(found->reported[1].data.at("change").at("added_data_files"), 5);
    EXPECT_EQ(found->reported[1].data.at("change").at("truth"), "difference");
    EXPECT_EQ(found->reported[1].data.at("metrics").at("snapshot.total_data_files"), 10);
    const auto nothing = look(*store.lake, *store.journal, table);
    ASSERT_TRUE(nothing);
    EXPECT_TRUE(nothing->reported.empty());
    EXPECT_THAT(snapshots(store.lake->commits({}).value(), "main"), ElementsAre(first, second, third));
}

TEST(TableLoop, a_commit_reads_its_own_manifests_and_none_that_are_known) {
    Store store;
    test::FakeTable table;
    for (int i = 0; i < 20; ++i) table.append(2);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    const std::size_t before = table.manifests_read();
    table.append(1);
    const auto found = look(*store.lake, *store.journal, table);
    ASSERT_TRUE(found);
    EXPECT_EQ(table.manifests_read() - before, 1U);
    // Its list and its manifest; the metadata file makes three.
    EXPECT_EQ(found->reported.at(0).data.at("read").at("requests").to_number<int>(), 2);
    EXPECT_EQ(found->reported.at(0).data.at("read").at("manifests_read"), 1);
}

TEST(TableLoop, a_compaction_changes_no_records_and_counts_as_what_it_is) {
    Store store;
    test::FakeTable table;
    table.append(9);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    table.compact();
    const auto found = look(*store.lake, *store.journal, table);
    ASSERT_TRUE(found) << found.error().text();
    const auto& change = found->reported.at(0).data.at("change");
    EXPECT_EQ(change.at("added_data_files"), 1);
    EXPECT_EQ(change.at("deleted_data_files"), 2);
    EXPECT_EQ(change.at("added_records"), change.at("deleted_records"));
}

TEST(TableLoop, a_rollback_is_an_event_and_the_totals_follow_it) {
    Store store;
    test::FakeTable table;
    const auto good = table.append(3);
    table.append(4);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    table.rollback(good);
    const auto found = look(*store.lake, *store.journal, table);
    ASSERT_TRUE(found) << found.error().text();
    ASSERT_EQ(found->reported.size(), 1U);
    EXPECT_EQ(found->reported[0].kind, "rollback");
    ASSERT_EQ(found->changes.size(), 1U);
    EXPECT_EQ(found->changes[0].alarm, "rollback");
    EXPECT_EQ(found->changes[0].transition.to, alarms::AlarmState::Alarm);
    EXPECT_EQ(store.lake->state("c.db.t")->live()[0].files, 3);
}

TEST(TableLoop, a_branch_is_reported_as_one_and_leaves_mains_totals_alone) {
    Store store;
    test::FakeTable table;
    table.append(3);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    const auto other = table.append_on_branch("audit", 7);
    const auto found = look(*store.lake, *store.journal, table);
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_THAT(snapshots(found->reported, "branch"), ElementsAre(other));
    const auto& commit = found->reported.back();
    EXPECT_EQ(commit.ref, "audit");
    EXPECT_EQ(commit.data.at("change").at("added_data_files"), 7);
    EXPECT_TRUE(commit.data.at("metrics").at("snapshot.total_data_files").is_null());
    EXPECT_EQ(store.lake->state("c.db.t")->live()[0].files, 3);
}

TEST(TableLoop, history_that_expired_unseen_is_a_gap_and_not_a_guess) {
    Store store;
    test::FakeTable table;
    table.append(3);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    const auto lost = table.append(2);
    const auto kept = table.append(2);
    table.expire(lost);
    const auto found = look(*store.lake, *store.journal, table);
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_EQ(found->reported.front().kind, "history-gap");
    EXPECT_THAT(snapshots(found->reported, "main"), ElementsAre(kept));
    EXPECT_EQ(found->reported.back().data.at("change").at("truth"), "claims");
    EXPECT_EQ(found->reported.back().data.at("metrics").at("snapshot.total_data_files"), 7);
}

TEST(TableLoop, a_summary_that_lies_is_drift_and_an_alarm_that_says_so) {
    Store store;
    test::FakeTable table;
    table.append(3);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    table.lie_next();
    table.append(2);
    const auto found = look(*store.lake, *store.journal, table);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->reported.at(0).data.at("drift").at(0).at("field"), "added-data-files");
    ASSERT_EQ(found->changes.size(), 1U);
    EXPECT_THAT(found->changes[0].transition.text, ::testing::HasSubstr("4711"));
}

TEST(TableLoop, what_happened_before_the_first_look_is_learned_and_acts_on_nobody) {
    Store store;
    test::FakeTable table;
    table.lie_next();
    table.append(3);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    EXPECT_TRUE(store.journal->read({})->empty());
}

TEST(TableLoop, killed_at_any_step_each_commit_is_reported_once) {
    const auto build = [](test::FakeTable& table) {
        table.append(3);
        table.append(2);
        table.append(1);
        table.compact();
        table.lie_next();
        table.append(2);
        table.append_on_branch("audit", 2);
    };
    Store clean;
    test::FakeTable whole;
    whole.append(1);
    DyingStore counting(*clean.lake, 0, false);
    ASSERT_TRUE(look(counting, *clean.journal, whole));
    build(whole);
    ASSERT_TRUE(look(counting, *clean.journal, whole));
    const std::vector<std::string> expected = reports(*clean.lake);
    const auto journal = clean.journal->read({});
    ASSERT_GE(expected.size(), 8U);
    ASSERT_GE(counting.calls(), 20);
    for (int call = 1; call <= counting.calls(); ++call) {
        for (const bool after : {false, true}) {
            Store store;
            test::FakeTable table;
            table.append(1);
            DyingStore dying(*store.lake, call, after);
            // A daemon that dies is started again and looks again.
            if (!look(dying, *store.journal, table)) {
                ASSERT_TRUE(look(*store.lake, *store.journal, table));
            }
            build(table);
            if (!look(dying, *store.journal, table)) {
                ASSERT_TRUE(look(*store.lake, *store.journal, table));
            }
            EXPECT_THAT(reports(*store.lake), ElementsAreArray(expected))
                << "killed at call " << call << (after ? " after" : " before");
            EXPECT_EQ(store.journal->read({})->size(), journal->size()) << "killed at call " << call;
            EXPECT_TRUE(store.lake->state("c.db.t")->same_as(*clean.lake->state("c.db.t")));
        }
    }
}

TEST(TableLoop, storage_that_is_away_at_any_read_loses_and_doubles_nothing) {
    Store clean;
    test::FakeTable whole;
    whole.append(3);
    whole.append(2);
    whole.compact();
    ASSERT_TRUE(look(*clean.lake, *clean.journal, whole));
    const std::vector<std::string> expected = reports(*clean.lake);
    ASSERT_GE(whole.calls(), 5);
    for (int call = 1; call <= whole.calls(); ++call) {
        Store store;
        test::FakeTable table;
        table.append(3);
        table.append(2);
        table.compact();
        table.fail_at(call);
        const auto failed = look(*store.lake, *store.journal, table);
        ASSERT_FALSE(failed) << "call " << call;
        EXPECT_EQ(failed.error().kind, ErrorKind::Unavailable);
        ASSERT_TRUE(look(*store.lake, *store.journal, table));
        EXPECT_THAT(reports(*store.lake), ElementsAreArray(expected)) << "away at call " << call;
    }
}

TEST(TableLoop, two_daemons_on_one_store_do_not_both_report_a_commit) {
    Store store;
    test::FakeTable table;
    table.append(3);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    auto stale = store.lake->load("c.db.t");
    table.append(2);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    const auto refused = store.lake->save(**stale, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::Conflict);
}

TEST(TableLoop, a_table_that_was_made_anew_and_is_empty_is_watched_on) {
    Store store;
    test::FakeTable table;
    table.append(3);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    table.recreate();
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    const auto first = table.append(2);
    const auto found = look(*store.lake, *store.journal, table);
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_THAT(snapshots(found->reported, "main"), ElementsAre(first));
    EXPECT_EQ(found->reported.back().data.at("metrics").at("snapshot.total_data_files"), 2);
}

TEST(TableLoop, a_writers_clock_that_is_centuries_ahead_holds_up_nothing) {
    Store store;
    test::FakeTable table;
    TableLoopConfig config;
    alarms::AlarmConfig rows;
    rows.name = "rows";
    rows.kind = alarms::AlarmKind::Threshold;
    rows.metric = "snapshot.added_records";
    rows.threshold = 1e9;
    rows.period = std::chrono::hours(1);
    alarms::AlarmConfig late;
    late.name = "late";
    late.kind = alarms::AlarmKind::Late;
    late.interval = std::chrono::hours(2);
    late.m = late.n = 1;
    config.alarms = {{rows, {"*"}}, {late, {"*"}}};
    const std::int64_t now_ms = table.metadata().last_updated_ms + 1'790'000'000'000;
    table.append(3);
    TableLoop loop(*store.lake, *store.journal, config);
    table.set_clock_ms(9'000'000'000'000'000);
    table.append(2);
    ASSERT_TRUE(loop.look("c.db.t", table.metadata(), table.location(), table, at(now_ms), {}));
    // Two hours later it is late, whatever that writer's clock said.
    const auto ticked = loop.tick("c.db.t", at(now_ms) + std::chrono::hours(3));
    ASSERT_TRUE(ticked);
    ASSERT_FALSE(ticked->changes.empty());
    EXPECT_EQ(ticked->changes.back().alarm, "late");
    EXPECT_EQ(ticked->changes.back().transition.to, alarms::AlarmState::Alarm);
}

TEST(TableLoop, a_tick_amid_the_first_look_acts_on_nobody) {
    Store store;
    test::FakeTable table;
    TableLoopConfig config;
    alarms::AlarmConfig late;
    late.name = "late";
    late.kind = alarms::AlarmKind::Late;
    late.interval = std::chrono::hours(1);
    late.m = late.n = 1;
    config.alarms = {{late, {"*"}}};
    for (int i = 0; i < 5; ++i) table.append(1);
    table.fail_at(8);
    ASSERT_FALSE(look(*store.lake, *store.journal, table, config));
    TableLoop loop(*store.lake, *store.journal, config);
    ASSERT_TRUE(loop.tick("c.db.t", at(table.metadata().last_updated_ms) + std::chrono::hours(48)));
    EXPECT_TRUE(store.journal->read({})->empty());
}

TEST(TableLoop, a_silence_counts_when_the_commit_is_found_not_when_it_was_made) {
    Store store;
    test::FakeTable table;
    table.append(3);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    table.lie_next();
    table.append(2);
    const auto made = table.metadata().last_updated_ms;
    alarms::Silence silence;
    silence.from = at(made) + std::chrono::minutes(30);
    silence.until = at(made) + std::chrono::minutes(90);
    ASSERT_TRUE(store.lake->save_silences({alarms::encode(silence)}, {}));
    TableLoop loop(*store.lake, *store.journal, config_with_alarms());
    const auto found =
        loop.look("c.db.t", table.metadata(), table.location(), table, at(made) + std::chrono::hours(1), {});
    ASSERT_TRUE(found);
    ASSERT_EQ(found->changes.size(), 1U);
    EXPECT_TRUE(found->changes[0].silenced);
}

TEST(TableLoop, what_the_newest_commit_names_and_is_not_there_is_looked_for_again) {
    Store store;
    test::FakeTable table;
    table.append(3);
    ASSERT_TRUE(look(*store.lake, *store.journal, table));
    const auto late = table.append(2);
    test::FakeTable whole = table;
    table.lose_list(late);
    const auto missing = look(*store.lake, *store.journal, table);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().kind, ErrorKind::NotFound);
    const auto found = look(*store.lake, *store.journal, whole);
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_THAT(snapshots(found->reported, "main"), ElementsAre(late));
    EXPECT_EQ(found->reported.back().data.at("change").at("truth"), "difference");
}

TEST(TableLoop, trouble_is_noted_once_per_change) {
    Store store;
    TableLoop loop(*store.lake, *store.journal, {});
    for (const char* trouble : {"away", "away", "broken", "", ""})
        ASSERT_TRUE(loop.note_trouble("c.db.t", trouble, at(1)));
    EXPECT_EQ(store.journal->read({})->size(), 3U);
}

TEST(Glob, stars_and_question_marks) {
    EXPECT_TRUE(glob_matches("*", "a.b.c"));
    EXPECT_TRUE(glob_matches("prod.*.orders", "prod.shop.orders"));
    EXPECT_FALSE(glob_matches("prod.*.orders", "prod.shop.orders2"));
    EXPECT_TRUE(glob_matches("*.order?", "prod.shop.orders"));
    EXPECT_TRUE(glob_matches("a*b*c", "aXbbYc"));
    EXPECT_FALSE(glob_matches("", "a"));
    EXPECT_TRUE(glob_matches("", ""));
}

}  // namespace
}  // namespace signalbox::engine
