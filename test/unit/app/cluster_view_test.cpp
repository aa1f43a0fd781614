#include "app/cluster_view.hpp"

#include <gmock/gmock.h>

namespace signalbox::app {
namespace {

namespace json = base::json;
using testing::HasSubstr;
using testing::Not;

json::array clusters(bool held) {
    return json::parse(held ? R"([{"name": "orders", "state": "no-writer", "epoch": 4, "writer": "", "held": true,
        "hold_since": "2026-01-02T03:04:05Z", "position": "0-1-7", "members": [], "alarms":
        [{"kind": "no-writer", "text": "nobody can be proven", "since": "2026-01-02T03:04:06Z"}], "failovers": []}])"
                            : R"([{"name": "orders", "state": "following", "epoch": 4, "writer": "b", "held": false,
        "hold_since": null, "position": "0-1-7", "alarms": [],
        "members": [{"name": "b", "address": "10.0.0.2:3306", "role": "writer", "answers": true, "last_answer_ms": 12.4,
            "probe_rtt_ms": 0.61, "lag_ms": null, "version": "10.11", "history": "0-1-7", "failure": null, "sources": [],
            "checks": [{"check": "answers", "passed": true, "text": "answers"}]},
          {"name": "a", "address": "10.0.0.1:3306", "role": "unknown", "answers": false, "last_answer_ms": 912.0,
            "probe_rtt_ms": null, "lag_ms": null, "version": "10.11", "history": "0-1-6", "failure": {"kind": "timed out", "code": 0, "text": "no answer"},
            "sources": [{"address": "10.0.0.2:3306", "io_running": false}],
            "checks": [{"check": "answers", "passed": false, "text": "does not answer: timed out"}]}],
        "failovers": [{"detected_at": "2026-01-02T03:04:05Z", "from": "a", "to": "b", "routed_ms": 41.25}]}])")
        .as_array();
}

TEST(ClusterViewTest, explain_names_every_check_and_the_age_of_what_it_rests_on) {
    const std::string text = explain_text(clusters(false).at(0).as_object());
    EXPECT_THAT(text, HasSubstr("traffic goes to b: it alone passes every check"));
    EXPECT_THAT(text, HasSubstr("last whole answer 12.4 ms ago, it took 0.6 ms"));
    EXPECT_THAT(text, HasSubstr("[NO]  answers: does not answer: timed out"));
    EXPECT_THAT(text, HasSubstr("replicates from 10.0.0.2:3306 (does not receive now)"));
}

TEST(ClusterViewTest, what_is_held_is_not_called_routed) {
    EXPECT_FALSE(is_routed(clusters(true).at(0).as_object()));
    EXPECT_TRUE(is_routed(clusters(false).at(0).as_object()));
    EXPECT_THAT(explain_text(clusters(true).at(0).as_object()),
                HasSubstr("traffic is held since 2026-01-02T03:04:05Z"));
    EXPECT_EQ(watch_line(clusters(true)), "orders no-writer epoch 4 held [no-writer]");
    EXPECT_EQ(watch_line(clusters(false)), "orders following epoch 4 -> b");
}

TEST(ClusterViewTest, a_screen_fits_its_width_and_has_no_colours_unless_asked) {
    const std::string text = watch_text(clusters(false), {}, "2026-01-02T03:04:05Z", 50, false);
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
    EXPECT_THAT(text, HasSubstr("traffic goes to b"));
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
        EXPECT_LE(end - begin, 50U) << text.substr(begin, end - begin);
        begin = end + 1;
    }
    EXPECT_THAT(watch_text(clusters(true), {}, "now", 80, true), HasSubstr("\x1b[1;31m"));
}

TEST(ClusterViewTest, failovers_are_shown_with_their_phases) {
    const auto entries =
        json::parse(R"([{"sequence": 9, "data": {"epoch": 4, "kind": "switchover", "from": "a", "to": "b",
        "detected_at": "2026-01-02T03:04:05Z", "intent_ms": 1.26, "fenced_ms": 2.5, "active_ms": 30, "routed_ms": 31,
        "sessions_closed": 12, "sessions_killed": 3, "fence": "complete"}}, {"data": 7}])");
    const std::string text = failovers_text(entries.as_array());
    EXPECT_THAT(text, HasSubstr("switchover"));
    EXPECT_THAT(text, HasSubstr("1.3"));
    EXPECT_THAT(text, HasSubstr("complete"));
}

}  // namespace
}  // namespace signalbox::app
