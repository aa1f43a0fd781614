#pragma once
// The conformance suite of ports::RunLauncher: what every adapter must do. An adapter's test gives a world with
//   std::unique_ptr<ports::RunLauncher> launcher();  // a new one, as after a crash, with all that is there
//   std::string folder();                            // an empty folder that the nodes can write
//   void place(ports::NodeLaunch&);                  // names a subnet and security groups that exist
//   void kill_supervisor(const jobs::NodeProcess&, const ports::NodeLaunch&);  // SIGKILL, behind the launcher's back
// and instantiates it: INSTANTIATE_TYPED_TEST_SUITE_P(Host, LauncherSuite, HostWorld);

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <sstream>
#include <thread>
#include <unistd.h>

#include "adapters/process/host_process.hpp"
#include "adapters/process/supervisor_files.hpp"
#include "ports/run_launcher.hpp"

namespace signalbox::test {

using namespace std::chrono_literals;

inline std::string content_of(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

template <typename World>
class LauncherSuite : public testing::Test {
  protected:
    using Kind = jobs::LaunchResult::Kind;
    using Processes = std::vector<jobs::NodeProcess>;
    static constexpr auto soon = 20s;

    LauncherSuite() {
        static int count = 0;
        run_.id = fmt::format("jr_{:08x}{:08x}", ::getpid(), ++count);
        run_.directory = folder_;
    }
    ~LauncherSuite() override {
        for (const jobs::Node& node : run_.nodes) {
            if (!node.process.empty()) (void)launcher_->stop({node.process}, 0ms);
        }
    }

    // The run's next node.
    ports::NodeLaunch node(const std::string& script) {
        jobs::Node node;
        node.rank = static_cast<int>(run_.nodes.size());
        node.token = fmt::format("{}-{}", run_.id, node.rank);
        node.stage = jobs::NodeStage::Intended;
        run_.nodes.push_back(node);
        ports::NodeLaunch launch;
        launch.token = node.token;
        launch.name = fmt::format("suite-{}", node.rank);
        launch.rank = node.rank;
        launch.command = {"/bin/sh", "-c", script};
        launch.directory = folder_;
        launch.run_directory = folder_;
        world_.place(launch);
        return launch;
    }
    jobs::NodeProcess start(const ports::NodeLaunch& launch) {
        auto result = launcher_->launch(launch);
        EXPECT_EQ(result.kind, Kind::Started) << result.text;
        jobs::Node& node = run_.nodes.at(static_cast<std::size_t>(launch.rank));
        node.stage = jobs::NodeStage::Started;
        node.process = result.process.id;
        return result.process;
    }
    Processes list() {
        auto found = launcher_->list(run_);
        EXPECT_TRUE(found) << found.error().text();
        return found ? *found : Processes();
    }
    // The node once it has ended.
    jobs::NodeProcess ended(int rank = 0) {
        const std::string& token = run_.nodes.at(static_cast<std::size_t>(rank)).token;
        jobs::NodeProcess last;
        const bool done = until([&] {
            for (const auto& process : list())
                if (process.token == token) last = process;
            return last.token == token && !last.running;
        });
        EXPECT_TRUE(done) << token << " did not end";
        return last;
    }
    jobs::Exit exit_of(const jobs::NodeProcess& process) {
        EXPECT_TRUE(process.exit);
        return process.exit.value_or(jobs::Exit{});
    }
    template <typename Condition>
    static bool until(Condition condition) {
        const auto end = std::chrono::steady_clock::now() + soon;
        while (!condition()) {
            if (std::chrono::steady_clock::now() > end) return false;
            std::this_thread::sleep_for(10ms);
        }
        return true;
    }
    std::string log(int rank = 0) const { return content_of(process::log_path(folder_, rank)); }
    bool wrote(const std::string& file) const { return std::filesystem::exists(folder_ + "/" + file); }
    // Processes whose command line holds the word, wherever they run.
    static int living(const std::string& word) {
        int count = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
            const std::string name = entry.path().filename().string();
            if (name.find_first_not_of("0123456789") != std::string::npos) continue;
            const std::string command = content_of(entry.path().string() + "/cmdline");
            const bool own = std::stoi(name) == ::getpid();
            if (!own && command.find(word) != std::string::npos && process::identify(std::stoi(name))) ++count;
        }
        return count;
    }

    World world_;
    std::string folder_ = world_.folder();
    std::unique_ptr<ports::RunLauncher> launcher_ = world_.launcher();
    jobs::Run run_;
};

TYPED_TEST_SUITE_P(LauncherSuite);

TYPED_TEST_P(LauncherSuite, a_node_is_listed_as_running_and_then_as_ended_with_its_exit_code) {
    const auto started = this->start(this->node("while [ ! -e go ]; do sleep 0.02; done; exit 7"));
    EXPECT_TRUE(started.running);
    EXPECT_FALSE(started.id.empty());
    EXPECT_FALSE(started.address.empty());
    const auto running = this->list();
    ASSERT_EQ(running.size(), 1U);
    EXPECT_EQ(running[0].id, started.id);
    EXPECT_TRUE(running[0].running);
    EXPECT_TRUE(running[0].started_at);
    std::ofstream(this->folder_ + "/go") << "";
    const auto ended = this->ended();
    EXPECT_EQ(ended.id, started.id);
    EXPECT_EQ(ended.address, started.address);
    EXPECT_EQ(this->exit_of(ended), (jobs::Exit{jobs::ExitHow::Exited, 7, 0}));
    ASSERT_TRUE(ended.ended_at && ended.started_at);
    EXPECT_LE(*ended.started_at, *ended.ended_at);
}

TYPED_TEST_P(LauncherSuite, a_token_starts_once_however_often_and_from_wherever_it_is_launched) {
    const auto launch = this->node("echo started >> starts; while [ ! -e go ]; do sleep 0.02; done");
    std::vector<std::thread> threads;
    std::vector<jobs::LaunchResult> results(4);
    for (auto& result : results)
        threads.emplace_back([&, other = std::shared_ptr<ports::RunLauncher>(this->world_.launcher())] {
            result = other->launch(launch);
        });
    for (auto& thread : threads) thread.join();
    const auto again = this->start(launch);
    for (const auto& result : results) {
        ASSERT_EQ(result.kind, jobs::LaunchResult::Kind::Started) << result.text;
        EXPECT_EQ(result.process.id, again.id);
    }
    std::ofstream(this->folder_ + "/go") << "";
    this->ended();
    const auto after = this->launcher_->launch(launch);
    ASSERT_EQ(after.kind, jobs::LaunchResult::Kind::Started) << after.text;
    EXPECT_FALSE(after.process.running);
    EXPECT_EQ(content_of(this->folder_ + "/starts"), "started\n");
}

TYPED_TEST_P(LauncherSuite, another_launcher_knows_as_much_and_nodes_of_others_are_left_out) {
    this->start(this->node("exec sleep 60"));
    this->start(this->node("exit 3"));
    this->ended(1);
    this->launcher_ = this->world_.launcher();
    const auto listed = this->list();
    ASSERT_EQ(listed.size(), 2U);
    const auto all = this->launcher_->list_all();
    ASSERT_TRUE(all) << all.error().text();
    EXPECT_TRUE(std::any_of(all->begin(), all->end(), [&](const auto& process) {
        return process.token == this->run_.nodes[0].token && process.running;
    }));
    EXPECT_FALSE(std::any_of(all->begin(), all->end(), [&](const auto& process) {
        return process.token == this->run_.nodes[1].token && process.running;
    }));
    jobs::Run other = this->run_;
    for (auto& node : other.nodes) node.token = "jr_other-" + std::to_string(node.rank);
    const auto nothing = this->launcher_->list(other);
    ASSERT_TRUE(nothing) << nothing.error().text();
    EXPECT_TRUE(nothing->empty());
}

TYPED_TEST_P(LauncherSuite, a_stop_lets_the_command_end_by_itself_within_the_grace) {
    const auto process =
        this->start(this->node("trap 'echo bye; exit 5' TERM; touch ready; while :; do sleep 0.05; done"));
    ASSERT_TRUE(this->until([&] { return this->wrote("ready"); }));
    const auto status = this->launcher_->stop({process.id}, 5s);
    ASSERT_TRUE(status) << status.error().text();
    const auto listed = this->list();
    ASSERT_EQ(listed.size(), 1U);
    EXPECT_FALSE(listed[0].running);
    EXPECT_EQ(this->exit_of(listed[0]), (jobs::Exit{jobs::ExitHow::Stopped, 5, 0}));
    EXPECT_THAT(this->log(), testing::HasSubstr("bye"));
}

TYPED_TEST_P(LauncherSuite, a_stop_kills_what_ignores_it_with_all_its_offspring) {
    const std::string mark = "4711" + std::to_string(::getpid());
    const auto process = this->start(this->node("trap '' TERM; setsid sleep " + mark + " & (setsid sh -c 'sleep " +
                                                mark + "; :' &); touch ready; while :; do sleep 0.05; done"));
    ASSERT_TRUE(this->until([&] { return this->wrote("ready") && this->living(mark) >= 3; }));
    const auto begin = std::chrono::steady_clock::now();
    const auto status = this->launcher_->stop({process.id}, 300ms);
    ASSERT_TRUE(status) << status.error().text();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    EXPECT_EQ(this->living(mark), 0);
    const auto listed = this->list();
    ASSERT_EQ(listed.size(), 1U);
    EXPECT_FALSE(listed[0].running);
}

TYPED_TEST_P(LauncherSuite, several_nodes_are_stopped_at_once) {
    std::vector<std::string> ids;
    for (int i = 0; i < 3; ++i)
        ids.push_back(this->start(this->node("trap 'sleep 1.5; exit 0' TERM; while :; do sleep 0.05; done")).id);
    std::this_thread::sleep_for(200ms);
    const auto begin = std::chrono::steady_clock::now();
    const auto status = this->launcher_->stop(ids, 4s);
    ASSERT_TRUE(status) << status.error().text();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s) << "one after the other takes 4.5 s";
    for (const auto& process : this->list()) EXPECT_FALSE(process.running);
}

