#include "domain/clusters/machine.hpp"

#include <cstdlib>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/clusters/bench.hpp"

namespace signalbox::clusters {
namespace {

using ::testing::HasSubstr;

// The kinds of what the machine did, in order, without cadences and journal entries.
std::vector<std::string> deeds(const Bench& bench) {
    std::vector<std::string> out;
    for (const Action& action : bench.actions) {
        if (const auto* store = std::get_if<action::Store>(&action)) {
            out.push_back(fmt::format("{} {} {}", store->facts.active ? "active" : "intent", store->facts.epoch,
                                      store->facts.member));
        } else if (const auto* fence = std::get_if<action::Fence>(&action)) {
            out.push_back(fmt::format("fence {}", fence->epoch));
        } else if (const auto* kill = std::get_if<action::KillSessions>(&action)) {
            out.push_back(fmt::format("kill {} {}", kill->member, kill->sessions.size()));
        } else if (const auto* route = std::get_if<action::Route>(&action)) {
            out.push_back(fmt::format("route {} {}", route->epoch, route->member));
        } else if (std::holds_alternative<action::Hold>(action)) {
            out.push_back("hold");
        }
    }
    return out;
}

Bench following() {
    Bench bench;
    bench.load();
    bench.calm(0);
    bench.actions.clear();
    return bench;
}

TEST(Machine, a_first_start_proves_the_writer_and_gives_it_epoch_one) {
    Bench bench;
    EXPECT_TRUE(bench.machine.held());
    bench.load();
    bench.calm(0);
    EXPECT_EQ(deeds(bench), (std::vector<std::string>{"hold", "intent 1 a", "fence 1", "active 1 a", "route 1 a"}));
    EXPECT_FALSE(bench.machine.held());
    EXPECT_EQ(bench.machine.writer(), "a");
}

TEST(Machine, a_dead_writer_is_followed_by_a_promoted_one_in_the_right_order_without_waiting) {
    Bench bench = following();
    bench.fail(0, ProbeFailureKind::Reset);
    EXPECT_TRUE(bench.machine.held());
    EXPECT_EQ(deeds(bench), std::vector<std::string>{"hold"});
    bench.barrier.server_sessions = {{"a", {{7, {}}, {8, {}}}}};
    bench.tell(2, reader(2, 0, "0-1-100", false));
    bench.tell(1, writer(1));
    EXPECT_EQ(deeds(bench), (std::vector<std::string>{"hold", "intent 2 b", "fence 2", "active 2 b", "route 2 b"}));
    EXPECT_EQ(bench.all<action::Store>().back().record.data.at("fence").as_string(), "traffic-fenced only");
}

TEST(Machine, what_still_runs_on_a_former_writer_that_answers_is_killed_before_the_commit) {
    Bench bench = following();
    bench.barrier.server_sessions = {{"a", {{7, {}}, {8, {}}}}};
    bench.now += 10ms;
    bench.tell(0, reader(0, 1, "0-1-100"));
    bench.tell(1, writer(1));
    EXPECT_EQ(bench.machine.state(), State::Killing);
    EXPECT_EQ(deeds(bench).back(), "kill a 2");
    bench.step(input::SessionsKilled{2, "a", 2, 0, {}});
    EXPECT_EQ(deeds(bench).back(), "route 2 b");
    EXPECT_EQ(bench.all<action::Store>().back().record.data.at("fence").as_string(), "complete");
}

TEST(Machine, a_killer_that_does_not_answer_is_waited_for_until_its_deadline) {
    Bench bench = following();
    bench.barrier.server_sessions = {{"a", {{7, {}}}}};
    bench.now += 10ms;
    bench.tell(0, reader(0, 1));
    bench.tell(1, writer(1));
    ASSERT_EQ(bench.machine.state(), State::Killing);
    for (int i = 0; i < 60 && bench.machine.state() == State::Killing; ++i) {
        bench.now += 10ms;
        bench.tell(0, reader(0, 1));
        bench.tell(1, writer(1));
    }
    EXPECT_EQ(bench.routed(), "b");
    EXPECT_EQ(bench.all<action::Store>().back().record.data.at("fence").as_string(), "traffic-fenced only");
}

TEST(Machine, a_barrier_that_never_comes_is_waited_for_and_an_alarm_says_so) {
    Bench bench = following();
    bench.barrier_answers = false;
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(2, reader(2, 0, "0-1-100", false));
    bench.tell(1, writer(1));
    ASSERT_EQ(bench.machine.state(), State::Barrier);
    for (int i = 0; i < 200; ++i) {
        bench.now += 10ms;
        bench.tell(1, writer(1));
    }
    EXPECT_EQ(bench.machine.state(), State::Barrier);
    EXPECT_TRUE(bench.machine.alarms().contains("fence-late"));
}

TEST(Machine, a_candidate_that_dies_during_the_switch_burns_its_number) {
    Bench bench = following();
    bench.barrier_answers = false;
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(2, reader(2, 0, "0-1-100", false));
    bench.tell(1, writer(1));
    bench.fail(1, ProbeFailureKind::Refused);
    EXPECT_EQ(bench.machine.state(), State::Fenced);
    bench.barrier_answers = true;
    bench.tell(2, writer(2));
    EXPECT_EQ(deeds(bench).back(), "route 3 c");
}

TEST(Machine, a_full_disk_means_no_switch_an_alarm_and_another_try) {
    Bench bench = following();
    bench.store_works = false;
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(2, reader(2, 0, "0-1-100", false));
    bench.tell(1, writer(1));
    EXPECT_EQ(bench.machine.state(), State::Starting);
    EXPECT_TRUE(bench.machine.held());
    EXPECT_EQ(bench.all<action::Fence>().size(), 0U);
    ASSERT_TRUE(bench.machine.alarms().contains("store"));
    EXPECT_THAT(bench.machine.alarms().at("store"), HasSubstr("no space left"));
    bench.store_works = true;
    bench.now = bench.machine.next_deadline();
    bench.step(input::Tick{});
    ASSERT_FALSE(bench.all<action::LoadRecord>().empty());
    bench.load(EpochFacts{1, "a", true, "0-1-100", ""});
    bench.tell(1, writer(1));
    EXPECT_EQ(deeds(bench).back(), "route 3 b");
    EXPECT_TRUE(bench.machine.alarms().empty()) << bench.machine.alarms().begin()->first;
}

TEST(Machine, after_a_restart_the_same_member_is_routed_in_its_epoch_once_it_is_proven) {
    Bench bench;
    bench.load(EpochFacts{7, "a", true, "0-1-100", ""});
    EXPECT_EQ(bench.routed(), "");
    bench.calm(0);
    EXPECT_EQ(deeds(bench), (std::vector<std::string>{"hold", "hold", "route 7 a"}));
}

TEST(Machine, after_a_restart_an_intent_is_not_taken_for_an_epoch) {
    Bench bench;
    bench.load(EpochFacts{7, "a", false, "0-1-100", ""});
    bench.calm(0);
    EXPECT_EQ(deeds(bench).back(), "route 8 a");
    EXPECT_EQ(bench.all<action::Store>().back().record.data.at("fence").as_string(), "traffic-fenced only");
}

TEST(Machine, a_claim_without_the_confirmed_position_is_held_and_the_alarm_names_what_is_missing) {
    Bench bench = following();
    bench.calm(0, "0-1-150");
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::Refused);
    bench.fail(2, ProbeFailureKind::Refused);
    for (int i = 0; i < 40; ++i) {
        bench.now += 10ms;
        bench.tell(1, writer(1, "0-1-149,0-2-500"));
    }
    EXPECT_TRUE(bench.machine.held());
    EXPECT_THAT(bench.machine.alarms().at("history"), HasSubstr("'b' lacks 0-1-150"));
}

TEST(Machine, the_tail_that_only_the_dead_writer_had_is_not_asked_for) {
    Bench bench = following();
    bench.tell(0, writer(0, "0-1-900"));
    bench.tell(2, reader(2, 0, "0-1-120"));
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(2, reader(2, 0, "0-1-120", false));
    bench.tell(1, writer(1, "0-1-120,0-2-121"));
    EXPECT_EQ(bench.routed(), "b");
}

TEST(Machine, what_a_writer_that_acknowledges_alone_has_is_asked_for) {
    Bench bench = following();
    bench.fail(1, ProbeFailureKind::Refused);
    bench.fail(2, ProbeFailureKind::Refused);
    Evidence alone = writer(0, "0-1-200");
    alone.waits_for_replica = false;
    bench.tell(0, alone);
    EXPECT_EQ(bench.machine.continuity().position.text(), "0-1-200");
}

TEST(Machine, a_partial_answer_is_unknown_and_the_alarm_names_member_user_and_code) {
    Bench bench = following();
    bench.tell(0, ProbeFailure{ProbeFailureKind::Incomplete, 1064, "no read_only"});
    EXPECT_EQ(bench.machine.state(), State::Unclear);
    EXPECT_FALSE(bench.machine.held());
    const std::string text = bench.machine.alarms().at("probe:a");
    EXPECT_THAT(text, HasSubstr("'a'"));
    EXPECT_THAT(text, HasSubstr("user 'probe'"));
    EXPECT_THAT(text, HasSubstr("1064"));
    // It is unknown for as long as its last answer counts, and then its claim is gone.
    bench.now = bench.machine.next_deadline();
    bench.tell(0, ProbeFailure{ProbeFailureKind::Incomplete, 1064, "no read_only"});
    EXPECT_EQ(bench.machine.state(), State::Holding);
}

TEST(Machine, a_malformed_gtid_list_is_an_incomplete_answer) {
    Bench bench = following();
    bench.tell(0, writer(0, "0-1"));
    EXPECT_EQ(bench.machine.state(), State::Unclear);
    EXPECT_EQ(bench.machine.members()[0].failure->kind, ProbeFailureKind::Incomplete);
}

TEST(Machine, time_outs_below_the_limit_are_no_absence) {
    ClusterConfig config = three_members();
    config.probe.misses = 3;
    Bench bench({}, config);
    bench.load();
    bench.calm(0);
    bench.fail(0, ProbeFailureKind::TimedOut);
    bench.fail(0, ProbeFailureKind::TimedOut);
    EXPECT_FALSE(bench.machine.held());
    bench.fail(0, ProbeFailureKind::TimedOut);
    EXPECT_TRUE(bench.machine.held());
}

TEST(Machine, a_silent_writer_that_comes_back_goes_on_in_its_epoch) {
    Bench bench = following();
    bench.fail(0, ProbeFailureKind::TimedOut);
    EXPECT_TRUE(bench.machine.held());
    bench.now += 10ms;
    bench.tell(0, writer(0));
    EXPECT_EQ(deeds(bench), (std::vector<std::string>{"hold", "route 1 a"}));
}

TEST(Machine, the_newer_of_two_claims_wins_while_the_older_still_claims) {
    Bench bench = following();
    bench.now += 10ms;
    bench.tell(1, writer(1, "0-1-100,0-2-101"));
    EXPECT_EQ(deeds(bench).back(), "route 2 b");
}

TEST(Machine, two_claims_of_which_none_is_newer_are_held_with_an_alarm) {
    Bench bench = following();
    for (int i = 0; i < 40; ++i) {
        bench.now += 10ms;
        bench.tell(0, writer(0, "0-1-103"));
        bench.tell(1, writer(1, "0-1-100,0-2-101"));
    }
    EXPECT_TRUE(bench.machine.held());
    EXPECT_EQ(bench.all<action::Store>().size(), 0U);
    EXPECT_THAT(bench.machine.alarms().at("contested"), HasSubstr("0-1-103"));
}

TEST(Machine, a_former_writer_that_lacks_the_confirmed_position_does_not_shake_the_writer) {
    Bench bench = following();
    bench.fail(0, ProbeFailureKind::TimedOut);
    bench.tell(2, reader(2, 0, "0-1-100", false));
    bench.tell(1, writer(1, "0-1-100,0-2-105"));
    bench.now += 10ms;
    bench.tell(2, reader(2, 1, "0-2-105"));
    bench.tell(0, writer(0, "0-1-104"));
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.machine.writer(), "b");
}

