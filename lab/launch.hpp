#pragma once
// Bringing a lab into being on this machine and taking it away: its namespaces, its process 1, its directory under
// /run/signalbox-lab, and running a command inside it.

#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "lab/spec.hpp"

namespace signalbox::lab {

inline constexpr const char* run_directory = "/run/signalbox-lab";

// "/run/signalbox-lab/NAME"
std::string directory_of(const std::string& name);
// PermissionDenied that names every missing capability, or success.
base::Status check_capabilities();
// Process 1 of that lab as this process sees it, if it runs.
std::optional<pid_t> running_lab(const std::string& name);
// All labs with a directory; `running` only those that run.
std::vector<std::string> labs(bool running);
// The name that was given, or that of the only running lab. NotFound: names what there is.
base::Result<std::string> lab_name(const std::string& given);

// Returns when the lab is ready. On an error nothing of it is left. file: copied into the lab's directory.
base::Status up(const LabSpec& spec, const std::string& file, base::Duration timeout,
                const std::function<void(const std::string&)>& progress);
// Ends every process of the lab and removes its directory; good, too, when there is nothing (left) of it.
base::Status down(const std::string& name);
// Runs a command on a node of the lab with this process's directory, environment and terminal; its exit status, or
// 128 + the signal that ended it. It dies with this process.
base::Result<int> exec(const std::string& name, const std::string& node, const std::vector<std::string>& command);

}  // namespace signalbox::lab
