// The conformance suite of launchers, with nodes in a real lab. LAB_SOCKET: the lab's API; LAB_SUBNET, LAB_GROUP: where
// the nodes go.

#include "adapters/process/lab_launcher.hpp"
#include "test/unit/adapters/launcher_suite.hpp"

namespace signalbox::test {
namespace {

using namespace process;

std::string needed(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr) {
        std::fprintf(stderr, "launcher_conformance: %s is not set; test_launchers.py sets it\n", name);
        std::exit(2);
    }
    return value;
}

class LabWorld {
  public:
    LabWorld() {
        std::string pattern = "/tmp/signalbox-lab-nodes-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
    }
    ~LabWorld() { std::filesystem::remove_all(folder_); }
    static std::unique_ptr<ports::RunLauncher> launcher() {
        return std::make_unique<LabLauncher>(needed("LAB_SOCKET"), SIGNALBOX_PROGRAM);
    }
    std::string folder() const { return folder_; }
    static void place(ports::NodeLaunch& launch) {
        launch.subnet = needed("LAB_SUBNET");
        launch.security_groups = {needed("LAB_GROUP")};
    }
    // The lab's processes have other numbers inside; out here the supervisor is found by what it was started with.
    static void kill_supervisor(const jobs::NodeProcess&, const ports::NodeLaunch& launch) {
        int killed = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
            const std::string name = entry.path().filename().string();
            if (name.find_first_not_of("0123456789") != std::string::npos) continue;
            const std::string command = content_of(entry.path().string() + "/cmdline");
            if (command.find("supervise") == std::string::npos || command.find(launch.token) == std::string::npos)
                continue;
            killed += ::kill(std::stoi(name), SIGKILL) == 0 ? 1 : 0;
        }
        EXPECT_EQ(killed, 1);
    }

  private:
    std::string folder_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Lab, LauncherSuite, LabWorld);

}  // namespace
}  // namespace signalbox::test