TYPED_TEST_P(LauncherSuite, stopping_what_has_ended_or_nobody_knows_is_no_error) {
    const auto process = this->start(this->node("exit 0"));
    this->ended();
    for (const auto& id : {process.id, process.id + "99", std::string("p-nobody"), std::string("/nowhere/rank-0")}) {
        const auto status = this->launcher_->stop({id}, 100ms);
        EXPECT_TRUE(status) << id << ": " << status.error().text();
    }
    EXPECT_EQ(this->exit_of(this->ended()), (jobs::Exit{jobs::ExitHow::Exited, 0, 0}));
}

TYPED_TEST_P(LauncherSuite, a_killed_supervisor_is_no_success_and_nothing_of_the_node_is_left) {
    const std::string mark = "4712" + std::to_string(::getpid());
    const auto launch = this->node("setsid sleep " + mark + " & touch ready; sleep " + mark + "; exit 0");
    const auto process = this->start(launch);
    ASSERT_TRUE(this->until([&] { return this->wrote("ready") && this->living(mark) >= 2; }));
    this->world_.kill_supervisor(process, launch);
    const auto ended = this->ended();
    const auto exit = this->exit_of(ended);
    EXPECT_TRUE(exit.how == jobs::ExitHow::Lost || (exit.how == jobs::ExitHow::Signaled && exit.signal == SIGKILL))
        << exit.text();
    EXPECT_TRUE(this->until([&] { return this->living(mark) == 0; })) << this->living(mark);
    const auto again = this->launcher_->launch(launch);
    EXPECT_FALSE(again.kind == jobs::LaunchResult::Kind::Started && again.process.running) << "it started twice";
}

