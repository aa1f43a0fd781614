#include "adapters/process/lab_launcher.hpp"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <unistd.h>

#include "adapters/http/server.hpp"
#include "adapters/netfacts/lab_facts.hpp"
#include "adapters/process/supervisor_files.hpp"

namespace signalbox::process {
namespace {

using namespace std::chrono_literals;
using Kind = jobs::LaunchResult::Kind;
using testing::HasSubstr;
using testing::SizeIs;

// A provider that answers what the test says: for faults that the lab does not have.
class Provider : public testing::Test {
  protected:
    Provider() : folder_("/tmp/signalbox-launcher-test-" + std::to_string(::getpid())) {
        std::filesystem::create_directories(folder_);
        http::ServerOptions options;
        options.listen = "unix:" + socket();
        auto server = http::Server::start(options, [this](const http::Request&) { return answer_; });
        EXPECT_TRUE(server) << (server ? "" : server.error().text());
        if (server) server_ = std::move(*server);
    }
    ~Provider() override {
        server_.reset();
        std::filesystem::remove_all(folder_);
    }
    std::string socket() const { return folder_ + "/api.sock"; }

    void refuse(base::ErrorKind kind) { answer_ = http::error_response(base::Error{kind, "no", {}, 0}); }
    void reply(const char* body) { answer_ = http::Response{200, "application/json", body}; }
    LabLauncher launcher() const { return LabLauncher(socket(), "/usr/bin/signalbox"); }
    Kind launch() const {
        ports::NodeLaunch node;
        node.token = "jr_x-0";
        node.command = {"/bin/true"};
        return launcher().launch(node).kind;
    }
    jobs::Run run() const {
        jobs::Run run;
        run.id = "jr_x";
        run.directory = folder_;
        run.nodes.resize(1);
        run.nodes[0].token = "jr_x-0";
        run.nodes[0].stage = jobs::NodeStage::Started;
        return run;
    }

    std::string folder_;
    http::Response answer_;
    std::unique_ptr<http::Server> server_;
};

TEST_F(Provider, an_answer_that_does_not_say_what_happened_is_unknown_never_refused) {
    for (const auto kind : {base::ErrorKind::Internal, base::ErrorKind::UnknownOutcome}) {
        refuse(kind);
        EXPECT_EQ(launch(), Kind::Unknown) << base::to_string(kind);
    }
    reply("{\"id\": 7}");
    EXPECT_EQ(launch(), Kind::Unknown);
    reply("not JSON");
    EXPECT_EQ(launch(), Kind::Unknown);
}

TEST_F(Provider, a_full_subnet_is_refused_and_a_missing_one_is_invalid) {
    refuse(base::ErrorKind::Unavailable);
    EXPECT_EQ(launch(), Kind::Refused);
    refuse(base::ErrorKind::NotFound);
    EXPECT_EQ(launch(), Kind::Invalid);
}

TEST_F(Provider, nobody_listening_is_refused_since_nothing_was_sent) {
    server_.reset();
    EXPECT_EQ(launch(), Kind::Refused);
}

TEST_F(Provider, the_supervisors_record_says_more_than_the_providers_exit_code) {
    reply(
        "{\"items\": [{\"id\": \"p1\", \"token\": \"jr_x-0\", \"state\": \"exited\", \"exit_code\": 143, \"signal\": "
        "null}]}");
    auto processes = launcher().list(run());
    ASSERT_TRUE(processes) << processes.error().text();
    ASSERT_THAT(*processes, SizeIs(1));
    EXPECT_EQ(processes->front().exit->how, jobs::ExitHow::Exited);
    ASSERT_TRUE(write_status(folder_, 0, {"jr_x-0", {jobs::ExitHow::TimedOut, 0, 15}, {}, {}}));
    EXPECT_EQ(launcher().list(run())->front().exit->how, jobs::ExitHow::TimedOut);
    ASSERT_TRUE(write_status(folder_, 0, {"other-0", {jobs::ExitHow::TimedOut, 0, 15}, {}, {}}));
    EXPECT_EQ(launcher().list(run())->front().exit->how, jobs::ExitHow::Exited) << "another run's record";
}

TEST_F(Provider, with_the_provider_away_only_all_records_together_are_an_answer) {
    server_.reset();
    EXPECT_FALSE(launcher().list(run()));
    ASSERT_TRUE(write_status(folder_, 0, {"jr_x-0", {jobs::ExitHow::Exited, 0, 0}, {}, {}}));
    const auto processes = launcher().list(run());
    ASSERT_TRUE(processes);
    EXPECT_FALSE(processes->front().running);
    jobs::Run two = run();
    two.nodes.push_back(two.nodes[0]);
    two.nodes[1].rank = 1;
    EXPECT_FALSE(launcher().list(two));
}

TEST_F(Provider, a_damaged_record_is_no_exit_status) {
    for (const char* text : {"", "{", "[]", "{\"state\": \"exited\"}", "{\"token\": \"t\", \"state\": \"odd\"}"}) {
        std::ofstream(status_path(folder_, 0)) << text;
        EXPECT_FALSE(read_status(folder_, 0)) << text;
    }
    EXPECT_THAT(read_status(folder_, 0).error().text(), HasSubstr("rank-0.status"));
    EXPECT_FALSE(read_status(folder_, 1).value()) << "none was written";
}

TEST_F(Provider, facts_with_holes_are_refused_with_the_call_and_the_field) {
    netfacts::LabFacts facts(socket());
    reply("{\"items\": [{\"id\": \"a\"}]}");
    const auto result = facts.read({}, 5s);
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().text(), HasSubstr("/v1/zones: item 1 ('a'): 'state'"));
    reply("{}");
    EXPECT_THAT(facts.read({}, 5s).error().text(), HasSubstr("'items'"));
}

}  // namespace
}  // namespace signalbox::process
