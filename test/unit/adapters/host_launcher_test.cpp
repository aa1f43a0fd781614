#include "adapters/process/host_launcher.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <thread>

#include "adapters/netfacts/host_facts.hpp"
#include "adapters/process/host_spawn.hpp"
#include "adapters/process/node_command.hpp"
#include "domain/network/check.hpp"
#include "test/unit/adapters/launcher_suite.hpp"

namespace signalbox::test {
namespace {

using namespace process;
using namespace std::chrono_literals;
using testing::HasSubstr;
using Kind = jobs::LaunchResult::Kind;

class HostWorld {
  public:
    HostWorld() {
        std::string pattern = "/tmp/signalbox-host-XXXXXX";
        root_ = ::mkdtemp(pattern.data());
        std::filesystem::create_directories(folder());
    }
    ~HostWorld() { std::filesystem::remove_all(root_); }
    std::unique_ptr<ports::RunLauncher> launcher() const {
        return std::make_unique<HostLauncher>(HostLauncherOptions{SIGNALBOX_PROGRAM, root_});
    }
    std::string root() const { return root_; }
    std::string folder() const { return root_ + "/run"; }
    static void place(ports::NodeLaunch& launch) {
        launch.subnet = "host";
        launch.security_groups = {"default"};
    }
    static void kill_supervisor(const jobs::NodeProcess&, const ports::NodeLaunch& launch) {
        const auto record = read_pid(launch.run_directory, launch.rank);
        ASSERT_TRUE(record && *record);
        ::kill((*record)->identity.pid, SIGKILL);
    }

