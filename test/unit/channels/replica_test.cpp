#include <cstdlib>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "unit/channels/bench.hpp"

namespace signalbox::channels {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Replica, is_followed_when_it_shows_life_since_the_route) {
    Bench bench;
    bench.route(1, "a");
    bench.see(reading(1));
    EXPECT_EQ(bench.machine.state(), State::Checking);
    bench.pass(1s);
    bench.see(reading(2));
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_THAT(bench.records(), ElementsAre("channel-resumed"));
}

TEST(Replica, that_lost_its_source_is_restarted_at_once_when_the_writer_moved) {
    Bench bench = following();
    bench.route(2, "b");
    EXPECT_EQ(bench.machine.state(), State::Checking);
    bench.see(connecting());
    EXPECT_EQ(bench.machine.state(), State::Restarting);
    EXPECT_EQ(bench.restarts(), 1);
    bench.restarted();
    bench.see(reading(2));
    EXPECT_EQ(bench.machine.state(), State::Following);
    ASSERT_TRUE(bench.machine.last_resume());
    EXPECT_LT(*bench.machine.last_resume(), 10ms);
    EXPECT_THAT(bench.records(), ElementsAre("channel-restart", "channel-resumed"));
}

TEST(Replica, that_was_looked_at_before_the_writer_moved_is_not_restarted_on_that_look) {
    Bench bench = following();
    bench.see(connecting(), Verdict{});
    bench.actions.clear();
    bench.now += 10ms;
    bench.route(2, "b");
    EXPECT_EQ(bench.restarts(), 0);
}

TEST(Replica, that_never_noticed_the_switch_is_restarted_after_half_a_second) {
    Bench bench = following();
    bench.route(2, "b");
    bench.see(reading(2));
    EXPECT_EQ(bench.restarts(), 0);
    bench.pass(400ms);
    EXPECT_EQ(bench.restarts(), 0);
    bench.pass(150ms);
    EXPECT_EQ(bench.restarts(), 1);
}

TEST(Replica, that_connected_again_by_itself_is_not_restarted) {
    Bench bench = following();
    bench.route(2, "b", Verdict{});
    bench.see(connecting(), Verdict{});
    bench.see(reading(2));
    EXPECT_EQ(bench.machine.state(), State::Following);
    bench.pass(3s);
    EXPECT_EQ(bench.restarts(), 0);
}

TEST(Replica, with_a_position_that_is_not_compared_yet_waits) {
    Bench bench = following();
    bench.route(2, "b", Verdict{});
    bench.see(connecting(), Verdict{});
    bench.pass(1s);
    EXPECT_EQ(bench.restarts(), 0);
    bench.judge(contained());
    EXPECT_EQ(bench.restarts(), 1);
}

TEST(Replica, that_has_what_the_writer_lacks_raises_an_alarm_and_is_left_alone) {
    Bench bench = following();
    bench.route(2, "b", Verdict{});
    bench.see(connecting(), missing());
    EXPECT_EQ(bench.machine.state(), State::Checking) << "the history was asked for before the position was seen";
    bench.now += 1ms;
    bench.judge(missing());
    EXPECT_EQ(bench.machine.state(), State::Diverged);
    EXPECT_THAT(bench.alarm("channel-diverged"), HasSubstr("0-1-105"));
    bench.pass(60s);
    bench.see(stopped(1236, true), missing());
    bench.pass(60s);
    EXPECT_EQ(bench.restarts(), 0);
    EXPECT_THAT(bench.records(), Contains("channel-diverged"));
}

TEST(Replica, that_was_rebuilt_is_followed_again) {
    Bench bench = following();
    bench.route(2, "b", missing());
    bench.see(connecting(), missing());
    bench.judge(missing());
    ASSERT_EQ(bench.machine.state(), State::Diverged);
    bench.see(connecting(), contained());
    EXPECT_EQ(bench.restarts(), 1);
    EXPECT_EQ(bench.alarm("channel-diverged"), "");
}

