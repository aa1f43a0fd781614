#include "adapters/process/promote_hook.hpp"

#include <future>
#include <gmock/gmock.h>

namespace signalbox::process {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

base::Result<std::string> run(const std::string& script, base::Duration deadline = 10s) {
    return run_hook({{"/bin/sh", "-c", script}, {{"SIGNALBOX_TO", "b"}}, deadline}, [] { return false; });
}

TEST(PromoteHookTest, what_it_printed_is_its_answer_and_it_knows_the_target) {
    const auto said = run("echo promoted $SIGNALBOX_TO; echo done");
    ASSERT_TRUE(said) << said.error().text();
    EXPECT_EQ(*said, "promoted b done");
}

TEST(PromoteHookTest, another_status_is_an_unknown_outcome_with_its_last_words) {
    const auto said = run("echo no such member >&2; exit 7");
    ASSERT_FALSE(said);
    EXPECT_EQ(said.error().kind, base::ErrorKind::UnknownOutcome);
    EXPECT_THAT(said.error().text(), HasSubstr("it ended with status 7; it said: no such member"));
}

TEST(PromoteHookTest, what_cannot_be_started_has_done_nothing) {
    const auto said = run_hook({{"/nonexistent/promote"}, {}, 1s}, [] { return false; });
    ASSERT_FALSE(said);
    EXPECT_EQ(said.error().kind, base::ErrorKind::NotFound);
}

TEST(PromoteHookTest, at_the_deadline_it_ends_with_its_children) {
    const auto began = std::chrono::steady_clock::now();
    const auto said = run("trap '' TERM; sleep 60 & wait; sleep 60", 200ms);
    ASSERT_FALSE(said);
    EXPECT_THAT(said.error().text(), HasSubstr("it did not end within 200ms"));
    EXPECT_LT(std::chrono::steady_clock::now() - began, 20s);
}

TEST(PromoteHookTest, only_the_end_of_long_output_is_kept) {
    const auto said = run("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
    ASSERT_TRUE(said) << said.error().text();
    EXPECT_LE(said->size(), 1000U);
    EXPECT_THAT(*said, testing::EndsWith("line 19999"));
}

TEST(PromoteHookTest, the_port_tells_how_it_ended) {
    std::promise<ports::PromoteDone> told;
    PromoteHook hook([&](ports::PromoteDone done) { told.set_value(std::move(done)); });
    clusters::ClusterConfig cluster;
    cluster.name = "orders";
    cluster.switchover.hook = {"/bin/sh", "-c", "echo $SIGNALBOX_CLUSTER $SIGNALBOX_FROM $SIGNALBOX_TO_ADDRESS"};
    hook.configure(cluster);
    hook.promote("orders", 4, "a", "b", {"10.0.0.2", 3306}, 10s);
    auto answer = told.get_future();
    ASSERT_EQ(answer.wait_for(20s), std::future_status::ready);
    const auto done = answer.get();
    EXPECT_TRUE(done.ok);
    EXPECT_EQ(done.epoch, 4U);
    EXPECT_EQ(done.text, "orders a 10.0.0.2:3306");
}

}  // namespace
}  // namespace signalbox::process