TEST(Machine, stray_writes_on_a_former_writer_raise_an_alarm_and_an_unacknowledged_tail_does_not) {
    Bench bench = following();
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(2, reader(2, 0, "0-1-100", false));
    bench.tell(1, writer(1, "0-1-100,0-2-105"));
    const auto back = [&](const std::string& state) {
        bench.now += 10ms;
        bench.tell(1, writer(1, "0-1-100,0-2-105"));
        Evidence evidence = reader(0, 1, state);
        evidence.applied = "";
        evidence.sources[0].received = "";
        bench.tell(0, evidence);
    };
    back("0-1-103");
    EXPECT_FALSE(bench.machine.alarms().contains("stray-writes:a"));
    back("0-1-104");
    EXPECT_THAT(bench.machine.alarms().at("stray-writes:a"), HasSubstr("0-1-104"));
    back("0-1-100,0-2-105");
    EXPECT_FALSE(bench.machine.alarms().contains("stray-writes:a"));
}

TEST(Machine, a_hint_wakes_the_probes_and_nothing_more) {
    Bench bench = following();
    bench.step(input::TrafficHint{"a", 1290});
    EXPECT_EQ(bench.all<action::Wake>().size(), 1U);
    EXPECT_EQ(bench.machine.state(), State::Following);
}

