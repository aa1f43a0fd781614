#include "domain/meter/outage.hpp"

#include <gtest/gtest.h>

#include "builder.hpp"

namespace signalbox::meter {
namespace {

std::vector<Outage> writes(const RecordingBuilder& builder, std::optional<MonoTime> stalls_since = std::nullopt) {
    return find_outages(
        stream_of(builder.recording, Kind::Write, std::vector<bool>(builder.recording.paths.size(), true)),
        rule_for(builder.recording.interval, stalls_since), builder.recording.ended_at);
}

double length_ms(const Outage& outage) { return base::to_ms(*outage.end - outage.start); }

TEST(Outage, lasts_from_the_last_good_completion_to_the_completion_of_the_first_good_one_sent_after_it) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.good(path, Kind::Write, 0, 100);  // the last completes at 91
    b.bad(path, Kind::Write, 100, 300, 2003);
    b.good(path, Kind::Write, 300, 400);  // the first completes at 301
    const auto outages = writes(b);
    ASSERT_EQ(outages.size(), 1U);
    EXPECT_EQ(outages[0].start, at_ms(91));
    EXPECT_EQ(*outages[0].end, at_ms(301));
    EXPECT_EQ(*outages[0].evidence_at, at_ms(101));
}

TEST(Outage, a_calm_path_has_none) {
    RecordingBuilder b;
    b.good(b.path("x"), Kind::Write, 0, 1000);
    EXPECT_TRUE(writes(b).empty());
    EXPECT_TRUE(writes(b, at_ms(0)).empty());
}

TEST(Outage, a_single_refused_write_is_one) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.good(path, Kind::Write, 0, 100);
    b.bad(path, Kind::Write, 100, 110, 1290);
    b.good(path, Kind::Write, 110, 200);
    ASSERT_EQ(writes(b).size(), 1U);
    EXPECT_DOUBLE_EQ(length_ms(writes(b)[0]), 20);
}

TEST(Outage, an_operation_sent_before_the_fault_that_completes_after_it_does_not_end_the_outage) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.good(path, Kind::Write, 0, 100);
    b.add(path, Kind::Write, 90.5, 250);  // in flight when the last good one completed at 91
    b.bad(path, Kind::Write, 100, 300, 2003);
    b.good(path, Kind::Write, 300, 400);
    const auto outages = writes(b);
    ASSERT_EQ(outages.size(), 1U);
    EXPECT_EQ(outages[0].start, at_ms(91));
    EXPECT_EQ(*outages[0].end, at_ms(301));
}

TEST(Outage, a_hung_operation_shows_trouble_from_its_sending) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.good(path, Kind::Write, 0, 100);
    b.add(path, Kind::Write, 100, 1100, Outcome::Unknown, 0);
    b.good(path, Kind::Write, 1100, 1200);
    const auto outages = writes(b);
    ASSERT_EQ(outages.size(), 1U);
    EXPECT_EQ(*outages[0].evidence_at, at_ms(100));
    EXPECT_DOUBLE_EQ(length_ms(outages[0]), 1010);
}

TEST(Outage, one_stuck_worker_among_healthy_ones_is_none) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.good(path, Kind::Write, 0, 2000);
    b.add(path, Kind::Write, 100, 1100, Outcome::Unknown, 0);
    EXPECT_TRUE(writes(b).empty());
}

TEST(Outage, of_many_workers_that_all_hang_is_found_although_the_first_hung_before_the_last_good_answer) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.good(path, Kind::Write, 0, 100);
    b.good(path, Kind::Write, 5, 105);                          // a second worker, last completion 96
    b.add(path, Kind::Write, 95.5, 1095, Outcome::Unknown, 0);  // sent before that
    b.add(path, Kind::Write, 105, 1105, Outcome::Unknown, 0);
    b.good(path, Kind::Write, 1110, 1200);
    const auto outages = writes(b);
    ASSERT_EQ(outages.size(), 1U);
    EXPECT_EQ(outages[0].start, at_ms(96));
    EXPECT_EQ(*outages[0].end, at_ms(1111));
}

TEST(Outage, a_path_that_never_recovers_has_no_end) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.good(path, Kind::Write, 0, 100);
    b.bad(path, Kind::Write, 100, 300, 2003);
    const auto outages = writes(b);
    ASSERT_EQ(outages.size(), 1U);
    EXPECT_FALSE(outages[0].end.has_value());
}

TEST(Outage, a_path_that_was_never_good_has_none) {
    RecordingBuilder b;
    b.bad(b.path("x"), Kind::Write, 0, 300, 2003);
    EXPECT_TRUE(writes(b).empty());
}

