#include "domain/jobs/breakers.hpp"

#include <gmock/gmock.h>

#include "decision_values.hpp"

namespace signalbox::jobs {
namespace {

using namespace std::chrono_literals;
using enum BreakerState;

PlaceOutcome outcome(const std::string& name, base::WallTime at, std::optional<RetryClass> failure = std::nullopt,
                     const std::string& zone = "a") {
    return {at, "jr", name, "s-" + name, zone, failure};
}

Breakers of(std::vector<PlaceOutcome> outcomes) { return Breakers::of(outcomes); }

Health health(const Breakers& breakers, const std::string& name, base::WallTime now, const std::string& zone = "a",
              std::vector<PlaceUse> in_use = {}) {
    return breakers.health(place(name, 9).connection, zone, in_use, now);
}

constexpr auto connection = RetryClass::Connection;

TEST(Breakers, nothing_is_known_against_a_new_place) {
    EXPECT_EQ(health(Breakers{}, "a1", t0), Health{});
    EXPECT_EQ(health(of({outcome("a1", t0)}), "a1", t0), Health{});
}

TEST(Breakers, transient_and_permanent_failures_say_nothing_of_a_place) {
    const Breakers breakers = of({outcome("a1", t0, RetryClass::Transient), outcome("a1", t0, RetryClass::Permanent)});
    EXPECT_EQ(health(breakers, "a1", t0), Health{});
    EXPECT_EQ(breakers.zone("a", t0).failures, 0);
}

TEST(Breakers, one_failure_makes_the_next_runs_prefer_another_place) {
    for (const bool after_success : {false, true}) {
        std::vector<PlaceOutcome> outcomes;
        if (after_success) outcomes.push_back(outcome("a1", t0 - 1min));
        outcomes.push_back(outcome("a1", t0, connection));
        const Breakers breakers = of(outcomes);
        DecisionInput input = input_of(Strategy::Resilient, 2, {place("a1", 9), place("b1", 9)});
        input.candidates[0].health = health(breakers, "a1", t0 + 1min);
        input.candidates[1].health = health(breakers, "b1", t0 + 1min, "b");
        EXPECT_EQ(chosen_name(decide(input)), "b1");
        EXPECT_EQ(breakers.connection("a1", t0).state, after_success ? Closed : Open);
    }
}

TEST(Breakers, a_failure_where_runs_just_succeeded_opens_nothing_and_the_second_does) {
    std::vector<PlaceOutcome> outcomes;
    for (int i = 0; i < 50; ++i) outcomes.push_back(outcome("a1", t0 - 1min));
    outcomes.push_back(outcome("a1", t0, connection));
    EXPECT_EQ(health(of(outcomes), "a1", t0).state, Closed);
    outcomes.push_back(outcome("a1", t0 + 2min, connection));
    EXPECT_EQ(health(of(outcomes), "a1", t0 + 2min).state, Open) << "however many succeeded before";
}

TEST(Breakers, two_failures_over_different_connections_open_the_zone) {
    const Breakers one = of({outcome("a1", t0, connection), outcome("a1", t0 + 1min, connection)});
    EXPECT_EQ(one.connection("a1", t0 + 1min).state, Open);
    EXPECT_EQ(one.subnet("s-a1", t0 + 1min).state, Open);
    std::vector<PlaceOutcome> outcomes = {outcome("a1", t0 - 1min), outcome("a1", t0, connection)};
    EXPECT_EQ(of(outcomes).zone("a", t0).state, Closed);
    outcomes.push_back(outcome("a2", t0 + 1min, connection));
    EXPECT_EQ(of(outcomes).zone("a", t0 + 1min).state, Open);
    EXPECT_EQ(health(of(outcomes), "a3", t0 + 1min).state, Open) << "a connection of it that nobody has tried";
    EXPECT_EQ(of(outcomes).zone("b", t0 + 1min).state, Closed);
}

TEST(Breakers, one_failed_connection_leaves_the_zones_others_usable) {
    const Breakers breakers = of({outcome("a1", t0, connection)});
    EXPECT_EQ(health(breakers, "a1", t0).state, Open);
    EXPECT_EQ(health(breakers, "a2", t0).state, Closed);
    EXPECT_LT(health(breakers, "a2", t0).badness, health(breakers, "a1", t0).badness);
    EXPECT_GT(health(breakers, "a2", t0).badness, health(breakers, "b1", t0, "b").badness);
}

TEST(Breakers, a_failure_of_the_zone_opens_it_at_once) {
    const Breakers breakers = of({outcome("a1", t0 - 1min), outcome("a1", t0, RetryClass::Zone)});
    EXPECT_EQ(breakers.zone("a", t0).state, Open);
    EXPECT_EQ(health(breakers, "a2", t0).state, Open);
}

TEST(Breakers, an_open_place_becomes_half_open_and_a_success_there_closes_it) {
    std::vector<PlaceOutcome> outcomes = {outcome("a1", t0, RetryClass::Zone)};
    EXPECT_EQ(health(of(outcomes), "a1", t0 + 5min - 1s).state, Open);
    EXPECT_EQ(of(outcomes).zone("a", t0).probe_at, t0 + 5min);
    EXPECT_EQ(health(of(outcomes), "a1", t0 + 5min).state, HalfOpen);
    outcomes.push_back(outcome("a1", t0 + 8min));
    EXPECT_EQ(health(of(outcomes), "a1", t0 + 8min).state, Closed);
}

TEST(Breakers, a_run_that_began_before_and_ends_well_does_not_close_an_open_place) {
    const Breakers breakers =
        of({outcome("a1", t0, RetryClass::Zone), outcome("a2", t0 + 1s, connection), outcome("a1", t0 + 1min)});
    EXPECT_EQ(breakers.zone("a", t0 + 1min).state, Open);
}

TEST(Breakers, each_failed_probe_doubles_the_time_to_the_next) {
    std::vector<PlaceOutcome> outcomes = {outcome("a1", t0, RetryClass::Zone)};
    base::WallTime now = t0;
    for (const base::Duration pause : {5min, 10min, 20min, 40min, 40min}) {
        EXPECT_EQ(of(outcomes).zone("a", now).probe_at - now, pause);
        now = of(outcomes).zone("a", now).probe_at;
        EXPECT_EQ(of(outcomes).zone("a", now).state, HalfOpen);
        outcomes.push_back(outcome("a1", now, RetryClass::Zone));
    }
    outcomes.push_back(outcome("a1", now + 40min));
    outcomes.push_back(outcome("a1", now + 41min, RetryClass::Zone));
    EXPECT_EQ(of(outcomes).zone("a", now + 41min).probe_at, now + 46min) << "anew after a success";
}

TEST(Breakers, while_a_run_tries_a_half_open_place_nobody_else_does) {
    const Breakers breakers = of({outcome("a1", t0, RetryClass::Zone)});
    const base::WallTime now = t0 + 10min;
    const PlaceUse use{"a2", "s-a2", "a", t0 + 6min};
    EXPECT_EQ(health(breakers, "a1", now, "a", {use}).state, Open);
    EXPECT_EQ(health(breakers, "a1", now, "a", {use}).reason, "zone 'a' is being tried by a run");
    EXPECT_EQ(health(breakers, "a1", now, "a", {{"b1", "s-b1", "b", t0 + 6min}}).state, HalfOpen);
    EXPECT_EQ(health(breakers, "a1", now, "a", {{"a2", "s-a2", "a", {}}}).state, Open) << "it may be a probe";
    EXPECT_EQ(health(breakers, "a1", now, "a", {{"a2", "s-a2", "a", t0 - 1h}}).state, HalfOpen)
        << "one that was there before it opened tries nothing";
}

TEST(Breakers, evidence_is_forgotten) {
    const Breakers breakers = of({outcome("a1", t0, connection)});
    EXPECT_NEAR(breakers.connection("a1", t0 + 20min).failures, 0.5, 1e-9);
    EXPECT_GT(health(breakers, "a1", t0 + 40min).badness, 0);
    EXPECT_EQ(health(breakers, "a1", t0 + 90min), Health{});
}

TEST(Breakers, a_place_where_one_of_two_runs_fails_is_opened) {
    std::vector<PlaceOutcome> outcomes;
    bool opened = false;
    for (int i = 0; i < 10 && !opened; ++i) {
        outcomes.push_back(outcome("a1", t0 + i * 5min, i % 2 == 0 ? std::optional(connection) : std::nullopt));
        opened = i > 0 && of(outcomes).connection("a1", t0 + i * 5min).state == Open;
    }
    EXPECT_TRUE(opened);
}

TEST(Breakers, a_clock_that_went_back_forgets_nothing_and_breaks_nothing) {
    const Breakers breakers = of({outcome("a1", t0, RetryClass::Zone), outcome("a2", t0 - 1h, connection)});
    EXPECT_EQ(health(breakers, "a1", t0 - 1h).state, Open);
    EXPECT_LE(breakers.zone("a", t0 - 1h).failures, 4);
}

TEST(Breakers, a_view_reads_well) {
    const Breakers breakers = of({outcome("a1", t0 - 1min), outcome("a1", t0, RetryClass::Zone)});
    EXPECT_EQ(breakers.zone("a", t0).text(),
              "open: 2.0 recent failures against 0.5 successes; tried again at " + base::format_time(t0 + 5min));
    EXPECT_EQ(health(breakers, "a1", t0).reason.substr(0, 15), "zone 'a' open: ");
}

// Runs of an ordinary job arrive every five minutes; the first-listed zone fails hard for two hours, and nobody says
// so.
struct Outage {
    int first_attempts_lost = 0;
    int in_zone_a_after = 0;
};
Outage two_hours_without_a_signal(bool low_risk_job, std::uint64_t elsewhere) {
    Outage result;
    Breakers breakers;
    for (int run = 0; run < 60; ++run) {
        const base::WallTime now = t0 + run * 5min;
        const bool down = run >= 12 && run < 36;
        DecisionInput input = input_of(Strategy::Resilient, 4, {place("a1", 9), place("b1", elsewhere)});
        input.job.low_risk = low_risk_job && run % 4 == 0;
        input.at = now;
        input.deciding_since = now - 1h;
        input.candidates[0].health = health(breakers, "a1", now);
        input.candidates[1].health = health(breakers, "b1", now, "b");
        const std::string chosen = chosen_name(decide(input));
        const bool lost = chosen == "a1" && down;
        if (lost) ++result.first_attempts_lost;
        if (chosen == "a1" && run >= 36) ++result.in_zone_a_after;
        breakers.record(
            outcome(chosen, now + 4min, lost ? std::optional(connection) : std::nullopt, chosen == "a1" ? "a" : "b"));
    }
    return result;
}

TEST(Breakers, two_hours_of_a_failing_zone_cost_a_handful_of_first_attempts) {
    for (const bool low_risk : {false, true}) {
        for (const std::uint64_t elsewhere : {9, 3}) {
            const Outage outage = two_hours_without_a_signal(low_risk, elsewhere);
            EXPECT_LE(outage.first_attempts_lost, elsewhere == 9 ? 5 : 6) << low_risk << ' ' << elsewhere;
            EXPECT_GE(outage.first_attempts_lost, 1);
            EXPECT_GE(outage.in_zone_a_after, 10) << "and it is used again, " << low_risk << ' ' << elsewhere;
        }
    }
}

}  // namespace
}  // namespace signalbox::jobs
