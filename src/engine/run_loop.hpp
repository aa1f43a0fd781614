#pragma once
// Drives runs: compares what is stored with what the launcher has, and does what is missing. Level-triggered: call it
// as often as you like, from as many processes as share the store; nothing is lost if nobody calls it for a while.

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/jobs/lifecycle.hpp"
#include "domain/network/facts.hpp"
#include "ports/journal.hpp"
#include "ports/network_facts.hpp"
#include "ports/run_launcher.hpp"
#include "ports/run_store.hpp"

namespace signalbox::engine {

struct RunLoopConfig {
    std::string owner;  // names this process for leases
    jobs::Limits limits;
    base::Duration lease_time = std::chrono::seconds(60);  // longer than one pass over a run can take
    base::Duration facts_timeout = std::chrono::seconds(5);
    base::Duration facts_patience = std::chrono::seconds(30);  // for a waiting run whose provider does not answer
};

// Candidates with all their faults, and the choice among them. `promised`: addresses per subnet that starting runs will
// take.
jobs::Decision decide_connection(const jobs::Job& job, const network::Facts& facts,
                                 const std::map<std::string, std::uint64_t>& promised, base::WallTime now);

// Not safe for use from several threads at once; several loops on one store are.
class RunLoop {
  public:
    // The clock gives the time of day; the references outlive the loop.
    RunLoop(ports::RunStore& store, ports::NetworkFacts& facts, ports::RunLauncher& launcher, RunLoopConfig config,
            std::function<base::WallTime()> clock);

    // Stores a WAITING run of the job. `directory` is for its logs. Nothing is started yet.
    base::Result<jobs::Run> submit(const jobs::Job& job, const std::string& id, const std::string& directory,
                                   std::vector<std::pair<std::string, std::string>> arguments);
    // What would be chosen now.
    base::Result<jobs::Decision> explain(const jobs::Job& job);
    // Brings one run as far as it gets without waiting (except for stopped processes to end), and returns it as stored.
    // A run that another process drives is returned as that one last stored it. Errors: NotFound, the store's.
    // That the launcher can't be asked is no error: the run stays as it is, and `trouble()` says why.
    base::Result<jobs::Run> reconcile(const std::string& id);
    // All active runs, oldest first, and processes of ended runs that appeared late. The first error, after all were
    // tried.
    base::Status reconcile_all();
    // Asks a run to stop, then reconciles it.
    base::Result<jobs::Run> stop(const std::string& id);

    // Why the last reconcile could not do all: the provider's error; empty if it could.
    const std::string& trouble() const { return trouble_; }

  private:
    base::Result<jobs::Run> drive(jobs::Run run);
    base::Status keep(jobs::Step& step);
    base::Result<jobs::Run> act(jobs::Run run, const std::vector<jobs::Action>& actions);
    base::Result<jobs::Run> decide(jobs::Run run);
    base::Result<jobs::Run> decide_alone(jobs::Run run);
    base::Result<jobs::Run> wait(jobs::Run run, const std::string& reason);
    base::Result<jobs::Run> launch(jobs::Run run, int rank);
    base::Result<std::map<std::string, std::uint64_t>> promised();
    base::Status stop_strays();
    ports::NodeLaunch describe_launch(const jobs::Run& run, int rank) const;
    std::vector<ports::JournalEntry> entries_of(const jobs::Step& step) const;

    ports::RunStore& store_;
    ports::NetworkFacts& facts_;
    ports::RunLauncher& launcher_;
    RunLoopConfig config_;
    std::function<base::WallTime()> clock_;
    std::string trouble_;
    std::map<std::string, base::WallTime> facts_failed_since_;  // by run
};

}  // namespace signalbox::engine
