#include "domain/meter/analysis.hpp"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "builder.hpp"
#include "domain/meter/timeline.hpp"

namespace signalbox::meter {
namespace {

// Two members, a DNS name and a proxy; direct-1 is killed at 1000 and returns as a reader at 2000; direct-2 writes from
// 1200; the name moves at 1500; the proxy is good again at 1230.
RecordingBuilder failover() {
    RecordingBuilder b;
    const auto one = b.path("direct-1");
    const auto two = b.path("direct-2");
    const auto dns = b.path("dns", true, true);
    const auto proxy = b.path("proxy");
    b.good(one, Kind::Write, 0, 1000, "A");
    b.good(one, Kind::Read, 0, 1000, "A");
    b.add(one, Kind::Write, 1000, 1001, Outcome::Unknown, 2013);
    b.bad(one, Kind::Write, 1010, 2000, 2003);
    b.bad(one, Kind::Read, 1000, 2000, 2003);
    b.bad(one, Kind::Write, 2000, 3000, 1290);
    b.good(one, Kind::Read, 2000, 3000, "A");
    b.bad(two, Kind::Write, 2, 1202, 1290);
    b.good(two, Kind::Write, 1202, 3000, "B");
    b.good(two, Kind::Read, 2, 3000, "B");
    b.good(dns, Kind::Write, 4, 1004, "A");
    b.good(dns, Kind::Read, 4, 1004, "A");
    b.bad(dns, Kind::Write, 1004, 1504, 2003);
    b.bad(dns, Kind::Read, 1004, 1504, 2003);
    b.good(dns, Kind::Write, 1504, 3000, "B");
    b.good(dns, Kind::Read, 1504, 3000, "B");
    for (double ms = 4; ms < 3000; ms += 10) {
        b.add(dns, Kind::Dns, ms, ms + 1).text = b.text(ms < 1500 ? "m1 → 10.0.0.1" : "m2 → 10.0.0.2");
    }
    b.good(proxy, Kind::Write, 6, 1006, "A");
    b.good(proxy, Kind::Read, 6, 3000, "B");
    b.bad(proxy, Kind::Write, 1006, 1236, 2013, Outcome::Failed);
    b.good(proxy, Kind::Write, 1236, 3000, "B");
    return b;
}

const GroupResult& group(const Fault& fault, std::string_view name) {
    const auto found =
        std::find_if(fault.groups.begin(), fault.groups.end(), [&](const auto& g) { return g.name == name; });
    EXPECT_NE(found, fault.groups.end());
    return *found;
}

std::vector<Phase> phases(const Fault& fault, std::string_view name) {
    std::vector<Phase> found;
    std::copy_if(fault.phases.begin(), fault.phases.end(), std::back_inserter(found),
                 [&](const Phase& phase) { return phase.name == name; });
    return found;
}

TEST(Analysis, finds_the_fault_and_both_writers) {
    const auto analysis = analyse(failover().recording);
    ASSERT_EQ(analysis.faults.size(), 1U);
    const Fault& fault = analysis.faults[0];
    EXPECT_FALSE(fault.given);
    EXPECT_EQ(fault.at, at_ms(1001));
    EXPECT_EQ(fault.old_writer, "direct-1");
    EXPECT_EQ(fault.new_writer, "direct-2");
    EXPECT_EQ(analysis.own_errors, 0U);
}

TEST(Analysis, direct_is_the_first_success_on_any_member_and_excess_is_counted_from_it) {
    const auto analysis = analyse(failover().recording);
    const Fault& fault = analysis.faults.at(0);
    const GroupResult& direct = group(fault, "direct");
    ASSERT_TRUE(direct.write_outage && direct.write_outage->end);
    EXPECT_EQ(direct.write_outage->start, at_ms(991));
    EXPECT_EQ(*direct.write_outage->end, at_ms(1203));
    EXPECT_FALSE(direct.excess.has_value());
    EXPECT_EQ(direct.read_state, Recovery::NoOutage) << "the other member went on answering";
    EXPECT_EQ(*group(fault, "proxy").excess, at_ms(1237) - at_ms(1203));
    EXPECT_EQ(*group(fault, "dns").excess, at_ms(1505) - at_ms(1203));
    EXPECT_EQ(*group(fault, "dns").write_outage->end - group(fault, "dns").write_outage->start,
              at_ms(1505) - at_ms(995));
}

TEST(Analysis, a_good_write_that_the_old_writer_still_took_does_not_end_the_excess) {
    RecordingBuilder b = failover();
    b.add(3, Kind::Write, 1100, 1101, Outcome::Ok, 0, "A");
    const auto analysis = analyse(b.recording);
    EXPECT_EQ(*group(analysis.faults.at(0), "proxy").excess, at_ms(1237) - at_ms(1203));
}

TEST(Analysis, the_phases_are_where_they_were) {
    const auto analysis = analyse(failover().recording);
    const Fault& fault = analysis.faults.at(0);
    const auto old_writer = phases(fault, phase_name::old_writer_restarts);
    ASSERT_EQ(old_writer.size(), 1U);
    EXPECT_EQ(old_writer[0].path, "direct-1");
    EXPECT_EQ(*old_writer[0].start, at_ms(991));
    EXPECT_EQ(*old_writer[0].end, at_ms(2001));
    const auto replica = phases(fault, phase_name::old_replica_restarts);
    ASSERT_EQ(replica.size(), 1U);
    EXPECT_FALSE(replica[0].start.has_value()) << "it was not interrupted";
    const auto refused = phases(fault, phase_name::refused_read_only);
    ASSERT_EQ(refused.size(), 1U) << "a member that had refused before is no phase";
    EXPECT_EQ(refused[0].path, "direct-1");
    EXPECT_FALSE(refused[0].end.has_value());
    const auto moved = phases(fault, phase_name::writer_endpoint_moved);
    ASSERT_EQ(moved.size(), 2U);
    EXPECT_EQ(moved[0].note, "by DNS");
    EXPECT_EQ(*moved[0].end, at_ms(1505));
    EXPECT_EQ(*moved[1].end, at_ms(1237));
}

TEST(Analysis, refusals_between_the_demotion_and_the_endpoints_move_are_a_phase_of_that_path) {
    RecordingBuilder b;
    const auto dns = b.path("dns");
    b.good(dns, Kind::Write, 0, 500, "A");
    b.bad(dns, Kind::Write, 500, 800, 1290);
    b.good(dns, Kind::Write, 800, 1500, "B");
    const auto analysis = analyse(b.recording);
    const auto refused = phases(analysis.faults.at(0), phase_name::refused_read_only);
    ASSERT_EQ(refused.size(), 1U);
    EXPECT_EQ(*refused[0].start, at_ms(501));
    EXPECT_EQ(*refused[0].end, at_ms(801));
    EXPECT_EQ(analysis.samples_refused, 30U);
}

TEST(Analysis, a_reader_endpoint_has_moved_when_its_answers_stop_changing) {
    RecordingBuilder b = failover();
    const auto reader = b.path("reader", false);
    b.good(reader, Kind::Read, 8, 1600, "B");
    b.good(reader, Kind::Read, 1608, 3000, "A");
    const auto moved = phases(analyse(b.recording).faults.at(0), phase_name::reader_endpoint_moved);
    ASSERT_EQ(moved.size(), 1U);
    EXPECT_EQ(*moved[0].end, at_ms(1609));
}

TEST(Analysis, events_are_a_phase_even_if_the_start_was_announced_before_the_first_failure) {
    RecordingBuilder b = failover();
    b.recording.events = {{at_ms(900), "failover-started", ""}, {at_ms(2500), "failover-completed", ""}};
    const auto events = phases(analyse(b.recording).faults.at(0), phase_name::events);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(*events[0].start, at_ms(900));
    EXPECT_EQ(*events[0].end, at_ms(2500));
    const auto moved = phases(analyse(b.recording).faults.at(0), phase_name::writer_endpoint_moved);
    EXPECT_EQ(*moved.at(0).start, at_ms(900)) << "what was announced began with the announcement";
}

TEST(Analysis, a_replica_that_restarted_between_the_announcement_and_the_first_failed_write_is_found) {
    RecordingBuilder b = failover();
    std::erase_if(b.recording.samples, [](const Sample& sample) {
        return sample.path == 1 && sample.kind == Kind::Read && sample.sent_at > at_ms(400) &&
               sample.sent_at < at_ms(900);
    });
    b.bad(1, Kind::Read, 402, 892, 2003);
    b.recording.events = {{at_ms(390), "failover-started", ""}};
    const auto replica = phases(analyse(b.recording).faults.at(0), phase_name::old_replica_restarts);
    ASSERT_EQ(replica.size(), 1U);
    ASSERT_TRUE(replica[0].start && replica[0].end);
    EXPECT_EQ(*replica[0].end, at_ms(903));
}

TEST(Analysis, a_given_fault_is_the_zero_of_the_axis) {
    RecordingBuilder b = failover();
    b.recording.fault_at = at_ms(993);
    const auto analysis = analyse(b.recording);
    ASSERT_EQ(analysis.faults.size(), 1U);
    EXPECT_TRUE(analysis.faults[0].given);
    EXPECT_EQ(analysis.faults[0].at, at_ms(993));
    EXPECT_EQ(*group(analysis.faults[0], "direct").write_outage->end, at_ms(1203));
}

TEST(Analysis, the_same_member_elected_again_is_the_new_writer_too) {
    RecordingBuilder b;
    const auto one = b.path("direct-1");
    const auto proxy = b.path("proxy");
    b.good(one, Kind::Write, 0, 500, "A");
    b.bad(one, Kind::Write, 500, 900, 2003);
    b.good(one, Kind::Write, 900, 1500, "A");
    b.good(proxy, Kind::Write, 5, 505, "A");
    b.bad(proxy, Kind::Write, 505, 955, 2013);
    b.good(proxy, Kind::Write, 955, 1500, "A");
    const auto analysis = analyse(b.recording);
    ASSERT_EQ(analysis.faults.size(), 1U);
    EXPECT_EQ(analysis.faults[0].new_writer, "direct-1");
    EXPECT_EQ(*group(analysis.faults[0], "proxy").excess, at_ms(956) - at_ms(901));
}

TEST(Analysis, a_long_wait_on_the_new_writer_does_not_hide_the_outage_nor_the_old_writer) {
    RecordingBuilder b = failover();
    std::erase_if(b.recording.samples, [](const Sample& sample) {
        return sample.path == 1 && sample.kind == Kind::Write && sample.sent_at > at_ms(1300) &&
               sample.sent_at < at_ms(2300);
    });
    const Fault fault = analyse(b.recording).faults.at(0);
    EXPECT_EQ(fault.old_writer, "direct-1");
    EXPECT_EQ(*group(fault, "direct").write_outage->end, at_ms(1203));
}

TEST(Analysis, members_that_never_wrote_have_no_phase_of_refusals_even_when_the_failover_is_announced_at_once) {
    RecordingBuilder b = failover();
    b.recording.events = {{at_ms(0), "failover-started", ""}};
    const auto refused = phases(analyse(b.recording).faults.at(0), phase_name::refused_read_only);
    ASSERT_EQ(refused.size(), 1U);
    EXPECT_EQ(refused[0].path, "direct-1");
}

TEST(Analysis, two_faults_are_told_apart) {
    RecordingBuilder b;
    const auto path = b.path("proxy");
    b.good(path, Kind::Write, 0, 500, "A");
    b.bad(path, Kind::Write, 500, 700, 2013);
    b.good(path, Kind::Write, 700, 5000, "B");
    b.bad(path, Kind::Write, 5000, 5400, 2013);
    b.good(path, Kind::Write, 5400, 6000, "C");
    const auto analysis = analyse(b.recording);
    ASSERT_EQ(analysis.faults.size(), 2U);
    EXPECT_EQ(*group(analysis.faults[0], "proxy").write_outage->end, at_ms(701));
    EXPECT_EQ(*group(analysis.faults[1], "proxy").write_outage->end, at_ms(5401));
    EXPECT_EQ(analysis.faults[0].new_writer, "B");
    EXPECT_EQ(analysis.faults[1].old_writer, "B");
    EXPECT_EQ(analysis.faults[1].new_writer, "C");
}

TEST(Analysis, without_a_fault_every_unexpected_error_is_our_own_and_readers_may_refuse) {
    RecordingBuilder b;
    const auto one = b.path("direct-1");
    const auto two = b.path("direct-2");
    b.good(one, Kind::Write, 0, 1000, "A");
    b.bad(two, Kind::Write, 0, 1000, 1290);
    b.add(two, Kind::Read, 0, 1, Outcome::Failed, 1040);
    b.recording.ticks_late = 2;
    const auto analysis = analyse(b.recording);
    EXPECT_TRUE(analysis.faults.empty());
    ASSERT_EQ(analysis.calm.size(), 1U);
    EXPECT_EQ(analysis.calm[0].write_state, Recovery::NoOutage);
    EXPECT_EQ(analysis.own_errors, 3U);
    EXPECT_EQ(analysis.paths[1].errors.at("1290"), 100U);
}

TEST(Analysis, says_when_a_path_did_not_recover_or_never_worked) {
    RecordingBuilder b = failover();
    const auto dead = b.path("dead");
    const auto never = b.path("never");
    b.good(dead, Kind::Write, 3, 1003, "A");
    b.bad(dead, Kind::Write, 1003, 3000, 2003);
    b.bad(never, Kind::Write, 3, 3000, 2003);
    const auto analysis = analyse(b.recording);
    EXPECT_EQ(group(analysis.faults.at(0), "dead").write_state, Recovery::NotRecovered);
    EXPECT_EQ(group(analysis.faults.at(0), "never").write_state, Recovery::NeverGood);
    EXPECT_FALSE(group(analysis.faults.at(0), "dead").excess.has_value());
}

TEST(Analysis, an_empty_recording_is_calm) {
    RecordingBuilder b;
    b.path("x");
    const auto analysis = analyse(b.recording);
    EXPECT_TRUE(analysis.faults.empty());
    EXPECT_EQ(analysis.calm.at(0).write_state, Recovery::NeverGood);
}

TEST(Timeline, covers_the_stretch_and_shows_the_worst_of_each_spot) {
    const RecordingBuilder b = failover();
    const auto bar = bar_of(b.recording, 0, Kind::Write, at_ms(0), at_ms(3000), 300, 100);
    ASSERT_FALSE(bar.empty());
    EXPECT_EQ(bar.front().from, at_ms(0));
    EXPECT_EQ(bar.back().to, at_ms(3000));
    std::vector<Shade> shades;
    std::transform(bar.begin(), bar.end(), std::back_inserter(shades), [](const Piece& piece) { return piece.shade; });
    EXPECT_THAT(shades, testing::ElementsAre(Shade::Ok, Shade::Unknown, Shade::Failed, Shade::Refused));
}

TEST(Timeline, holds_its_bound_on_pieces_however_wild_the_samples) {
    RecordingBuilder b;
    const auto path = b.path("x");
    for (int i = 0; i < 1000; ++i) {
        b.add(path, Kind::Write, i * 10, i * 10 + 9, i % 2 == 0 ? Outcome::Ok : Outcome::Failed, i % 2 == 0 ? 0 : 2003);
    }
    EXPECT_LE(bar_of(b.recording, path, Kind::Write, at_ms(0), at_ms(10000), 800, 110).size(), 110U);
}

TEST(Timeline, a_long_wait_for_a_good_answer_is_shown_as_one) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.add(path, Kind::Write, 0, 300);
    const auto bar = bar_of(b.recording, path, Kind::Write, at_ms(0), at_ms(301), 10, 10);
    EXPECT_EQ(bar.front().shade, Shade::Waited);
}

}  // namespace
}  // namespace signalbox::meter
