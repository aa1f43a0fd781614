#include "domain/clusters/gtid.hpp"

#include <gtest/gtest.h>

namespace signalbox::clusters {
namespace {

GtidState state(std::string_view text) { return GtidState::parse(text).value(); }

TEST(Gtid, reads_and_writes_lists_in_order) {
    EXPECT_EQ(state(" 1-7-3,\n0-2-5 , 0-1-100").text(), "0-1-100,0-2-5,1-7-3");
    EXPECT_EQ(state("").text(), "");
    EXPECT_EQ(state("0-1-18446744073709551615").sequence(0, 1), 18446744073709551615ULL);
    EXPECT_EQ(state("0-1-5,0-1-9,0-1-7").text(), "0-1-9");
}

TEST(Gtid, malformed_lists_are_corrupt_data_never_a_shorter_list) {
    for (const char* text : {"0-1", "0-1-", "0-1-2,", ",0-1-2", "0-1-2-3", "a-1-2", "0--1-2", "4294967296-1-1",
                             "0-1-+2", "0-1-18446744073709551616", "0-1-2 0-2-3"}) {
        const auto parsed = GtidState::parse(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().kind, base::ErrorKind::CorruptData) << text;
    }
    std::string many;
    for (int i = 0; i < 4097; ++i) many += fmt::format("{}0-{}-1", i == 0 ? "" : ",", i);
    EXPECT_FALSE(GtidState::parse(many));
}

TEST(Gtid, containment_is_per_domain_and_server) {
    EXPECT_TRUE(state("0-1-100,0-2-50").contains(state("0-1-100")));
    EXPECT_TRUE(state("0-1-1").contains(state("")));
    EXPECT_FALSE(state("0-2-500").contains(state("0-1-100")));
    EXPECT_FALSE(state("0-1-99,1-1-500").contains(state("0-1-100")));
    EXPECT_EQ(state("0-1-99").first_missing(state("0-1-99,3-1-1"))->text(), "3-1-1");
}

TEST(Gtid, the_newest_per_domain_keeps_both_of_two_histories_that_went_apart) {
    EXPECT_EQ(state("0-1-100,0-2-150,1-1-7").newest_per_domain().text(), "0-2-150,1-1-7");
    EXPECT_EQ(state("0-1-100,0-2-100").newest_per_domain().text(), "0-1-100,0-2-100");
}

}  // namespace
}  // namespace signalbox::clusters
