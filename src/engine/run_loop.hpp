#pragma once
// Drives runs: compares what is stored with what the launcher has, and does what is missing. Level-triggered: call it
// as often as you like, from as many processes as share the store; nothing is lost if nobody calls it for a while.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/jobs/lifecycle.hpp"
#include "domain/jobs/retry.hpp"
#include "domain/network/facts.hpp"
#include "engine/run_choice.hpp"
#include "ports/journal.hpp"
#include "ports/network_facts.hpp"
#include "ports/run_files.hpp"
#include "ports/run_launcher.hpp"
#include "ports/run_store.hpp"
#include "ports/strategy_program.hpp"

namespace signalbox::engine {

struct RunLoopConfig {
    std::string owner;  // names this process for leases
    jobs::Limits limits;
    base::Duration lease_time = std::chrono::seconds(60);  // longer than one pass over a run can take
    base::Duration facts_timeout = std::chrono::seconds(5);
    base::Duration facts_patience = std::chrono::seconds(30);  // for a waiting run whose provider does not answer
    // Facts serve several decisions for so long; what was started meanwhile is in the ledger.
    base::Duration facts_age_max = std::chrono::seconds(1);
    base::Duration outcomes_time = std::chrono::hours(24);  // how far back outcomes are folded into breakers
    std::size_t outcomes_max = 500;
};

// All outlive the loop.
struct RunPorts {
    ports::RunStore& store;
    ports::NetworkFacts& facts;
    ports::RunLauncher& launcher;
    ports::RunFiles& files;
    ports::StrategyProgram& program;
};

struct Submission {
    jobs::Job job;
    std::string id;         // of the new run
    std::string directory;  // for its logs; need not exist yet
    std::vector<std::pair<std::string, std::string>> arguments;
    std::string key = {};  // of the client, for at most one run however often it asks; empty: none
    bool force = false;    // also if the job is paused
};
struct Submitted {
    jobs::Run run;
    bool created = true;  // false: the run that this key made before
};
// Stores a WAITING run of the job. Nothing is started yet. Conflict: the key stands for other arguments, or the job is
// paused.
base::Result<Submitted> submit_run(ports::RunStore& store, const Submission& submission, base::WallTime now);
// Asks the run's last attempt to stop, and not to be tried again; whoever drives it does so. Returns that attempt as
// stored. Errors: NotFound, the store's.
base::Result<jobs::Run> ask_to_stop(ports::RunStore& store, const std::string& id, base::WallTime now);

// Not safe for use from several threads at once; several loops on one store are.
class RunLoop {
  public:
    // The clock gives the time of day.
    RunLoop(RunPorts ports, RunLoopConfig config, std::function<base::WallTime()> clock);

    base::Result<Submitted> submit(const Submission& submission);
    // What would be chosen now.
    base::Result<jobs::Decision> explain(const jobs::Job& job);
    // Brings one attempt as far as it gets without waiting (except for stopped processes to end), and returns it as
    // stored. One that another process drives is returned as that one last stored it. Errors: NotFound, the store's:
    // nothing was started then. That the launcher can't be asked is no error: the run stays as it is, and `trouble()`
    // says why.
    base::Result<jobs::Run> reconcile(const std::string& id);
    // All active runs, oldest first, and processes of ended runs that appeared late. The first error, after all were
    // tried.
    base::Status reconcile_all();
    // The same, unless another process is at it.
    base::Status reconcile_all_once();
    // Asks a run's last attempt to stop, then reconciles it.
    base::Result<jobs::Run> stop(const std::string& id);

    // Why the last reconcile could not do all: the provider's error; empty if it could.
    const std::string& trouble() const { return trouble_; }

  private:
    base::Result<jobs::Run> drive(jobs::Run run);
    base::Status keep(jobs::Step& step, base::WallTime now, const ports::LedgerChange* ledger = nullptr);
    base::Status keep_final(jobs::Step& step, base::WallTime now, const ports::LedgerChange* ledger);
    base::Status tend_ledger();
    base::Result<jobs::FailureFacts> failure_facts(const jobs::Run& run);
    base::Result<jobs::Run> act(jobs::Run run, const std::vector<jobs::Action>& actions);
    base::Result<jobs::Run> decide(jobs::Run run);
    base::Result<jobs::Run> decide_alone(jobs::Run run, std::optional<jobs::ProgramAnswer> answer);
    base::Result<std::string> queue_reason(const jobs::Run& run);
    base::Result<network::Facts> current_facts(base::Duration age_max);
    base::Result<Surroundings> surroundings(network::Facts facts, const ports::LedgerState& stored);
    base::Result<jobs::Run> without_facts(jobs::Run run, const std::string& why);
    base::Result<jobs::Run> wait(jobs::Run run, const std::string& reason);
    base::Result<jobs::Run> launch(jobs::Run run, int rank);
    jobs::LaunchResult launch_node(const jobs::Run& run, int rank);
    base::Status stop_strays();
    ports::NodeLaunch describe_launch(const jobs::Run& run, int rank) const;
    std::vector<ports::JournalEntry> entries_of(const jobs::Step& step, base::WallTime now) const;

    ports::RunStore& store_;
    ports::NetworkFacts& facts_;
    ports::RunLauncher& launcher_;
    ports::RunFiles& files_;
    ports::StrategyProgram& program_;
    RunLoopConfig config_;
    std::function<base::WallTime()> clock_;
    std::string trouble_;
    std::optional<network::Facts> cached_facts_;
    std::map<std::string, base::WallTime> facts_failed_since_;  // by run
};

}  // namespace signalbox::engine
