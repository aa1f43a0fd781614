#include "domain/alarms/alarm.hpp"

#include <gtest/gtest.h>
#include <limits>

#include "helpers.hpp"

namespace signalbox::alarms::test {
namespace {

// Steps the alarm, and keeps what it said.
struct Scene {
    AlarmConfig config;
    AlarmMemory memory{};
    std::vector<Transition> said{};

    std::optional<Transition> see(const Observation& observation, base::WallTime now) {
        auto transition = step(config, memory, observation, now);
        if (transition) said.push_back(*transition);
        return transition;
    }
    std::optional<Transition> value(base::WallTime at, double number, PointClass kind = PointClass::Change) {
        return see(value_at(at, number, kind), at);
    }
    std::optional<Transition> commit_at(base::WallTime at) { return see(commit(at), at); }
};

Scene learned_band() {
    Scene run{config_of(AlarmKind::Band)};
    for (const Point& point : hourly(21)) run.value(point.at, point.value);
    return run;
}

TEST(BandAlarm, two_of_two_by_default_one_alarm_per_episode_and_evidence) {
    Scene run = learned_band();
    run.said.clear();
    ASSERT_EQ(run.memory.state, AlarmState::Ok);
    const auto at = monday + hours(24 * 21);
    EXPECT_FALSE(run.value(at, 9'000)) << "one is not enough";
    const auto transition = run.value(at + hours(1), 9'000);
    ASSERT_TRUE(transition);
    EXPECT_EQ(transition->to, AlarmState::Alarm);
    EXPECT_NE(transition->text.find("snapshot.added_records is 9,000, expected"), std::string::npos)
        << transition->text;
    EXPECT_NE(transition->text.find("snapshot 42 (append)"), std::string::npos) << transition->text;
    EXPECT_NE(transition->text.find("by spark"), std::string::npos) << transition->text;
    EXPECT_EQ(transition->evidence.at("snapshot_id").as_string(), "42") << "text: a double would round it";
    for (int hour = 2; hour < 12; ++hour) EXPECT_FALSE(run.value(at + hours(hour), 9'000));
    EXPECT_EQ(run.value(at + hours(12), 1'000)->to, AlarmState::Ok);
    EXPECT_EQ(run.memory.episode, 1U);
}

TEST(BandAlarm, one_far_outside_is_enough_where_asked_and_it_clears_after_good_ones) {
    Scene run = learned_band();
    run.config.k_alone = 5;
    run.config.clear_after = 3;
    const auto points = hourly(22);
    const std::size_t from = 24 * 21;
    ASSERT_TRUE(run.value(points[from].at, 50'000));
    EXPECT_FALSE(run.value(points[from + 1].at, points[from + 1].value));
    EXPECT_FALSE(run.value(points[from + 2].at, points[from + 2].value));
    EXPECT_EQ(run.value(points[from + 3].at, points[from + 3].value)->to, AlarmState::Ok);
}

TEST(BandAlarm, a_compaction_never_alarms_unless_asked) {
    Scene run = learned_band();
    run.said.clear();
    for (int i = 0; i < 50; ++i)
        run.value(monday + hours(24 * 21) + minutes(i), i % 10 == 9 ? 1e9 : 1e6, PointClass::Rewrite);
    EXPECT_TRUE(run.said.empty());
}

TEST(BandAlarm, looks_at_one_side_where_asked) {
    Scene run = learned_band();
    run.config.side = Side::Below;
    run.said.clear();
    for (int hour = 0; hour < 4; ++hour) run.value(monday + hours(24 * 21 + hour), 9'000);
    EXPECT_TRUE(run.said.empty());
    run.value(monday + hours(24 * 21 + 4), 1);
    EXPECT_TRUE(run.value(monday + hours(24 * 21 + 5), 1));
}

TEST(BandAlarm, an_unlearned_series_says_nothing) {
    Scene run{config_of(AlarmKind::Band)};
    for (int i = 0; i < 11; ++i) run.value(monday + hours(i), i % 2 == 0 ? 1 : 1e6);
    EXPECT_TRUE(run.said.empty());
    EXPECT_EQ(run.memory.state, AlarmState::InsufficientData);
}

TEST(ThresholdAlarm, has_hysteresis) {
    Scene run{config_of(AlarmKind::Threshold)};
    run.config.threshold = 100;
    run.config.clear_threshold = 80;
    run.config.m = run.config.n = 1;
    const double values[] = {50, 101, 95, 81, 100, 80, 99};
    std::vector<AlarmState> states;
    for (int i = 0; i < 7; ++i) {
        run.value(monday + hours(i), values[i]);
        states.push_back(run.memory.state);
    }
    using enum AlarmState;
    EXPECT_EQ(states, (std::vector{Ok, Alarm, Alarm, Alarm, Alarm, Ok, Ok}));
}

TEST(ThresholdAlarm, a_period_without_points_is_missing_data) {
    Scene run{config_of(AlarmKind::Threshold)};
    run.config.threshold = 10;
    run.config.period = hours(1);
    run.config.m = run.config.n = 1;
    run.value(monday + minutes(10), 4);
    run.value(monday + minutes(50), 5);
    EXPECT_EQ(run.see(Tick{}, monday + hours(1))->to, AlarmState::Ok) << "9 in the first hour";
    EXPECT_EQ(next_due(run.config, run.memory, monday + hours(1)), monday + hours(2));
    run.value(monday + minutes(70), 11);
    EXPECT_EQ(run.see(Tick{}, monday + hours(2))->to, AlarmState::Alarm);
    run.see(Tick{}, monday + hours(10));
    EXPECT_EQ(run.memory.state, AlarmState::InsufficientData);
    run.config.missing = MissingData::Breaching;
    run.see(Tick{}, monday + hours(11));
    EXPECT_EQ(run.memory.state, AlarmState::Alarm);
}

TEST(ThresholdAlarm, years_of_missing_periods_are_few_steps) {
    Scene run{config_of(AlarmKind::Threshold)};
    run.config.threshold = 10;
    run.config.period = std::chrono::seconds(1);
    run.value(monday, 4);
    run.see(Tick{}, monday + hours(24 * 365 * 5));
    EXPECT_EQ(run.memory.state, AlarmState::InsufficientData);
    EXPECT_EQ(run.memory.period->start, monday + hours(24 * 365 * 5));
}

TEST(LateAlarm, a_given_interval_counts_from_the_last_commit_with_data) {
    Scene run{config_of(AlarmKind::Late)};
    run.config.interval = hours(2);
    run.see(Tick{}, monday);
    EXPECT_EQ(next_due(run.config, run.memory, monday), monday + hours(2)) << "of a table without any commit";
    run.commit_at(monday + hours(1));
    CommitFact rewrite = commit(monday + hours(2));
    rewrite.kind = PointClass::Rewrite;
    run.see(rewrite, monday + hours(2));
    EXPECT_FALSE(run.see(Tick{}, monday + hours(3) - minutes(1)));
    const auto transition = run.see(Tick{}, monday + hours(3));
    ASSERT_TRUE(transition) << "a compaction brings no data";
    EXPECT_NE(transition->text.find("no commit with data for 2h"), std::string::npos) << transition->text;
    EXPECT_FALSE(next_due(run.config, run.memory, monday + hours(4))) << "only a commit can end it";
    EXPECT_EQ(run.commit_at(monday + hours(5))->to, AlarmState::Ok);
}

// Hourly on weekdays from 7 to 19.
std::vector<base::WallTime> office_hours(int days) {
    std::vector<base::WallTime> times;
    for (int hour = 0; hour < 24 * days; ++hour)
        if (hour / 24 % 7 < 5 && hour % 24 >= 7 && hour % 24 < 19) times.push_back(monday + hours(hour) + minutes(10));
    return times;
}

Scene ticked(const std::vector<base::WallTime>& times, base::WallTime until) {
    Scene run{config_of(AlarmKind::Late)};
    base::WallTime now = monday;
    const auto tick_until = [&](base::WallTime end) {
        while (const auto due = next_due(run.config, run.memory, now)) {
            if (*due > end) return;
            now = *due;
            run.see(Tick{}, now);
        }
    };
    for (const base::WallTime at : times) {
        tick_until(at);
        run.commit_at(now = at);
    }
    tick_until(until);
    return run;
}

TEST(LateAlarm, nights_and_weekends_without_commits_are_not_late) {
    const Scene run = ticked(office_hours(35), monday + hours(24 * 35));
    for (const Transition& transition : run.said) EXPECT_NE(transition.to, AlarmState::Alarm) << transition.text;
    EXPECT_EQ(run.memory.state, AlarmState::Ok);
}

TEST(LateAlarm, a_morning_without_commits_is_late_within_hours) {
    auto times = office_hours(28);
    const Scene run = ticked(times, monday + hours(24 * 28 + 12));
    ASSERT_EQ(run.memory.state, AlarmState::Alarm);
    EXPECT_GT(*run.memory.since, monday + hours(24 * 28 + 7));
    EXPECT_LT(*run.memory.since, monday + hours(24 * 28 + 11));
}

TEST(LateAlarm, a_daily_table_is_late_some_hours_after_its_time) {
    std::vector<base::WallTime> times;
    base::Prng prng(4);
    for (int day = 0; day < 28; ++day) times.push_back(monday + hours(24 * day + 2) + minutes(prng.below(20)));
    const Scene run = ticked(times, monday + hours(24 * 29));
    ASSERT_EQ(run.memory.state, AlarmState::Alarm);
    EXPECT_GT(*run.memory.since, monday + hours(24 * 28 + 2));
    EXPECT_LT(*run.memory.since, monday + hours(24 * 28 + 12));
}

TEST(CommitAlarms, fire_once_per_occurrence_and_end_with_the_next_clean_commit) {
    for (const AlarmKind kind : {AlarmKind::Drift, AlarmKind::Rollback, AlarmKind::SchemaChanged}) {
        Scene run{config_of(kind)};
        run.commit_at(monday);
        CommitFact fact = commit(monday + hours(1), 99);
        fact.drift = {{"total-records", "10", "7"}};
        fact.rollback = true;
        fact.abandoned_snapshot = 55;
        fact.schema_changes = {"column price: int → long"};
        const auto transition = run.see(fact, monday + hours(1));
        ASSERT_TRUE(transition && transition->to == AlarmState::Alarm) << to_string(kind);
        EXPECT_NE(transition->text.find("snapshot 99"), std::string::npos) << transition->text;
        EXPECT_EQ(run.commit_at(monday + hours(2))->to, AlarmState::Ok);
        EXPECT_EQ(run.memory.episode, 1U);
    }
}

TEST(CommitAlarms, a_total_that_stays_wrong_is_one_episode_another_field_is_a_second) {
    Scene run{config_of(AlarmKind::Drift)};
    CommitFact fact = commit(monday);
    fact.drift = {{"total-records", "10", "7"}};
    EXPECT_TRUE(run.see(fact, monday));
    EXPECT_FALSE(run.see(fact, monday + hours(1)));
    fact.drift.push_back({"total-data-files", "3", "2"});
    EXPECT_TRUE(run.see(fact, monday + hours(2)));
    EXPECT_EQ(run.memory.episode, 2U);
}

CommitFact deleting(base::WallTime at, double deleted) {
    CommitFact fact = commit(at);
    fact.deleted_records = deleted;
    fact.records_before = 1e6;
    return fact;
}

TEST(DeletionSpike, knows_what_a_table_deletes_usually) {
    Scene run{config_of(AlarmKind::DeletionSpike)};
    for (int hour = 0; hour < 100; ++hour) run.see(deleting(monday + hours(hour), 1000 + hour % 7 * 20), monday);
    EXPECT_EQ(run.memory.state, AlarmState::Ok);
    const auto transition = run.see(deleting(monday + hours(100), 106'960), monday);
    ASSERT_TRUE(transition);
    EXPECT_NE(transition->text.find("106,960 records deleted in one commit, usually up to"), std::string::npos)
        << transition->text;
    EXPECT_EQ(run.see(deleting(monday + hours(101), 1000), monday)->to, AlarmState::Ok);
}

TEST(DeletionSpike, a_table_that_is_always_overwritten_has_none_and_one_that_never_deletes_has) {
    Scene overwritten{config_of(AlarmKind::DeletionSpike)};
    Scene grown{config_of(AlarmKind::DeletionSpike)};
    for (int day = 0; day < 30; ++day) {
        overwritten.see(deleting(monday + hours(24 * day), 1e6), monday);
        grown.see(deleting(monday + hours(24 * day), 0), monday);
    }
    EXPECT_EQ(overwritten.memory.episode, 0U);
    EXPECT_TRUE(grown.see(deleting(monday + hours(24 * 30), 3e5), monday));
    EXPECT_FALSE(overwritten.see(deleting(monday + hours(24 * 30), 1e6), monday));
}

TEST(DeletionSpike, an_unknown_count_is_not_zero) {
    Scene run{config_of(AlarmKind::DeletionSpike)};
    EXPECT_FALSE(run.see(commit(monday), monday));
    EXPECT_EQ(run.memory.state, AlarmState::InsufficientData);
}

CommitFact loading(base::WallTime at, double records, double bytes) {
    CommitFact fact = commit(at);
    fact.added_records = records;
    fact.added_bytes = bytes;
    return fact;
}

TEST(Repeated, a_load_that_comes_twice_is_seen_and_equal_batches_are_not_one) {
    Scene varied{config_of(AlarmKind::Repeated)};
    Scene equal{config_of(AlarmKind::Repeated)};
    base::Prng prng(2);
    for (int hour = 0; hour < 50; ++hour) {
        const double records = 100'000 + static_cast<double>(prng.below(50'000));
        varied.see(loading(monday + hours(hour), records, records * (80 + prng.unit())), monday);
        equal.see(loading(monday + hours(hour), 10'000, 800'000), monday);
    }
    EXPECT_EQ(varied.memory.episode, 0U);
    EXPECT_EQ(equal.memory.episode, 0U);
    const Load last = varied.memory.loads.back();
    const auto transition = varied.see(loading(last.at + minutes(3), last.records, last.bytes + 12), monday);
    ASSERT_TRUE(transition);
    EXPECT_NE(transition->text.find("loaded twice"), std::string::npos) << transition->text;
}

TEST(Acknowledgement, belongs_to_the_episode) {
    Scene run{config_of(AlarmKind::Rollback)};
    EXPECT_FALSE(acknowledge(run.config, run.memory, "ann", monday, ""));
    CommitFact fact = commit(monday);
    fact.rollback = true;
    run.see(fact, monday);
    EXPECT_TRUE(acknowledge(run.config, run.memory, "ann", monday, "on it"));
    EXPECT_EQ(run.memory.acknowledged->by, "ann");
    run.see(fact, monday + hours(1));
    EXPECT_FALSE(run.memory.acknowledged) << "the next rollback is news";
}

TEST(Silences, cover_by_alarm_table_and_time) {
    const std::vector<Silence> silences = {{"late", "", monday, monday + hours(2), "ann", "migration"},
                                           {"", "db.orders", monday, monday + hours(4), "bob", "reload"}};
    EXPECT_EQ(silenced(silences, "late", "db.a", monday + hours(1))->by, "ann");
    EXPECT_EQ(silenced(silences, "late", "db.orders", monday + hours(1))->by, "bob") << "the one that ends last";
    EXPECT_EQ(silenced(silences, "rows", "db.a", monday), nullptr);
    EXPECT_EQ(silenced(silences, "late", "db.a", monday + hours(2)), nullptr) << "until is not in it";
    const auto decoded = decode_silence(encode(silences[0]));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->until, silences[0].until);
    EXPECT_FALSE(decode_silence({{"alarm", "x"}}));
}

TEST(AlarmConfig, is_refused_with_the_field_that_is_wrong) {
    const auto error_of = [](auto change) {
        AlarmConfig config = config_of(AlarmKind::Threshold);
        config.threshold = 1;
        change(config);
        const auto status = check(config);
        return status ? std::string() : status.error().text();
    };
    EXPECT_EQ(error_of([](AlarmConfig&) {}), "");
    EXPECT_NE(error_of([](AlarmConfig& config) { config.m = 3; }).find("m must be 1 to n"), std::string::npos);
    EXPECT_NE(error_of([](AlarmConfig& config) { config.k = 0; }).find("k must"), std::string::npos);
    EXPECT_NE(error_of([](AlarmConfig& config) { config.threshold.reset(); }).find("needs a threshold"),
              std::string::npos);
    EXPECT_NE(error_of([](AlarmConfig& config) { config.clear_threshold = 2; }).find("clear_threshold"),
              std::string::npos);
    EXPECT_NE(error_of([](AlarmConfig& config) { config.metric.clear(); }).find("needs a metric"), std::string::npos);
    EXPECT_NE(error_of([](AlarmConfig& config) { config.name = "a b"; }).find("not a name"), std::string::npos);
    for (const AlarmConfig& config : default_alarms()) EXPECT_TRUE(check(config)) << config.name;
}

// Whatever is observed, a decoded memory goes on as the one that was encoded, it stays small, and the state changes
// only with a transition that has a text.
TEST(AlarmMemory, decoded_at_any_moment_goes_on_the_same) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed)
        for (AlarmConfig config : default_alarms()) {
            base::Prng prng(seed);
            if (prng.chance(0.3) && config.kind == AlarmKind::Band) config.clear_after = 0, config.period = hours(2);
            AlarmMemory memory;
            base::WallTime now = monday;
            for (int i = 0; i < 400; ++i) {
                now += minutes(prng.below(180));
                CommitFact fact =
                    loading(now, static_cast<double>(prng.below(3000)), static_cast<double>(prng.below(90'000)));
                fact.deleted_records = prng.chance(0.2) ? static_cast<double>(prng.below(5000)) : 0;
                fact.rollback = prng.chance(0.02);
                if (prng.chance(0.05)) fact.drift = {{"total-records", "1", "2"}};
                if (prng.chance(0.05)) fact.kind = PointClass::Rewrite;
                Observation observation = fact;
                if (prng.chance(0.4)) observation = value_at(now, *fact.added_records, fact.kind);
                if (prng.chance(0.2)) observation = Tick{};
                const base::json::object encoded = encode(memory);
                const std::string text = base::json::serialize(encoded);
                ASSERT_LT(text.size(), 16'000U) << config.name;
                auto decoded = decode_memory(base::parse_json(text)->as_object(), config);
                ASSERT_TRUE(decoded) << config.name << ": " << decoded.error().text();
                const AlarmState before = memory.state;
                const auto a = step(config, memory, observation, now);
                const auto b = step(config, *decoded, observation, now);
                ASSERT_EQ(a.has_value(), b.has_value()) << config.name << " seed " << seed;
                if (a) {
                    ASSERT_EQ(a->text, b->text);
                }
                if (a) {
                    ASSERT_FALSE(a->text.empty());
                }
                ASSERT_TRUE(a || memory.state == before) << "never without evidence";
                ASSERT_EQ(base::json::serialize(encode(memory)), base::json::serialize(encode(*decoded)));
            }
        }
}

TEST(AlarmMemory, refuses_what_it_did_not_write) {
    const AlarmConfig config = config_of(AlarmKind::Band);
    EXPECT_FALSE(decode_memory({}, config));
    for (const char* key : {"state", "episode", "text", "data", "numbers", "last_commit"}) {
        base::json::object object = encode(AlarmMemory{});
        object[key] = base::json::array{};
        const auto decoded = decode_memory(object, config);
        ASSERT_FALSE(decoded) << key;
        EXPECT_EQ(decoded.error().kind, base::ErrorKind::CorruptData);
    }
}

TEST(Backtest, shows_each_step_with_its_range_and_counts_episodes) {
    AlarmConfig config = config_of(AlarmKind::Band);
    std::vector<Point> points = hourly(21);
    for (std::size_t i = 400; i < 405; ++i) points[i].value = 20;
    const Backtest test = backtest(config, points);
    ASSERT_EQ(test.steps.size(), points.size());
    EXPECT_EQ(test.episodes, 1U);
    EXPECT_TRUE(test.steps[5].learning);
    EXPECT_EQ(test.steps[401].state, AlarmState::Alarm);
    EXPECT_EQ(test.steps[402].datum, Datum::Bad);
    EXPECT_TRUE(test.steps[300].expected);
    const auto json = to_json(test.steps[401]);
    EXPECT_EQ(json.at("to").as_string(), "ALARM");
}

TEST(Backtest, ticks_as_a_daemon_would) {
    AlarmConfig config = config_of(AlarmKind::Late);
    config.interval = hours(3);
    std::vector<Point> points;
    for (int hour = 0; hour < 48; ++hour)
        if (hour < 20 || hour > 30) points.push_back({monday + hours(hour), 1});
    const Backtest test = backtest(config, points, monday + hours(60));
    EXPECT_EQ(test.episodes, 2U);
    const auto late = std::find_if(test.steps.begin(), test.steps.end(),
                                   [](const BacktestStep& step) { return step.state == AlarmState::Alarm; });
    ASSERT_NE(late, test.steps.end());
    EXPECT_EQ(late->at, monday + hours(22));
}

}  // namespace
}  // namespace signalbox::alarms::test
