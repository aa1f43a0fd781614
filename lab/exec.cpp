// Running a command inside a lab.

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/http/client.hpp"
#include "base/text.hpp"
#include "lab/launch.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;
namespace json = base::json;

namespace {

struct Place {
    std::string node;
    int netns_fd = -1;  // a descriptor's number in process 1
};

base::Result<Place> find_node(const std::string& name, const std::string& wanted) {
    const http::Client client("unix:" + directory_of(name) + "/api.sock");
    SB_TRY(const json::value answer, client.get("/v1/admin/nodes", 10s));
    std::vector<std::string> names;
    for (const auto& item : answer.at("items").as_array()) {
        const std::string node(item.at("name").as_string());
        const bool is_host = item.at("kind").as_string() == "host";
        if (wanted.empty() ? is_host : node == wanted)
            return Place{node, static_cast<int>(item.at("netns_fd").as_int64())};
        names.push_back(node);
    }
    if (wanted.empty())
        return fail(ErrorKind::NotFound, "lab '{}' declares no hosts: say where with --node ({})", name,
                    base::join(names, ", "));
    return fail(ErrorKind::NotFound, "there is no node '{}'; there are {}", wanted, base::join(names, ", "));
}

base::Status enter(pid_t pid, int netns_fd, const std::string& directory) {
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    // Opened before the mount namespace changes, while /proc still shows the lab's process 1 under this number.
    const Fd root(::open(fmt::format("/proc/{}/root", pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const Fd net(::open(fmt::format("/proc/{}/fd/{}", pid, netns_fd).c_str(), O_RDONLY | O_CLOEXEC));
    if (!process || !root || !net) return errno_error("can't reach the lab's process 1");
    if (::setns(process.get(), CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC) != 0 || ::setns(net.get(), CLONE_NEWNET) != 0)
        return errno_error("can't enter the lab");
    if (::fchdir(root.get()) != 0 || ::chroot(".") != 0) return errno_error("can't enter the lab's root directory");
    if (::chdir(directory.c_str()) != 0) return errno_error(directory);
    return {};
}

// Passes signals on until the child is gone. Those of the terminal reach it without our help, as it is in our group.
int wait_and_forward(pid_t child, const sigset_t& signals) {
    for (;;) {
        int status = 0;
        const pid_t ended = ::waitpid(child, &status, WNOHANG);
        if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        siginfo_t info{};
        const timespec limit{1, 0};
        const int number = ::sigtimedwait(&signals, &info, &limit);
        if (number > 0 && number != SIGCHLD && info.si_code != SI_KERNEL) ::kill(child, number);
    }
}

}  // namespace

base::Result<int> exec(const std::string& name, const std::string& node, const std::vector<std::string>& command) {
    SB_CHECK(check_capabilities());
    const auto pid = running_lab(name);
    if (!pid) return fail(ErrorKind::NotFound, "lab '{}' does not run", name);
    SB_TRY(const Place place, find_node(name, node));
    std::error_code error;
    const auto directory = std::filesystem::current_path(error).string();
    SB_CHECK(enter(*pid, place.netns_fd, directory.empty() ? "/" : directory));

    sigset_t signals;
    sigset_t before;
    sigemptyset(&signals);
    for (const int number : {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT})
        sigaddset(&signals, number);
    sigprocmask(SIG_BLOCK, &signals, &before);
    const pid_t child = ::fork();
    if (child < 0) return errno_error("fork");
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        // Our parent is outside of this process namespace, so it has no number here, unless it is gone already.
        if (::getppid() != 0) ::_exit(1);
        sigprocmask(SIG_SETMASK, &before, nullptr);
        std::vector<std::string> texts = command;
        std::vector<char*> argv;
        for (auto& text : texts) argv.push_back(text.data());
        argv.push_back(nullptr);
        ::execvp(argv[0], argv.data());
        std::fprintf(stderr, "signalbox-lab: can't run %s: %s\n", argv[0], std::strerror(errno));
        ::_exit(errno == ENOENT ? 127 : 126);
    }
    return wait_and_forward(child, signals);
}

}  // namespace signalbox::lab
