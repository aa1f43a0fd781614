// A planned switchover: its order, its refusals, and every way in which it ends early.

#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/clusters/bench.hpp"

namespace signalbox::clusters {
namespace {

using ::testing::HasSubstr;

ClusterConfig with_hook() {
    ClusterConfig config = three_members();
    config.switchover.hook = {"/usr/local/bin/promote"};
    return config;
}

// Follows a in epoch 1, b and c receive from it.
class Planned {
  public:
    explicit Planned(Rules rules = {}) : bench(rules, with_hook()) {
        bench.load();
        bench.calm(0);
        bench.actions.clear();
    }
    void ask(const std::string& to = "b") { bench.step(input::SwitchoverAsked{to}); }
    void sessions(std::uint64_t count) { bench.step(input::WriterSessions{count}); }
    // Everybody answers to a question that was sent after the last step.
    void probe(const std::string& writer_has = "0-1-100", const std::string& target_has = "0-1-100") {
        bench.now += 10ms;
        bench.tell(0, writer(0, writer_has));
        bench.tell(2, reader(2, 0, writer_has));
        bench.tell(1, reader(1, 0, target_has));
    }
    // Up to the hook.
    void prepare() {
        ask();
        sessions(0);
        probe();
        probe();
    }
    void promoted() {
        bench.now += 10ms;
        bench.tell(0, reader(0, 1, "0-1-100,0-2-101", true));
        bench.tell(2, reader(2, 1, "0-1-100,0-2-101", true));
        bench.tell(1, writer(1, "0-1-100,0-2-101"));
    }
    std::vector<std::string> steps() const {
        std::vector<std::string> out;
        for (const Record& one : bench.all<Record>()) {
            if (one.kind == "switchover") out.emplace_back(one.data.at("step").as_string());
        }
        return out;
    }
    State state() const { return bench.machine.state(); }
    Bench bench;
};

TEST(Switchover, holds_drains_catches_up_fences_promotes_and_routes_in_this_order) {
    Planned planned;
    planned.ask();
    EXPECT_EQ(planned.state(), State::Draining);
    EXPECT_TRUE(planned.bench.machine.held());
    EXPECT_TRUE(planned.bench.all<action::Fence>().empty());
    planned.sessions(3);
    EXPECT_EQ(planned.state(), State::Draining);
    planned.sessions(0);
    EXPECT_EQ(planned.state(), State::CatchingUp);
    planned.probe("0-1-105", "0-1-104");
    EXPECT_EQ(planned.state(), State::CatchingUp);
    planned.probe("0-1-105", "0-1-105");
    EXPECT_EQ(planned.state(), State::Checking);
    ASSERT_EQ(planned.bench.all<action::Fence>().size(), 1U);
    EXPECT_TRUE(planned.bench.all<action::Promote>().empty());
    planned.probe("0-1-105", "0-1-105");
    ASSERT_EQ(planned.bench.all<action::Promote>().size(), 1U);
    EXPECT_EQ(planned.bench.all<action::Promote>()[0].to, "b");
    EXPECT_EQ(planned.bench.routed(), "");
    planned.bench.step(input::PromoteDone{2, true, "ended with 0"});
    EXPECT_EQ(planned.state(), State::Promoting);
    EXPECT_EQ(planned.bench.routed(), "");
    planned.promoted();
    EXPECT_EQ(planned.bench.routed(), "");  // it lacks 0-1-105, which was confirmed
    planned.bench.tell(1, writer(1, "0-1-105,0-2-106"));
    EXPECT_EQ(planned.bench.routed(), "b");
    EXPECT_EQ(planned.bench.machine.epoch(), 2U);
    EXPECT_FALSE(planned.bench.machine.switchover());
    EXPECT_EQ(planned.steps(),
              (std::vector<std::string>{"asked", "drained", "caught-up", "promoting", "promoted", "done"}));
}

TEST(Switchover, sessions_that_do_not_end_are_closed_by_the_fence_after_drain) {
    Planned planned;
    planned.ask();
    planned.sessions(3);
    for (int i = 0; i < 600 && planned.state() == State::Draining; ++i) {
        planned.probe();
        planned.sessions(3);
    }
    EXPECT_NE(planned.state(), State::Draining);
    planned.probe();
    planned.probe();
    EXPECT_EQ(planned.bench.all<action::Promote>().size(), 1U);
}

TEST(Switchover, a_target_that_does_not_catch_up_leaves_everything_as_it_was) {
    Planned planned;
    planned.ask();
    planned.sessions(0);
    for (int i = 0; i < 1100 && planned.state() == State::CatchingUp; ++i) planned.probe("0-1-105", "0-1-104");
    EXPECT_EQ(planned.state(), State::Following);
    EXPECT_FALSE(planned.bench.machine.held());
    EXPECT_EQ(planned.bench.routed(), "a");
    EXPECT_EQ(planned.bench.machine.epoch(), 1U);
    EXPECT_TRUE(planned.bench.all<action::Fence>().empty());
    EXPECT_EQ(planned.steps().back(), "given-up");
}

TEST(Switchover, one_that_is_given_up_routes_again_only_to_a_writer_that_is_proven_now) {
    Planned planned;
    planned.ask();
    planned.sessions(3);
    // We were held up ourselves: what the writer said is too old.
    planned.bench.now += 2s;
    planned.bench.tell(1, reader(1, 0, "0-1-100", false));
    EXPECT_FALSE(planned.bench.machine.switchover());
    EXPECT_TRUE(planned.bench.machine.held());
    EXPECT_EQ(planned.bench.routed(), "");
    planned.bench.tell(0, writer(0));
    EXPECT_EQ(planned.bench.routed(), "a");
    EXPECT_EQ(planned.bench.machine.epoch(), 1U);
}

TEST(Switchover, after_the_fence_the_former_writer_goes_on_in_an_epoch_of_its_own) {
    Planned planned;
    planned.ask();
    planned.sessions(0);
    planned.probe();
    ASSERT_EQ(planned.state(), State::Checking);
    planned.bench.fail(1, ProbeFailureKind::Refused);
    EXPECT_EQ(planned.bench.routed(), "a");
    EXPECT_EQ(planned.bench.machine.epoch(), 3U);
    EXPECT_TRUE(planned.bench.all<action::Promote>().empty());
}

TEST(Switchover, a_failover_inside_it_wins) {
    for (const bool checking : {false, true}) {
        Planned planned;
        planned.ask();
        planned.sessions(0);
        if (checking) planned.probe();
        ASSERT_EQ(planned.state(), checking ? State::Checking : State::CatchingUp);
        planned.bench.now += 10ms;
        planned.bench.fail(0, ProbeFailureKind::Refused);
        planned.bench.tell(1, reader(1, 0, "0-1-100", false));
        planned.bench.tell(2, writer(2, "0-1-100,0-3-101"));
        EXPECT_EQ(planned.bench.routed(), "c");
        EXPECT_FALSE(planned.bench.machine.switchover());
    }
}

TEST(Switchover, a_third_member_that_is_proven_while_the_hook_runs_is_followed) {
    Planned planned;
    planned.prepare();
    ASSERT_EQ(planned.state(), State::Promoting);
    planned.bench.now += 10ms;
    planned.bench.fail(0, ProbeFailureKind::Refused);
    planned.bench.tell(1, reader(1, 2, "0-1-100"));
    planned.bench.tell(2, writer(2, "0-1-100,0-3-101"));
    // The hook may have done something: it is asked once more.
    EXPECT_EQ(planned.state(), State::Fenced);
    planned.bench.now += 10ms;
    planned.bench.tell(2, writer(2, "0-1-100,0-3-101"));
    EXPECT_EQ(planned.bench.routed(), "c");
}

TEST(Switchover, the_former_writer_is_not_taken_back_while_the_hook_runs) {
    Planned planned;
    planned.prepare();
    for (int i = 0; i < 50; ++i) planned.probe();
    EXPECT_EQ(planned.state(), State::Promoting);
    EXPECT_EQ(planned.bench.routed(), "");
}

TEST(Switchover, a_hook_that_never_says_how_it_ended_is_waited_for_until_promote) {
    Planned planned;
    planned.prepare();
    for (int i = 0; i < 3100 && planned.state() == State::Promoting; ++i) planned.probe();
    planned.probe();
    EXPECT_EQ(planned.bench.routed(), "a");
    EXPECT_EQ(planned.bench.machine.epoch(), 3U);
}

TEST(Switchover, everything_that_can_refuse_it_says_why) {
    const auto refusal = [](const std::function<void(Planned&)>& arrange, const std::string& to = "b") {
        Planned planned;
        arrange(planned);
        const base::Status status = planned.bench.machine.may_switch_over(to);
        planned.ask(to);
        EXPECT_FALSE(status);
        return status ? std::string() : status.error().text();
    };
    const auto nothing = [](Planned&) {};
    EXPECT_THAT(refusal(nothing, "x"), HasSubstr("no member 'x': its members are a, b, c"));
    EXPECT_THAT(refusal(nothing, "a"), HasSubstr("'a' is the writer of cluster 'orders' already"));
    EXPECT_THAT(refusal([](Planned& one) { one.bench.fail(1, ProbeFailureKind::Refused); }),
                HasSubstr("does not answer"));
    EXPECT_THAT(refusal([](Planned& one) { one.bench.tell(1, reader(1, 0, "0-1-100", false)); }),
                HasSubstr("does not receive from the writer 'a'"));
    EXPECT_THAT(refusal([](Planned& one) {
                    Evidence late = reader(1, 0);
                    late.lag = 60s;
                    one.bench.tell(1, late);
                }),
                HasSubstr("lags 1m behind, more than switchover.catch_up of 10s"));
    EXPECT_THAT(refusal([](Planned& one) { one.ask("c"); }), HasSubstr("to 'c' is under way"));
    EXPECT_THAT(refusal([](Planned& one) { one.bench.fail(0, ProbeFailureKind::Refused); }), HasSubstr("holding"));
    Bench without;
    without.load();
    without.calm(0);
    EXPECT_THAT(without.machine.may_switch_over("b").error().text(), HasSubstr("no switchover.hook"));
}

TEST(Switchover, a_disk_that_is_full_means_no_hook) {
    Planned planned;
    planned.ask();
    planned.bench.store_works = false;
    planned.sessions(0);
    planned.probe();
    planned.probe();
    EXPECT_TRUE(planned.bench.all<action::Promote>().empty());
    EXPECT_FALSE(planned.bench.machine.switchover());
    EXPECT_TRUE(planned.bench.machine.alarms().contains("store"));
}

TEST(Switchover, a_reload_that_takes_the_target_away_ends_it) {
    Planned planned;
    planned.ask();
    ClusterConfig fewer = with_hook();
    fewer.members.erase(fewer.members.begin() + 1);
    planned.bench.machine.reconfigure(fewer, planned.bench.now);
    planned.bench.now += 10ms;
    planned.bench.tell(0, writer(0));
    EXPECT_FALSE(planned.bench.machine.switchover());
    EXPECT_EQ(planned.bench.machine.writer(), "a");
}

TEST(Switchover, nobody_is_promoted_while_the_writer_may_still_get_traffic_through_us) {
    Planned planned;
    planned.bench.barrier.unfenced = {"target group 'x': no answer"};
    planned.prepare();
    EXPECT_TRUE(planned.bench.all<action::Promote>().empty());
    ASSERT_EQ(planned.steps().back(), "given-up");
    planned.probe();
    EXPECT_EQ(planned.bench.routed(), "a");
    EXPECT_THAT(planned.bench.machine.alarms().at("unfenced"), HasSubstr("target group 'x': no answer"));
    EXPECT_EQ(planned.bench.all<action::Store>().back().record.data.at("fence").as_string(), "traffic-fenced only");
}

void expect_guarded(Guard guard, const std::function<bool(Rules)>& goes_wrong) {
    EXPECT_FALSE(goes_wrong(Rules{})) << to_string(guard);
    EXPECT_TRUE(goes_wrong(Rules::without(guard))) << to_string(guard) << " is not what prevents it";
}

TEST(Guards, the_hook_runs_only_when_the_target_has_all_that_the_writer_has) {
    expect_guarded(Guard::CaughtUpBeforePromote, [](Rules rules) {
        Planned planned(rules);
        planned.ask();
        planned.sessions(0);
        for (int i = 0; i < 5; ++i) planned.probe("0-1-105", "0-1-104");
        return !planned.bench.all<action::Promote>().empty();
    });
}

TEST(Guards, a_hook_that_succeeded_makes_nobody_the_writer) {
    expect_guarded(Guard::HookIsNoProof, [](Rules rules) {
        Planned planned(rules);
        planned.prepare();
        planned.bench.step(input::PromoteDone{2, true, ""});
        return planned.bench.routed() == "b";
    });
}

TEST(Guards, after_a_hook_of_unknown_outcome_only_newer_answers_prove_a_writer) {
    expect_guarded(Guard::AnswersSinceHook, [](Rules rules) {
        Planned planned(rules);
        planned.prepare();
        planned.bench.now += 1ms;
        planned.bench.step(input::PromoteDone{2, false, "ended with 1"});
        const bool old_answer = planned.bench.routed() == "a";
        planned.probe();
        EXPECT_EQ(planned.bench.routed(), "a");
        return old_answer;
    });
}

}  // namespace
}  // namespace signalbox::clusters