TEST(Machine, our_own_pause_does_not_take_the_writer_away) {
    Bench bench = following();
    bench.now += 3s;
    bench.step(input::Tick{});
    EXPECT_FALSE(bench.machine.held());
    bench.tell(0, writer(0));
    EXPECT_EQ(bench.machine.state(), State::Following);
}

TEST(Machine, a_writer_that_answers_each_probe_just_in_time_is_not_doubted) {
    Bench bench = following();
    for (const auto took : {1ms, 249ms, 249ms, 1ms, 249ms, 120ms, 249ms}) {
        bench.pass(50ms);
        const MonoTime sent = bench.now;
        bench.pass(took);
        bench.tell_at(0, writer(0), sent);
        EXPECT_EQ(bench.machine.state(), State::Following);
    }
    EXPECT_FALSE(bench.recorded("writer-unclear"));
}

TEST(Machine, a_silent_writer_is_noticed_when_the_first_probe_that_it_did_not_answer_ends) {
    Bench bench = following();
    bench.pass(50ms);
    MonoTime sent = bench.now;
    bench.pass(249ms);
    bench.tell_at(0, writer(0), sent);
    bench.pass(50ms);
    sent = bench.now;
    bench.pass(250ms);
    EXPECT_EQ(bench.machine.state(), State::Following);
    bench.tell_at(0, ProbeFailure{ProbeFailureKind::TimedOut, 0, ""}, sent);
    EXPECT_EQ(bench.machine.state(), State::Holding);
}

