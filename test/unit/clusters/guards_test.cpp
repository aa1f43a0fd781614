// One scenario per guard that the simulation seldom or never needs: right with the guard, wrong without it.

#include <functional>
#include <gtest/gtest.h>

#include "unit/clusters/bench.hpp"

namespace signalbox::clusters {
namespace {

void expect_guarded(Guard guard, const std::function<bool(Rules)>& goes_wrong) {
    EXPECT_FALSE(goes_wrong(Rules{})) << to_string(guard);
    EXPECT_TRUE(goes_wrong(Rules::without(guard))) << to_string(guard) << " is not what prevents it";
}

TEST(Guards, a_writer_that_withdrew_comes_back_with_a_new_epoch_only) {
    expect_guarded(Guard::WithdrawnNeedsEpoch, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.calm(0);
        Evidence demoted = writer(0);
        demoted.read_only = true;
        bench.tell(0, demoted);
        bench.calm(0);
        return bench.machine.epoch() != 2;
    });
}

TEST(Guards, new_connections_wait_when_the_claim_is_gone) {
    expect_guarded(Guard::HoldWhenUnclear, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.calm(0);
        bench.actions.clear();
        bench.fail(0, ProbeFailureKind::Refused);
        return !bench.machine.held() || bench.all<action::Hold>().empty();
    });
}

TEST(Guards, an_overtaken_answer_is_ignored) {
    expect_guarded(Guard::StaleSequence, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.calm(0);
        bench.fail(0, ProbeFailureKind::Refused);
        bench.tell_at(0, writer(0), bench.now - 5ms, 1);
        return bench.machine.state() == State::Following;
    });
}

TEST(Guards, our_own_delay_is_no_miss) {
    expect_guarded(Guard::OwnDelayIsNoMiss, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.calm(0);
        bench.fail(0, ProbeFailureKind::OurOwnDelay);
        return bench.machine.state() != State::Following;
    });
}

TEST(Guards, a_writer_that_answers_in_time_is_not_doubted_for_the_age_of_its_last_answer) {
    expect_guarded(Guard::DoubtNeedsMiss, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.calm(0);
        bench.pass(50ms);
        MonoTime sent = bench.now;
        bench.pass(200ms);
        bench.tell_at(0, writer(0), sent);
        bench.pass(50ms);
        sent = bench.now;
        bench.pass(200ms);
        bench.tell_at(0, writer(0), sent);
        return bench.recorded("writer-unclear");
    });
}

TEST(Guards, a_member_that_replicates_is_no_writer_though_it_is_writable) {
    expect_guarded(Guard::ReplicatesFromNobody, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.fail(0, ProbeFailureKind::Refused);
        bench.fail(2, ProbeFailureKind::Refused);
        Evidence evidence = reader(1, 0, "0-1-100", false);
        evidence.read_only = false;
        bench.tell(1, evidence);
        return bench.routed() == "b";
    });
}

TEST(Guards, of_two_claims_with_the_same_history_neither_is_believed) {
    expect_guarded(Guard::NewestClaimWins, [](Rules rules) {
        Bench both(rules);
        both.load();
        both.fail(2, ProbeFailureKind::Refused);
        both.tell(0, writer(0, "0-1-100,0-2-101"));
        both.tell(1, writer(1, "0-1-103"));
        return !both.routed().empty();
    });
}

TEST(Guards, a_reader_that_receives_from_a_silent_member_speaks_for_it) {
    expect_guarded(Guard::ReaderContradicts, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.fail(0, ProbeFailureKind::TimedOut);
        bench.tell(2, reader(2, 0));
        bench.tell(1, writer(1));
        return bench.routed() == "b";
    });
}

TEST(Guards, a_former_writer_that_never_withdrew_is_not_elected_by_saying_so_again) {
    expect_guarded(Guard::OldClaimEnds, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.calm(0);
        bench.fail(0, ProbeFailureKind::TimedOut);
        bench.tell(2, reader(2, 0, "0-1-100", false));
        bench.tell(1, writer(1, "0-1-100"));  // epoch 2
        if (bench.routed() != "b") return false;
        bench.now += 10ms;
        bench.fail(1, ProbeFailureKind::Refused);
        bench.fail(2, ProbeFailureKind::Refused);
        bench.tell(0, writer(0, "0-1-101"));  // out of the black hole
        return bench.routed() == "a";
    });
}

TEST(Guards, nobody_is_proven_before_everybody_was_asked) {
    expect_guarded(Guard::OthersAsked, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.tell(0, writer(0));
        return bench.routed() == "a";
    });
}

TEST(Guards, one_server_under_two_names_is_not_believed) {
    expect_guarded(Guard::Identity, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        bench.fail(2, ProbeFailureKind::Refused);
        Evidence twin = writer(0, "0-1-90");
        bench.tell(1, twin);
        bench.tell(0, writer(0, "0-1-100"));
        return !bench.routed().empty();
    });
}

TEST(Guards, a_member_of_another_cluster_is_not_believed) {
    expect_guarded(Guard::SameCluster, [](Rules rules) {
        Bench bench(rules);
        bench.load();
        const auto of_cluster = [](Evidence evidence, const char* uid) {
            evidence.cluster_uid = uid;
            return evidence;
        };
        bench.tell(1, of_cluster(reader(1, 0), "7001"));
        bench.tell(2, of_cluster(reader(2, 0), "7001"));
        bench.tell(0, of_cluster(writer(0), "7001"));
        bench.fail(0, ProbeFailureKind::Refused);
        bench.fail(2, ProbeFailureKind::Refused);
        bench.tell(1, of_cluster(writer(1), "7002"));
        return bench.routed() == "b";
    });
}

TEST(Guards, a_member_that_the_newest_topology_contradicts_is_not_believed) {
    expect_guarded(Guard::TopologyAgrees, [](Rules rules) {
        ClusterConfig config = three_members();
        config.topology.query = "SELECT …";
        Bench bench(rules, config);
        bench.load();
        bench.fail(0, ProbeFailureKind::Refused);
        bench.fail(2, ProbeFailureKind::Refused);
        Evidence evidence = writer(1);
        evidence.topology = {{"a", true, 100, {}, {}}, {"b", false, 100, {}, {}}};
        bench.tell(1, evidence);
        return bench.routed() == "b";
    });
}

}  // namespace
}  // namespace signalbox::clusters
