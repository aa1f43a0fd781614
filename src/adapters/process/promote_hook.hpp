#pragma once
// Runs the user's program that promotes a member at a planned switchover: a child in a process group of its own, ended
// at its deadline, whose last words go into the record.

#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "domain/clusters/config.hpp"
#include "ports/follow.hpp"

namespace signalbox::process {

struct HookRun {
    std::vector<std::string> command;                // looked up in PATH
    std::map<std::string, std::string> environment;  // added to our own
    base::Duration deadline{};
    std::string input = {};      // on its standard input
    std::string directory = {};  // where it runs; empty: where we do
};

// Runs it to its end. Success: it ended with 0; the text is the end of what it printed (at most 1000 bytes, one line).
// Errors: NotFound (it could not be started: nothing has happened), UnknownOutcome for every other end: with another
// status (which is the error's code), by a signal, or ended by us at the deadline (SIGTERM to its group, two seconds
// later SIGKILL).
base::Result<std::string> run_hook(const HookRun& run, const std::function<bool()>& cancelled);

class PromoteHook final : public ports::PromoteHook {
  public:
    // Called from the hook's thread.
    explicit PromoteHook(std::function<void(ports::PromoteDone)> on_done) : on_done_(std::move(on_done)) {}
    // Ends what runs.
    ~PromoteHook() override;

    // The command of the cluster from now on.
    void configure(const clusters::ClusterConfig& cluster);
    void promote(const std::string& cluster, std::uint64_t epoch, const std::string& from, const std::string& to,
                 const base::HostPort& to_address, base::Duration deadline) override;

  private:
    struct Job {
        std::thread thread;
        bool done = false;
    };
    std::function<void(ports::PromoteDone)> on_done_;
    std::mutex mutex_;
    std::map<std::string, std::vector<std::string>> commands_;
    std::list<Job> jobs_;
    bool stopping_ = false;
};

}  // namespace signalbox::process
