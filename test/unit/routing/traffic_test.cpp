// Where writer traffic may go, as a plane is told.

#include "domain/routing/traffic.hpp"

#include <gtest/gtest.h>

namespace signalbox::routing {
namespace {

using State = WriterTraffic::State;
const base::HostPort first{"10.0.0.1", 3306};
const base::HostPort second{"10.0.0.2", 3306};

TEST(WriterTraffic, a_hold_matters_only_to_what_is_routed) {
    WriterTraffic traffic;
    EXPECT_TRUE(traffic.hold(1));
    EXPECT_EQ(traffic.state(), State::Unknown);
    EXPECT_TRUE(traffic.fence(1));
    EXPECT_TRUE(traffic.hold(1));
    EXPECT_EQ(traffic.state(), State::Fenced);
    EXPECT_TRUE(traffic.route(1, "a", first));
    EXPECT_TRUE(traffic.hold(1));
    EXPECT_EQ(traffic.state(), State::Held);
    EXPECT_EQ(traffic.member(), "a");
}

TEST(WriterTraffic, a_fence_remembers_the_former_until_the_next_route) {
    WriterTraffic traffic;
    traffic.fence(1);
    EXPECT_FALSE(traffic.fenced());
    traffic.route(1, "a", first);
    traffic.hold(1);
    traffic.fence(2);
    EXPECT_EQ(traffic.fenced(), first);
    traffic.fence(3);
    EXPECT_EQ(traffic.fenced(), first) << "a failover within the failover";
    traffic.route(3, "b", second);
    EXPECT_FALSE(traffic.fenced());
    EXPECT_EQ(traffic.address(), second);
}

TEST(WriterTraffic, an_older_epoch_changes_nothing) {
    WriterTraffic traffic;
    traffic.route(5, "a", first);
    EXPECT_FALSE(traffic.fence(4));
    EXPECT_FALSE(traffic.hold(4));
    EXPECT_FALSE(traffic.route(4, "b", second));
    EXPECT_EQ(traffic.state(), State::Routed);
    EXPECT_EQ(traffic.epoch(), 5U);
    EXPECT_EQ(traffic.address(), first);
    EXPECT_TRUE(traffic.fence(5)) << "the same epoch is not older";
}

}  // namespace
}  // namespace signalbox::routing