TEST(Outage, of_a_group_ends_with_the_first_success_on_any_member) {
    RecordingBuilder b;
    const auto one = b.path("direct-1");
    const auto two = b.path("direct-2");
    b.good(one, Kind::Write, 0, 100);
    b.bad(one, Kind::Write, 100, 600, 2003);
    b.bad(two, Kind::Write, 0.5, 250, 1290);
    b.good(two, Kind::Write, 250.5, 600);
    const auto outages = writes(b);
    ASSERT_EQ(outages.size(), 1U);
    EXPECT_DOUBLE_EQ(length_ms(outages[0]), 251.5 - 91);
}

TEST(Outage, a_reader_that_always_refuses_is_no_evidence_against_the_writer) {
    RecordingBuilder b;
    const auto one = b.path("direct-1");
    const auto two = b.path("direct-2");
    b.good(one, Kind::Write, 0, 100);
    b.good(one, Kind::Write, 140, 300);  // four ticks late, nothing failed
    b.bad(two, Kind::Write, 0, 300, 1290);
    EXPECT_TRUE(writes(b).empty());
}

TEST(Outage, two_faults_are_two) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.good(path, Kind::Write, 0, 100);
    b.bad(path, Kind::Write, 100, 200, 2003);
    b.good(path, Kind::Write, 200, 300);
    b.bad(path, Kind::Write, 300, 350, 1290);
    b.good(path, Kind::Write, 350, 400);
    EXPECT_EQ(writes(b).size(), 2U);
}

TEST(Outage, a_stall_without_any_error_counts_only_once_a_fault_is_known) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.good(path, Kind::Write, 0, 100);
    b.add(path, Kind::Write, 100, 400);  // held, and then done
    b.good(path, Kind::Write, 410, 500);
    EXPECT_TRUE(writes(b).empty());
    const auto outages = writes(b, at_ms(95));
    ASSERT_EQ(outages.size(), 1U);
    EXPECT_DOUBLE_EQ(length_ms(outages[0]), 400 - 91);
    EXPECT_TRUE(writes(b, at_ms(450)).empty());
}

TEST(Outage, the_longest_is_taken_among_those_of_one_fault) {
    const std::vector<Outage> outages{
        {at_ms(10), at_ms(20), at_ms(11)}, {at_ms(30), at_ms(80), at_ms(31)}, {at_ms(500), at_ms(900), at_ms(501)}};
    const auto longest = longest_outage(outages, at_ms(15), at_ms(400), at_ms(1000));
    ASSERT_TRUE(longest.has_value());
    EXPECT_EQ(longest->start, at_ms(30));
    EXPECT_FALSE(longest_outage(outages, at_ms(90), at_ms(400), at_ms(1000)).has_value());
}

TEST(Outage, one_with_a_failure_is_taken_before_a_longer_wait) {
    const std::vector<Outage> outages{{at_ms(10), at_ms(20), at_ms(11)}, {at_ms(30), at_ms(80), std::nullopt}};
    EXPECT_EQ(longest_outage(outages, at_ms(15), at_ms(400), at_ms(1000))->start, at_ms(10));
    EXPECT_EQ(longest_outage({outages[1], outages[0]}, at_ms(15), at_ms(400), at_ms(1000))->start, at_ms(10));
}

TEST(Sample, a_write_is_unknown_only_if_it_may_have_happened) {
    EXPECT_EQ(write_outcome(false, 2003), Outcome::Failed);
    EXPECT_EQ(write_outcome(false, 0), Outcome::Failed);
    EXPECT_EQ(write_outcome(true, 2013), Outcome::Unknown);
    EXPECT_EQ(write_outcome(true, 0), Outcome::Unknown);
    EXPECT_EQ(write_outcome(true, 1290), Outcome::Failed);
    EXPECT_EQ(write_outcome(true, 1053), Outcome::Unknown);
    EXPECT_EQ(write_outcome(true, 1927), Outcome::Unknown);
}

TEST(Sample, a_name_that_ends_in_a_number_is_a_member_of_a_group) {
    EXPECT_EQ(describe_path("direct-12").group, "direct");
    EXPECT_TRUE(describe_path("direct-12").member);
    EXPECT_EQ(describe_path("my-proxy").group, "my-proxy");
    EXPECT_FALSE(describe_path("my-proxy").member);
    EXPECT_FALSE(describe_path("x-").member);
    EXPECT_FALSE(describe_path("-1").member);
}

}  // namespace
}  // namespace signalbox::meter