TEST(Machine, with_several_misses_allowed_none_below_the_limit_begins_a_doubt) {
    ClusterConfig config = three_members();
    config.probe.misses = 3;
    Bench bench({}, config);
    bench.load();
    bench.calm(0);
    for (int miss = 1; miss <= 3; ++miss) {
        bench.pass(50ms);
        const MonoTime sent = bench.now;
        bench.pass(250ms);
        EXPECT_EQ(bench.machine.state(), State::Following) << miss;
        bench.tell_at(0, ProbeFailure{ProbeFailureKind::TimedOut, 0, ""}, sent);
    }
    EXPECT_EQ(bench.machine.state(), State::Holding);
}

TEST(Machine, a_miss_after_a_refusal_does_not_bring_back_what_was_said_before) {
    ClusterConfig config = three_members();
    config.probe.misses = 2;
    Bench bench({}, config);
    bench.load();
    bench.calm(0);
    bench.fail(0, ProbeFailureKind::Refused);
    bench.fail(0, ProbeFailureKind::TimedOut);
    EXPECT_EQ(bench.machine.state(), State::Holding);
    bench.tell(0, writer(0));
    EXPECT_EQ(bench.machine.state(), State::Following);
}

TEST(Machine, a_probe_that_we_send_or_end_late_ourselves_begins_no_doubt) {
    Bench bench = following();
    bench.pass(50ms + 250ms + 900ms);  // nothing is told
    EXPECT_EQ(bench.machine.state(), State::Following);
    bench.fail(0, ProbeFailureKind::OurOwnDelay);
    EXPECT_EQ(bench.machine.state(), State::Following);
    bench.tell(0, writer(0));
    EXPECT_FALSE(bench.recorded("writer-unclear"));
}