  private:
    std::string root_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Host, LauncherSuite, HostWorld);

class Host : public LauncherSuite<HostWorld> {
  protected:
    PidRecord record(int rank = 0) const {
        const auto found = read_pid(folder_, rank);
        EXPECT_TRUE(found && *found);
        return found && *found ? **found : PidRecord{};
    }
    HostLauncher with_program(const std::string& program) const {
        return HostLauncher(HostLauncherOptions{program, world_.root()});
    }
};

TEST_F(Host, a_node_is_a_session_of_its_own_and_no_child_or_zombie_of_ours) {
    start(node("exec sleep 60"));
    const pid_t supervisor = record().identity.pid;
    EXPECT_EQ(::getsid(supervisor), supervisor);
    EXPECT_NE(::getpgid(supervisor), ::getpgid(0));
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was left to be waited for";
    EXPECT_EQ(errno, ECHILD);
    EXPECT_EQ(content_of("/proc/" + std::to_string(supervisor) + "/stat").find(" (signalbox) "),
              std::to_string(supervisor).size());
}

TEST_F(Host, a_node_outlives_the_process_that_launched_it) {
    const auto launch = node("while [ ! -e go ]; do sleep 0.02; done; exit 4");
    const pid_t caller = ::fork();
    if (caller == 0) {
        (void)launcher_->launch(launch);
        ::kill(::getpid(), SIGKILL);
    }
    ::waitpid(caller, nullptr, 0);
    ASSERT_EQ(list().size(), 1U);
    EXPECT_TRUE(list()[0].running);
    std::ofstream(folder_ + "/go") << "";
    EXPECT_EQ(exit_of(ended()).code, 4);
}

TEST_F(Host, a_supervisor_refuses_a_second_start_by_itself) {
    const auto launch = node("echo started >> starts");
    const auto supervise = [&] {
        return spawn_detached({supervised(SIGNALBOX_PROGRAM, launch, {"--detach"}), {"PATH=/usr/bin:/bin"}, folder_},
                              10s);
    };
    EXPECT_EQ(supervise().kind, SpawnResult::Kind::Detached);
    ended();
    const auto again = supervise();
    EXPECT_EQ(again.kind, SpawnResult::Kind::Refused);
    EXPECT_THAT(again.text, HasSubstr("not started twice"));
    EXPECT_EQ(content_of(folder_ + "/starts"), "started\n");
}

TEST_F(Host, a_stop_kills_the_command_at_the_grace_and_its_end_is_still_noted) {
    const auto process = start(node("trap '' TERM; touch ready; while :; do sleep 0.05; done"));
    ASSERT_TRUE(until([&] { return wrote("ready"); }));
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(launcher_->stop({process.id}, 300ms));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s) << "the supervisor's own patience is 3 s";
    EXPECT_EQ(exit_of(ended()), (jobs::Exit{jobs::ExitHow::Stopped, 0, SIGKILL}));
}

TEST_F(Host, a_reused_pid_is_never_stopped) {
    const auto process = start(node("exec sleep 60"));
    PidRecord forged = record();
    const pid_t real = forged.identity.pid;
    // The kernel tells start times in ticks of 10 ms: in the same one the forged record would be the bystander's own.
    std::this_thread::sleep_for(20ms);
    const pid_t bystander = ::fork();
    if (bystander == 0) {
        ::pause();
        ::_exit(0);
    }
    forged.identity.pid = bystander;
    ASSERT_TRUE(write_pid(folder_, 0, forged));
    EXPECT_TRUE(launcher_->stop({process.id}, 200ms));
    EXPECT_EQ(::waitpid(bystander, nullptr, WNOHANG), 0) << "the bystander was killed";
    EXPECT_FALSE(identify(real)) << "the node itself was found by its token and ended";
    // The same with a supervisor that is gone.
    EXPECT_TRUE(launcher_->stop({process.id}, 200ms));
    EXPECT_EQ(::waitpid(bystander, nullptr, WNOHANG), 0) << "the bystander was killed";
    ::kill(bystander, SIGKILL);
    ::waitpid(bystander, nullptr, 0);
}

TEST_F(Host, a_pid_of_an_earlier_boot_or_another_start_is_no_process) {
    auto identity = identify(::getpid()).value();
    EXPECT_TRUE(ProcessHandle::open(identity));
    identity.start_ticks += 1;
    EXPECT_FALSE(ProcessHandle::open(identity));
    identity.start_ticks -= 1;
    identity.boot = "another";
    EXPECT_FALSE(ProcessHandle::open(identity));
}

TEST_F(Host, files_that_are_not_understood_leave_it_unknown) {
    start(node("exit 0"));
    ended();
    std::ofstream(status_path(folder_, 0)) << "{";
    EXPECT_FALSE(launcher_->list(run_));
    auto launch = node("exit 0");
    launch.rank = 0;
    launch.token = run_.nodes[0].token;
    EXPECT_EQ(launcher_->launch(launch).kind, Kind::Unknown);
}

TEST_F(Host, a_damaged_pid_file_hides_no_running_node) {
    const auto process = start(node("exec sleep 60"));
    std::ofstream(pid_path(folder_, 0)) << "?";
    ASSERT_EQ(list().size(), 1U);
    EXPECT_TRUE(list()[0].running);
    EXPECT_TRUE(launcher_->stop({process.id}, 1s));
    EXPECT_FALSE(ended().running);
}

TEST_F(Host, a_folder_that_was_removed_is_unknown_while_its_processes_run) {
    start(node("exec sleep 60"));
    const pid_t supervisor = record().identity.pid;
    std::filesystem::rename(folder_, folder_ + ".away");
    const auto listed = launcher_->list(run_);
    ASSERT_FALSE(listed);
    EXPECT_THAT(listed.error().text(), HasSubstr("folder is gone"));
    EXPECT_TRUE(kill_with_token(run_.nodes[0].token, 5s));
    EXPECT_FALSE(identify(supervisor));
    EXPECT_TRUE(launcher_->list(run_)) << "now it is known that there is nothing";
}

TEST_F(Host, without_a_supervisor_or_a_folder_it_is_refused_and_may_work_later) {
    auto launch = node("exit 0");
    auto broken = with_program("/nonexistent/signalbox");
    auto result = broken.launch(launch);
    EXPECT_EQ(result.kind, Kind::Refused);
    EXPECT_THAT(result.text, HasSubstr("/nonexistent/signalbox"));
    launch.run_directory = folder_ + "/missing";
    result = launcher_->launch(launch);
    EXPECT_EQ(result.kind, Kind::Refused);
    EXPECT_THAT(result.text, HasSubstr("rank-0.lock"));
    launch.run_directory = folder_;
    start(launch);
    EXPECT_EQ(exit_of(ended()).code, 0);
}

TEST_F(Host, a_supervisor_that_dies_without_a_word_is_unknown) {
    std::ofstream(folder_ + "/dies") << "#!/bin/sh\nkill -9 $$\n";
    ::chmod((folder_ + "/dies").c_str(), 0700);
    auto dying = with_program(folder_ + "/dies");
    EXPECT_EQ(dying.launch(node("exit 0")).kind, Kind::Unknown);
}

TEST_F(Host, a_full_disk_refuses_the_start_before_the_command_runs) {
    auto launch = node("touch ran");
    // A file that takes no byte stands where the lock goes.
    ::symlink("/dev/full", lock_path(folder_, 0).c_str());
    const auto result = launcher_->launch(launch);
    EXPECT_EQ(result.kind, Kind::Refused) << result.text;
    EXPECT_FALSE(wrote("ran"));
}

TEST_F(Host, what_cannot_be_a_command_or_variable_is_invalid) {
    auto launch = node("exit 0");
    launch.command.push_back(std::string("a\0b", 3));
    EXPECT_EQ(launcher_->launch(launch).kind, Kind::Invalid);
    launch = node("exit 0");
    launch.environment = {{"A=B", "c"}};
    EXPECT_EQ(launcher_->launch(launch).kind, Kind::Invalid);
    launch = node("exit 0");
    launch.token.clear();
    EXPECT_EQ(launcher_->launch(launch).kind, Kind::Invalid);
}

TEST_F(Host, all_nodes_under_the_root_are_listed_and_a_new_one_is_seen_in_a_folder_that_was_over) {
    start(node("exit 0"));
    ended();
    const auto has = [&](int rank, bool running) {
        const auto all = launcher_->list_all();
        EXPECT_TRUE(all) << all.error().text();
        return all && std::any_of(all->begin(), all->end(), [&](const auto& process) {
                   return process.token == run_.nodes[static_cast<std::size_t>(rank)].token &&
                          process.running == running;
               });
    };
    EXPECT_TRUE(has(0, false));
    std::this_thread::sleep_for(2100ms);
    EXPECT_TRUE(has(0, false));
    EXPECT_TRUE(has(0, false)) << "from what it remembers";
    start(node("exec sleep 60"));
    EXPECT_TRUE(has(1, true));
    const HostLauncherOptions nowhere{SIGNALBOX_PROGRAM, world_.root() + "/nowhere"};
    EXPECT_TRUE(HostLauncher(nowhere).list_all().value().empty());
}

TEST(HostFacts, nothing_is_wrong_with_the_one_network_of_this_host) {
    netfacts::HostFacts host;
    const base::WallTime now{1'700'000'000s};
    const auto facts = host.read(now, 1s);
    ASSERT_TRUE(facts) << facts.error().text();
    network::Demand demand;
    demand.subnet = "host";
    demand.security_groups = {"default"};
    demand.nodes = 1000;
    for (const char* source : {"10.1.2.3", "127.0.0.1", "192.0.2.7"}) {
        demand.data_source = base::HostPort{source, 3306};
        const auto report = network::check(*facts, demand, now);
        EXPECT_TRUE(report.faults.empty()) << report.faults.front().message;
        EXPECT_EQ(report.zone, "host");
        EXPECT_GT(report.available, 1'000'000U);
    }
}

}  // namespace
}  // namespace signalbox::test
