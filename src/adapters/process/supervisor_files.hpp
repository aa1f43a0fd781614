#pragma once
// What a supervisor leaves in a run's folder, per rank: rank-N.log, rank-N.lock (held while it lives, with the token),
// rank-N.heartbeat (touched each second), rank-N.status (written once, whole).

#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/jobs/run.hpp"

namespace signalbox::process {

struct StatusRecord {
    std::string token;
    jobs::Exit exit;
    base::WallTime started_at{};
    base::WallTime ended_at{};
};

std::string log_path(const std::string& run_directory, int rank);
std::string lock_path(const std::string& run_directory, int rank);
std::string heartbeat_path(const std::string& run_directory, int rank);
std::string status_path(const std::string& run_directory, int rank);

// Nothing if it was not written (yet). CorruptData with the path if it is not a status record.
base::Result<std::optional<StatusRecord>> read_status(const std::string& run_directory, int rank);
// Whole or not at all: a reader, also one after a crash of the machine, never sees a part.
base::Status write_status(const std::string& run_directory, int rank, const StatusRecord& record);

}  // namespace signalbox::process
