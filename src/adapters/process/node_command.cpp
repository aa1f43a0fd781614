#include "adapters/process/node_command.hpp"

#include <algorithm>

namespace signalbox::process {
namespace {

bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

}  // namespace

std::string invalid_launch(const ports::NodeLaunch& node) {
    if (node.token.empty() || node.rank < 0) return "a node needs a token and a rank";
    if (node.command.empty() || node.command.front().empty()) return "there is no command";
    if (has_nul(node.token) || has_nul(node.directory) ||
        std::any_of(node.command.begin(), node.command.end(), has_nul))
        return "the command has a NUL byte in it";
    for (const auto& [key, value] : node.environment) {
        if (key.empty() || key.find('=') != std::string::npos || has_nul(key) || has_nul(value))
            return fmt::format("'{}' can't be a variable of the environment", key);
    }
    return {};
}

std::vector<std::string> supervised(const std::string& program, const ports::NodeLaunch& node,
                                    const std::vector<std::string>& flags) {
    std::vector<std::string> command = {
        program,   "supervise", "--directory", node.run_directory, "--rank", std::to_string(node.rank),
        "--token", node.token};
    command.insert(command.end(), flags.begin(), flags.end());
    if (node.timeout > base::Duration::zero()) {
        command.emplace_back("--timeout");
        command.push_back(base::format_duration(node.timeout));
    }
    command.emplace_back("--");
    command.insert(command.end(), node.command.begin(), node.command.end());
    return command;
}

}  // namespace signalbox::process
