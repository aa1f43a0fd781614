#include "app/cmd_lab.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace signalbox::app {
namespace {

constexpr int outside_world_failed = 3;

int become_lab(const std::vector<std::string>& arguments) {
    std::vector<char*> argv;
    std::string name = "signalbox-lab";
    argv.push_back(name.data());
    std::vector<std::string> copies = arguments;
    for (auto& argument : copies) argv.push_back(argument.data());
    argv.push_back(nullptr);
    // The one that was built or installed with this program first: versions then agree.
    std::error_code ignored;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
    ::execv((self.parent_path() / name).c_str(), argv.data());
    ::execvp(name.c_str(), argv.data());
    std::fprintf(stderr, "signalbox: can't run signalbox-lab, neither beside %s nor on PATH: %s\n", self.c_str(),
                 std::strerror(errno));
    return outside_world_failed;
}

}  // namespace

void register_lab(CLI::App& app, int& exit_status) {
    auto* lab = app.add_subcommand("lab", "Zones, subnets and real database servers on this machine (signalbox-lab)");
    // Everything after `lab`, --help included, is for the other program.
    lab->prefix_command();
    lab->set_help_flag();
    lab->callback([lab, &exit_status] { exit_status = become_lab(lab->remaining()); });
}

}  // namespace signalbox::app