TEST(Replica, that_an_operator_stopped_stays_stopped_over_every_switch) {
    Bench bench = following();
    bench.see(stopped());
    EXPECT_EQ(bench.machine.state(), State::Stopped);
    EXPECT_THAT(bench.records(), ElementsAre("channel-stopped", "alarm")) << "stopped, not broken";
    EXPECT_NE(bench.alarm("channel-stopped"), "");
    for (std::uint64_t epoch = 2; epoch < 5; ++epoch) {
        bench.unroute();
        bench.pass(1s);
        bench.route(epoch, epoch % 2 == 0 ? "b" : "a");
        bench.see(stopped());
        bench.pass(60s);
    }
    EXPECT_EQ(bench.restarts(), 0);
    bench.see(reading(3));
    bench.see(reading(4));
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.alarm("channel-stopped"), "");
}

TEST(Replica, whose_stop_fell_into_an_outage_stays_stopped_too) {
    Bench bench = following();
    bench.route(2, "b");
    bench.see(stopped(2003, false));
    EXPECT_EQ(bench.machine.state(), State::Stopped);
    bench.pass(60s);
    EXPECT_EQ(bench.restarts(), 0);
}

TEST(Replica, whose_thread_gave_up_is_started) {
    Bench bench = following();
    bench.route(2, "b");
    bench.see(stopped(2003, true));
    EXPECT_EQ(bench.restarts(), 1);
}

TEST(Replica, that_we_stopped_and_did_not_start_is_started_by_the_next_process) {
    Memory memory;
    memory.restarting = true;
    Bench bench(a_replica(), memory);
    bench.route(1, "a");
    bench.see(stopped(0, true));
    ASSERT_EQ(bench.restarts(), 1);
    for (const Action& action : bench.actions) {
        const auto* restart = std::get_if<action::Restart>(&action);
        EXPECT_TRUE(restart == nullptr || restart->resume);
    }
    bench.restarted();
    EXPECT_FALSE(bench.machine.memory().restarting);
}

TEST(Replica, is_marked_durably_before_it_is_stopped) {
    Bench bench = following();
    bench.route(2, "b");
    bench.see(connecting());
    bool marked = false;
    for (const Action& action : bench.actions) {
        if (const auto* store = std::get_if<action::Store>(&action))
            marked = store->durable && store->memory.restarting;
        EXPECT_TRUE(marked || !std::holds_alternative<action::Restart>(action));
    }
}

TEST(Replica, whose_restart_found_an_operators_stop_is_left_alone) {
    Bench bench = following();
    bench.route(2, "b");
    bench.see(connecting());
    bench.restarted(RestartOutcome::Refused);
    bench.see(stopped());
    EXPECT_EQ(bench.machine.state(), State::Stopped);
    bench.pass(60s);
    EXPECT_EQ(bench.restarts(), 1);
}

TEST(Replica, whose_restart_got_no_answer_is_started_again_and_told_of) {
    Bench bench = following();
    bench.route(2, "b");
    bench.see(connecting());
    bench.restarted(RestartOutcome::Unknown, "no answer in time");
    EXPECT_THAT(bench.alarm("channel-failed"), HasSubstr("no answer in time"));
    bench.see(stopped(0, true));
    EXPECT_NE(bench.machine.state(), State::Stopped) << "it was us who stopped it";
    bench.pass(600ms);
    EXPECT_EQ(bench.restarts(), 2);
}

TEST(Replica, that_does_not_come_back_is_restarted_less_and_less_often) {
    Bench bench = following();
    bench.route(2, "b");
    for (int i = 0; i < 600; ++i) {
        bench.see(connecting());
        if (bench.machine.state() == State::Restarting) bench.restarted();
        bench.pass(100ms);
    }
    EXPECT_GE(bench.restarts(), 5);
    EXPECT_LE(bench.restarts(), 9) << "0.5 s, doubled up to 30 s, for one minute";
    EXPECT_THAT(bench.alarm("channel-failed"), HasSubstr("2003"));
}

TEST(Replica, whose_thread_ended_with_an_error_of_its_own_is_tried_once_per_epoch) {
    Bench bench = following();
    bench.route(2, "b");
    for (int i = 0; i < 100; ++i) {
        bench.see(stopped(1236, true));
        if (bench.machine.state() == State::Restarting) bench.restarted();
        bench.pass(1s);
    }
    EXPECT_EQ(bench.restarts(), 1);
    EXPECT_THAT(bench.alarm("channel-failed"), HasSubstr("1236"));
    bench.route(3, "a");
    bench.see(stopped(1236, true));
    EXPECT_EQ(bench.restarts(), 2);
}

