#pragma once
// Processes on nodes of their own: what a cloud starts when a job asks for a node in a subnet.

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include "base/json.hpp"
#include "lab/names.hpp"
#include "lab/network.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {

// Safe from several threads.
class Processes {
  public:
    Processes(Network& network, Reaper& reaper, Names& names, Log& log);

    struct Started {
        bool is_new = false;
        base::json::value process;
    };
    // body as docs/reference/lab-api.md has it. The same token twice is the same process. Errors: InvalidArgument
    // (names the key), NotFound, Unavailable (the subnet is full, the program can't be executed).
    base::Result<Started> start(const base::json::value& body);
    // All, or those with that token.
    base::json::array list(const std::string& token) const;
    // SIGTERM to its group, SIGKILL after the grace; returns when it is gone. An ended one: as it is.
    base::Result<base::json::value> stop(const std::string& id, base::Duration grace);

    static constexpr std::size_t remembered_max = 10'000;
    static constexpr std::size_t running_max = 200;

  private:
    struct Entry {
        std::string id, token, name, subnet, zone, address, state, started_at, ended_at;
        pid_t pid = -1;
        Exit exit;
    };
    base::json::value describe(const Entry& entry) const;
    void ended(const std::string& id, Exit exit);

    Network& network_;
    Reaper& reaper_;
    Names& names_;
    Log& log_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, Entry> entries_;  // by id
    std::map<std::string, std::string> by_token_;
    unsigned next_ = 1;
};

}  // namespace signalbox::lab