TYPED_TEST_P(LauncherSuite, what_a_command_leaves_behind_ends_with_it) {
    const std::string mark = "4713" + std::to_string(::getpid());
    this->start(this->node("setsid sleep " + mark + " & setsid env -i sleep " + mark + " & sleep 0.2; exit 0"));
    EXPECT_EQ(this->exit_of(this->ended()), (jobs::Exit{jobs::ExitHow::Exited, 0, 0}));
    EXPECT_EQ(this->living(mark), 0);
}

TYPED_TEST_P(LauncherSuite, a_command_that_cannot_be_executed_is_told_from_one_that_fails) {
    auto launch = this->node("");
    launch.command = {"/nonexistent/program", "argument"};
    this->start(launch);
    EXPECT_EQ(this->exit_of(this->ended()).how, jobs::ExitHow::Unstartable);
    EXPECT_THAT(this->log(), testing::HasSubstr("cannot execute '/nonexistent/program'"));
    this->start(this->node("kill -9 $$"));
    EXPECT_EQ(this->exit_of(this->ended(1)), (jobs::Exit{jobs::ExitHow::Signaled, 0, SIGKILL}));
    this->start(this->node("exit 126"));
    EXPECT_EQ(this->exit_of(this->ended(2)), (jobs::Exit{jobs::ExitHow::Exited, 126, 0}));
}

TYPED_TEST_P(LauncherSuite, a_time_out_ends_the_command) {
    auto launch = this->node("exec sleep 60");
    launch.timeout = 300ms;
    this->start(launch);
    EXPECT_EQ(this->exit_of(this->ended()).how, jobs::ExitHow::TimedOut);
}