TEST(Replica, without_a_sign_of_life_is_half_dead_and_restarted) {
    Bench bench = following();
    for (int i = 0; i < 4; ++i) {
        bench.pass(1s);
        bench.see(reading(2));
    }
    EXPECT_EQ(bench.machine.state(), State::Following);
    bench.pass(2s);
    bench.see(reading(2));
    EXPECT_EQ(bench.machine.state(), State::Restarting);
    EXPECT_NE(bench.alarm("channel-half-dead"), "");
    EXPECT_THAT(bench.records(), Contains("channel-half-dead"));
    bench.restarted();
    bench.see(reading(2));
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.alarm("channel-half-dead"), "");
}

TEST(Replica, with_long_heartbeats_is_given_two_of_them) {
    Bench bench = following();
    auto slow = reading(3);
    slow.heartbeat_period = 30s;
    bench.see(slow);
    bench.pass(59s);
    bench.see(slow);
    EXPECT_EQ(bench.machine.state(), State::Following);
    bench.pass(2s);
    bench.see(slow);
    EXPECT_EQ(bench.machine.state(), State::Restarting);
}

TEST(Replica, without_heartbeats_is_half_dead_only_while_the_writer_has_more) {
    Bench bench = following();
    auto mute = reading(3);
    mute.heartbeat_period = 0s;
    bench.see(mute);
    bench.pass(600s);
    bench.see(mute);
    EXPECT_EQ(bench.machine.state(), State::Following);
    Verdict more = contained();
    more.writer_has_more = true;
    bench.see(mute, more);
    bench.pass(4s);
    bench.see(mute, more);
    EXPECT_EQ(bench.machine.state(), State::Following);
    bench.pass(2s);
    bench.see(mute, more);
    EXPECT_EQ(bench.machine.state(), State::Restarting);
}

TEST(Replica, that_we_could_not_see_is_not_taken_for_half_dead) {
    Bench bench = following();
    bench.see(Failure{FailureKind::Unreachable, "no answer in time"});
    bench.pass(60s);
    EXPECT_THAT(bench.alarm("channel-unseen"), HasSubstr("no answer in time"));
    bench.see(reading(3));
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.restarts(), 0);
    EXPECT_EQ(bench.alarm("channel-unseen"), "");
}

TEST(Replica, that_reads_elsewhere_is_told_of_and_left_alone) {
    Bench bench = following();
    auto elsewhere = connecting();
    elsewhere.source = {"10.0.1.5", 3306};
    bench.see(elsewhere);
    EXPECT_EQ(bench.machine.state(), State::Unfit);
    EXPECT_THAT(bench.alarm("channel-unfit"), HasSubstr("10.0.1.5:3306, not through endpoint 'w'"));
    bench.route(2, "b");
    bench.see(elsewhere);
    bench.pass(60s);
    EXPECT_EQ(bench.restarts(), 0);
    bench.see(reading(3));
    EXPECT_EQ(bench.machine.state(), State::Following);
}

TEST(Replica, that_names_its_source_is_not_taken_for_one_that_reads_elsewhere) {
    Bench bench = following();
    auto named = reading(3);
    named.source = {"orders.example", 3306};
    bench.see(named);
    EXPECT_EQ(bench.machine.state(), State::Following);
}

TEST(Replica, without_gtids_is_never_restarted_onto_another_writer) {
    Bench bench = following();
    auto blind = connecting();
    blind.uses_gtid = false;
    bench.route(2, "b");
    bench.see(blind);
    bench.pass(60s);
    EXPECT_EQ(bench.restarts(), 0);
    EXPECT_THAT(bench.alarm("channel-unfit"), HasSubstr("GTID"));
}

