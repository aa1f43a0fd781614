#include "domain/clusters/position.hpp"

#include <gtest/gtest.h>

namespace signalbox::clusters {
namespace {

constexpr const char* a_uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
constexpr const char* b_uuid = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

Position my(const std::string& text) { return Position::parse(Engine::MySql, text).value(); }
Position pg(const std::string& text) { return Position::parse(Engine::PostgreSql, text).value(); }
Position maria(const std::string& text) { return Position::parse(Engine::MariaDb, text).value(); }
std::string a(const std::string& intervals) { return std::string(a_uuid) + ":" + intervals; }
std::string b(const std::string& intervals) { return std::string(b_uuid) + ":" + intervals; }

TEST(MySqlPosition, reads_intervals_in_any_order_and_writes_them_merged) {
    EXPECT_EQ(my(a("7-9:1-3:4:8-12")).text(), a("1-4:7-12"));
    EXPECT_EQ(my("3E11FA47-71CA-11E1-9E33-C80AA9429562:5").text(), a("5"));
    EXPECT_EQ(my(b("1") + ",\n" + a("2")).text(), a("2") + "," + b("1"));
    EXPECT_EQ(my(a("1-3:tag_1:4:6:other:1-2")).text(), a("1-3") + "," + a("other:1-2") + "," + a("tag_1:4:6"));
    EXPECT_EQ(my("").text(), "");
}

TEST(MySqlPosition, malformed_sets_are_corrupt_data_never_a_shorter_set) {
    for (const std::string& text :
         {std::string(a_uuid), a(""), a("0"), a("5-4"), a("1-"), a("1,"), a("-1"), a("1:"), a("tag"), a("tag:"),
          a("1:9tag:2"), a("tag:other:1"), a("9223372036854775807"), std::string("3e11fa47-71ca:1"), a("1 2"),
          a("1-2-3"), std::string("3g11fa47-71ca-11e1-9e33-c80aa9429562:1"), "," + a("1")}) {
        const auto parsed = Position::parse(Engine::MySql, text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().kind, base::ErrorKind::CorruptData);
    }
    std::string many = a_uuid;
    for (int i = 0; i < 65'537; ++i) many += ":" + std::to_string(2 * i + 1);
    EXPECT_FALSE(Position::parse(Engine::MySql, many));
}

TEST(MySqlPosition, containment_is_by_interval_and_tag_and_names_the_part_that_is_missing) {
    EXPECT_TRUE(my(a("1-100")).contains(my(a("5-7:50"))));
    EXPECT_EQ(my(a("1-4:8-20")).first_missing(my(a("1-20")))->text(), a("5-7"));
    EXPECT_EQ(my(a("3-9")).first_missing(my(a("1-9")))->text(), a("1-2"));
    EXPECT_EQ(my(a("1-9")).first_missing(my(a("1-9:t:1")))->text(), a("t:1"));
    EXPECT_EQ(my(a("1-9")).first_missing(my(b("4")))->text(), b("4"));
    EXPECT_TRUE(my(a("1-9") + "," + b("1")).newer_than(my(a("1-9"))));
    EXPECT_FALSE(my(a("1-9")).newer_than(my(a("1-9"))));
    EXPECT_FALSE(my(a("1-10") + "," + b("1")).newer_than(my(a("1-11"))));
    Position joined = my(a("1-3"));
    joined.join(my(a("4-6") + "," + b("2")));
    EXPECT_EQ(joined.text(), a("1-6") + "," + b("2"));
}

TEST(MySqlPosition, what_a_replica_wrote_itself_confirms_nothing_of_the_writer) {
    Evidence replica;
    replica.server_uid = b_uuid;
    EXPECT_EQ(my(a("1-9") + "," + b("1")).confirms(replica, {}).text(), a("1-9"));
    EXPECT_EQ(my(a("1-9") + "," + b("1")).written_by(replica).text(), b("1"));
}

TEST(PostgresPosition, reads_and_writes_timelines_and_refuses_anything_else) {
    EXPECT_EQ(pg(" 1@0/3000148, 2@1a/5000000").text(), "1@0/3000148,2@1A/5000000");
    for (const char* text : {"1", "1@", "1@0", "1@0/", "@0/1", "0@0/1", "1@0/1,1@0/2", "2@0/1,1@0/2", "1@0/123456789",
                             "1@g/1", "1@0/1,", "4294967296@0/1", "-1@0/1", "1@0/1/2"}) {
        EXPECT_FALSE(Position::parse(Engine::PostgreSql, text)) << text;
    }
}

TEST(PostgresPosition, a_former_writer_that_went_on_alone_never_contains_the_new_timeline) {
    const Position promoted = pg("1@0/3000148,2@0/3000200");
    EXPECT_TRUE(promoted.contains(pg("1@0/3000148")));
    EXPECT_FALSE(promoted.contains(pg("1@0/3000149")));
    EXPECT_EQ(pg("1@0/9000000").first_missing(pg("2@0/3000150"))->text(), "2@0/3000150");
    EXPECT_TRUE(promoted.newer_than(pg("1@0/9000000")));
    EXPECT_FALSE(pg("1@0/9000000").newer_than(promoted));
}

TEST(PostgresPosition, how_far_a_timeline_was_written_makes_no_claim_newer) {
    EXPECT_FALSE(pg("1@0/9000000").newer_than(pg("1@0/3000148")));
    EXPECT_FALSE(pg("1@0/3000148,3@0/9000000").newer_than(pg("1@0/3000100,2@0/3000200")));
}

TEST(PostgresPosition, two_timelines_of_one_number_that_branched_apart_do_not_contain_each_other) {
    EXPECT_FALSE(pg("1@0/3000500,2@0/9000000").contains(pg("1@0/3000148,2@0/4000000")));
    EXPECT_TRUE(pg("1@0/3000148,2@0/9000000").contains(pg("1@0/3000148,2@0/4000000")));
}

TEST(PostgresPosition, the_newest_keeps_the_branch_and_what_reaches_further) {
    EXPECT_EQ(pg("1@0/1,2@0/2,3@0/3,4@0/4").newest().text(), "3@0/3,4@0/4");
    EXPECT_EQ(pg("1@0/9,2@0/2,3@0/3,4@0/4").newest().text(), "1@0/9,3@0/3,4@0/4");
}

TEST(PostgresPosition, a_replica_confirms_only_on_the_writers_own_timeline) {
    const Position writer = pg("1@0/3000148,2@0/5000000");
    EXPECT_EQ(pg("1@0/3000148,2@0/4000000").confirms({}, writer).text(), "1@0/3000148,2@0/4000000");
    EXPECT_TRUE(pg("1@0/3000500").confirms({}, writer).empty());
    EXPECT_TRUE(pg("1@0/3000500,2@0/4000000").confirms({}, writer).empty());
}

TEST(Position, the_empty_one_fits_every_engine_and_another_engines_is_missing_whole) {
    EXPECT_TRUE(pg("1@0/1").contains(maria("")));
    EXPECT_EQ(maria(""), pg(""));
    EXPECT_FALSE(pg("1@0/1").contains(maria("0-1-1")));
    Position position;
    position.join(my(a("1")));
    EXPECT_EQ(position.text(), a("1"));
}

}  // namespace
}  // namespace signalbox::clusters