TYPED_TEST_P(LauncherSuite, words_and_variables_arrive_as_they_are_and_output_is_kept_in_its_order) {
    auto launch = this->node("");
    const std::string odd = "a b\t'c' \"d\" $(touch oops) `touch oops` \\ ; touch oops\n--é*";
    launch.command = {"/bin/sh", "-c",    "echo out; echo err >&2; printf '<%s>' \"$@\" \"$ODD\"; pwd",
                      "name",    odd,     "",
                      "--",      "[a,b]", "[]"};
    launch.environment = {{"ODD", odd}, {"SIGNALBOX_RANK", "0"}};
    this->start(launch);
    EXPECT_EQ(this->exit_of(this->ended()).code, 0);
    EXPECT_EQ(this->log(), "out\nerr\n<" + odd + "><><--><[a,b]><[]><" + odd + ">" + this->folder_ + "\n");
    EXPECT_FALSE(this->wrote("oops"));
}

TYPED_TEST_P(LauncherSuite, a_node_gets_the_configured_environment_and_nothing_of_the_launchers_own) {
    ::setenv("LAUNCHERS_OWN_SECRET", "hunter2", 1);
    auto launch = this->node("env; ls /proc/self/fd | tr '\\n' ' '");
    launch.environment = {{"COLOUR", "blue"}};
    const auto process = this->start(launch);
    this->ended();
    ::unsetenv("LAUNCHERS_OWN_SECRET");
    const std::string log = this->log();
    EXPECT_THAT(log, testing::Not(testing::HasSubstr("hunter2")));
    EXPECT_THAT(log, testing::HasSubstr("COLOUR=blue\n"));
    EXPECT_THAT(log, testing::HasSubstr("PATH=/"));
    EXPECT_THAT(log, testing::HasSubstr("SIGNALBOX_NODE_ADDRESS=" + process.address + "\n"));
    EXPECT_THAT(log, testing::HasSubstr("SIGNALBOX_DRIVER_ADDRESS=" + process.address + "\n"));
    EXPECT_THAT(log, testing::EndsWith("0 1 2 3 ")) << "3 is the listed folder itself";
}

TYPED_TEST_P(LauncherSuite, what_can_never_start_is_invalid_and_leaves_no_trace) {
    auto launch = this->node("");
    launch.command.clear();
    EXPECT_EQ(this->launcher_->launch(launch).kind, jobs::LaunchResult::Kind::Invalid);
    EXPECT_TRUE(this->list().empty());
}

TYPED_TEST_P(LauncherSuite, a_launch_that_was_not_done_can_be_done_later) {
    auto launch = this->node("exit 0");
    launch.directory = this->folder_ + "/later";
    const auto refused = this->launcher_->launch(launch);
    EXPECT_NE(refused.kind, jobs::LaunchResult::Kind::Started);
    EXPECT_NE(refused.kind, jobs::LaunchResult::Kind::Unknown);
    EXPECT_FALSE(refused.text.empty());
    EXPECT_TRUE(this->list().empty());
    std::filesystem::create_directory(launch.directory);
    this->start(launch);
    EXPECT_EQ(this->exit_of(this->ended()).code, 0);
}

REGISTER_TYPED_TEST_SUITE_P(LauncherSuite, a_node_is_listed_as_running_and_then_as_ended_with_its_exit_code,
                            a_token_starts_once_however_often_and_from_wherever_it_is_launched,
                            another_launcher_knows_as_much_and_nodes_of_others_are_left_out,
                            a_stop_lets_the_command_end_by_itself_within_the_grace,
                            a_stop_kills_what_ignores_it_with_all_its_offspring, several_nodes_are_stopped_at_once,
                            stopping_what_has_ended_or_nobody_knows_is_no_error,
                            a_killed_supervisor_is_no_success_and_nothing_of_the_node_is_left,
                            what_a_command_leaves_behind_ends_with_it,
                            a_command_that_cannot_be_executed_is_told_from_one_that_fails, a_time_out_ends_the_command,
                            words_and_variables_arrive_as_they_are_and_output_is_kept_in_its_order,
                            a_node_gets_the_configured_environment_and_nothing_of_the_launchers_own,
                            what_can_never_start_is_invalid_and_leaves_no_trace,
                            a_launch_that_was_not_done_can_be_done_later);

}  // namespace signalbox::test