TEST(Replica, whose_applying_failed_is_told_of) {
    Bench bench = following();
    auto broken = reading(3);
    broken.sql_running = false;
    broken.sql_error = 1062;
    broken.sql_error_text = "Duplicate entry";
    bench.see(broken);
    EXPECT_THAT(bench.alarm("channel-applying"), HasSubstr("1062: Duplicate entry"));
}

TEST(Replica, whose_connection_broke_without_a_switch_is_restarted) {
    Bench bench = following();
    bench.see(connecting());
    EXPECT_EQ(bench.restarts(), 1);
    EXPECT_THAT(bench.records(), ElementsAre("channel-broken", "channel-restart"));
}

TEST(Replica, is_left_alone_while_there_is_no_writer) {
    Bench bench = following();
    bench.unroute();
    for (int i = 0; i < 50; ++i) {
        bench.see(connecting());
        bench.pass(1s);
    }
    EXPECT_EQ(bench.machine.state(), State::Waiting);
    EXPECT_EQ(bench.restarts(), 0);
    EXPECT_THAT(bench.records(), Not(Contains("alarm")));
}

TEST(Replica, waits_for_a_writer_from_wherever_it_is) {
    Bench bench = following();
    bench.unroute();
    EXPECT_EQ(bench.machine.state(), State::Waiting);
    bench.route(2, "b", Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Checking);
    bench.unroute();
    EXPECT_EQ(bench.machine.state(), State::Waiting);
    bench.route(3, "a", Verdict{});
    bench.see(connecting(), missing());
    bench.now += 1ms;
    bench.judge(missing());
    ASSERT_EQ(bench.machine.state(), State::Diverged);
    bench.unroute();
    EXPECT_EQ(bench.machine.state(), State::Waiting);
    EXPECT_NE(bench.alarm("channel-diverged"), "") << "nobody has said that it is over";
}

TEST(Replica, that_was_led_elsewhere_while_it_read_is_unfit_at_once) {
    Bench bench = following();
    auto elsewhere = reading(3);
    elsewhere.source = {"10.0.1.5", 3306};
    bench.see(elsewhere);
    EXPECT_EQ(bench.machine.state(), State::Unfit);
}

TEST(Replica, that_goes_apart_while_it_reads_is_told_of) {
    Bench bench = following();
    bench.see(reading(3), missing());
    bench.now += 1ms;
    bench.judge(missing());
    EXPECT_EQ(bench.machine.state(), State::Diverged);
    EXPECT_EQ(bench.restarts(), 0);
}

TEST(Replica, on_a_quiet_cluster_is_not_restarted_because_the_daemon_was) {
    Bench bench;
    bench.route(1, "a");
    auto quiet = reading(1);
    quiet.heartbeat_period = 2s;
    for (int i = 0; i < 40; ++i) {
        bench.see(quiet);
        bench.pass(100ms);
    }
    EXPECT_EQ(bench.restarts(), 0);
    EXPECT_TRUE(bench.machine.alarms().empty());
}

TEST(Replica, is_not_believed_by_facts_of_an_older_epoch) {
    Bench bench = following();
    bench.route(3, "b");
    bench.route(2, "a");
    EXPECT_EQ(bench.machine.facts().epoch, 3);
}

TEST(Transitions, the_page_in_docs_is_what_the_tables_give) {
    const char* path = "docs/channel-states.md";
    if (std::getenv("SIGNALBOX_WRITE_DOCS") != nullptr) std::ofstream(path) << states_page();
    const auto page = base::read_file(path, 1 << 20);
    ASSERT_TRUE(page) << page.error().text();
    EXPECT_EQ(*page, states_page()) << "write it anew: SIGNALBOX_WRITE_DOCS=1 unit_channels";
}

TEST(Transitions, every_state_can_be_reached_and_left) {
    for (int i = 0; i < state_count; ++i) {
        const State state = static_cast<State>(i);
        bool reached = state == State::Waiting;
        bool left = false;
        for (const Kind kind : {Kind::Replica, Kind::Slot}) {
            for (const Transition& row : transitions(kind)) {
                reached = reached || (row.to == state && row.from != state);
                left = left || (row.from == state && row.to != state);
            }
        }
        EXPECT_TRUE(reached && left) << to_string(state);
    }
}

}  // namespace
}  // namespace signalbox::channels
