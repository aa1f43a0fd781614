#pragma once
// What a supervisor leaves in a run's folder, per rank: rank-N.log, rank-N.lock (held while it lives, with the token),
// rank-N.heartbeat (touched each second), rank-N.status (written once, whole), and on a plain host rank-N.pid (which
// process it is).

#include <optional>
#include <string>

#include "adapters/process/host_process.hpp"
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

struct PidRecord {
    std::string token;
    ProcessIdentity identity;
    base::WallTime started_at{};
};

std::string log_path(const std::string& run_directory, int rank);
std::string lock_path(const std::string& run_directory, int rank);
std::string heartbeat_path(const std::string& run_directory, int rank);
std::string status_path(const std::string& run_directory, int rank);
std::string pid_path(const std::string& run_directory, int rank);

// Nothing if it was not written (yet). CorruptData with the path if it is not a status record.
base::Result<std::optional<StatusRecord>> read_status(const std::string& run_directory, int rank);
// Whole or not at all: a reader, also one after a crash of the machine, never sees a part.
base::Status write_status(const std::string& run_directory, int rank, const StatusRecord& record);

// Nothing if there is none. CorruptData with the path if it is not understood.
base::Result<std::optional<PidRecord>> read_pid(const std::string& run_directory, int rank);
base::Status write_pid(const std::string& run_directory, int rank, const PidRecord& record);

// What the files tell of a node. Its supervisor takes the lock, then writes the token there, starts the command, and
// writes the status before the lock goes: a token without status under a free lock is a supervisor that was killed.
enum class NodeFate { Running, Ended, Lost };
struct NodeFiles {
    std::string token;
    NodeFate fate = NodeFate::Lost;
    std::optional<PidRecord> pid;           // if it is that token's
    std::optional<StatusRecord> status;     // for Ended
    std::optional<base::WallTime> seen_at;  // the last heartbeat
};
// Nothing if no supervisor has held the node (with that token, unless the token is empty). Errors: a file that is there
// can't be read or understood.
base::Result<std::optional<NodeFiles>> read_node(const std::string& run_directory, int rank,
                                                 const std::string& token = {});

// Writes a file whole or not at all, also at a crash of the machine.
base::Status write_whole(const std::string& path, const std::string& text, mode_t mode);

}  // namespace signalbox::process