TEST(Machine, when_nothing_is_told_for_long_the_writer_is_doubted_whoever_is_late) {
    Bench bench = following();
    bench.pass(50ms + 250ms + 1010ms);
    EXPECT_TRUE(bench.recorded("writer-unclear"));
    EXPECT_NE(bench.machine.state(), State::Following);
}

TEST(Machine, who_is_doubted_needs_a_new_answer_within_the_time_of_one) {
    Bench bench = following();
    bench.fail(0, ProbeFailureKind::ServerError);
    EXPECT_EQ(bench.machine.state(), State::Unclear);
    bench.pass(301ms);
    EXPECT_EQ(bench.machine.state(), State::Holding);
}

TEST(Machine, an_answer_that_we_read_long_after_its_deadline_proves_nobody) {
    Bench bench = following();
    bench.fail(0, ProbeFailureKind::Refused);
    bench.fail(2, ProbeFailureKind::Refused);
    bench.tell_at(1, writer(1, "0-1-100,0-2-101"), bench.now - 600ms);
    EXPECT_EQ(bench.routed(), "");
    bench.tell_at(1, writer(1, "0-1-100,0-2-101"), bench.now - 240ms);
    EXPECT_EQ(bench.routed(), "b");
}

TEST(Machine, a_writer_that_leaves_the_configuration_is_followed_by_none_until_one_is_proven) {
    Bench bench = following();
    ClusterConfig fewer = three_members();
    fewer.members.erase(fewer.members.begin());
    bench.machine.reconfigure(fewer, bench.now);
    EXPECT_EQ(bench.machine.state(), State::NoWriter);
    EXPECT_TRUE(bench.machine.held());
    bench.now += 10ms;
    bench.fail(2, ProbeFailureKind::Refused);
    bench.tell(1, writer(1));
    EXPECT_EQ(bench.routed(), "b");
}

TEST(Machine, a_member_that_is_added_does_not_shake_the_writer) {
    Bench bench = following();
    ClusterConfig more = three_members();
    more.members.push_back({"d", {"10.0.0.4", 3306}});
    bench.machine.reconfigure(more, bench.now);
    bench.now += 10ms;
    bench.tell(0, writer(0));
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_FALSE(bench.machine.held());
}

TEST(Transitions, the_page_in_docs_is_what_the_table_gives) {
    const char* path = "docs/failover-states.md";
    if (std::getenv("SIGNALBOX_WRITE_DOCS") != nullptr) std::ofstream(path) << states_page();
    const auto page = base::read_file(path, 1 << 20);
    ASSERT_TRUE(page) << page.error().text();
    EXPECT_EQ(*page, states_page()) << "write it anew: SIGNALBOX_WRITE_DOCS=1 unit_clusters";
}

TEST(Transitions, every_state_can_be_reached_and_left) {
    for (int i = 0; i < state_count; ++i) {
        const State state = static_cast<State>(i);
        bool reached = state == State::Starting;
        bool left = false;
        for (const Transition& row : transitions()) {
            reached = reached || (row.to == state && row.from != state);
            left = left || (row.from == state && row.to != state);
        }
        EXPECT_TRUE(reached && left) << to_string(state);
    }
}

}  // namespace
}  // namespace signalbox::clusters
