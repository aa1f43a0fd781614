#include "sim/jobs_world.hpp"

#include <algorithm>
#include <memory>
#include <optional>

#include "base/prng.hpp"
#include "base/text.hpp"
#include "domain/jobs/attempts.hpp"
#include "engine/run_loop.hpp"
#include "sim/jobs_store.hpp"

namespace signalbox::sim {
namespace {

using namespace std::chrono_literals;
using base::Duration;
using base::ErrorKind;
using base::WallTime;
using jobs::Run;
using jobs::RunState;

constexpr int zone_count = 3;
constexpr std::uint64_t subnet_size = 16;
const WallTime start_of_time{std::chrono::hours(24 * 365 * 50)};

std::string zone_name(int zone) { return std::string(1, static_cast<char>('a' + zone)); }

// One node as the provider has it.
struct Process {
    std::string token;
    std::string address;
    int zone = 0;
    bool driver = false;
    int starts = 0;
    WallTime appears_at{};  // in lists
    WallTime starts_at{};
    WallTime ends_at{};
    jobs::Exit exit;
    bool stopped = false;
    WallTime hidden_until{};
    bool listed = false;
};

class World final : public ports::NetworkFacts,
                    public ports::RunLauncher,
                    public ports::RunFiles,
                    public ports::StrategyProgram {
  public:
    explicit World(const JobOptions& options)
        : options_(options),
          prng_(options.seed),
          store_([this](const char* call, bool after) { return fault(call, after); }) {
        limits_.rules = options.rules;
        store_.on_save = [this](const Run& before, const Run& after) { saved(before, after); };
        for (int i = 0; i < 2; ++i) restart(i);
    }
    JobOutcome play();

    // Ports.
    base::Result<network::Facts> read(WallTime now, Duration timeout) override;
    jobs::LaunchResult launch(const ports::NodeLaunch& node) override;
    base::Result<std::vector<jobs::NodeProcess>> list(const Run& run) override;
    base::Result<std::vector<jobs::NodeProcess>> list_all() override;
    base::Status stop(const std::vector<std::string>& processes, Duration grace) override;
    base::Status make(const std::string& directory) override;
    std::string log_tail(const std::string&, int, std::size_t) override { return down_log_; }
    jobs::ProgramAnswer ask(const jobs::StrategyProgram&, const base::json::object&) override {
        return {{"via-c", "via-b", "via-a"}, ""};
    }

  private:
    struct Loop {
        std::string owner;
        std::unique_ptr<engine::RunLoop> loop;
    };

    bool fault(const char* call, bool after);
    void restart(int index);
    template <typename Body>
    void as_process(int index, const Body& body);
    void interleave();
    void step();
    void submit();
    void ask_stop();
    void jump();
    void saved(const Run& before, const Run& after);
    void check_launch(const ports::NodeLaunch& node);
    void check_end();
    std::string trace() const;
    bool alive(const Process& process) const { return true_now_ < process.ends_at && !process.stopped; }
    std::uint64_t used(int zone) const;
    jobs::NodeProcess seen(const Process& process) const;
    void violate(const std::string& text) {
        if (out_.violation.empty()) out_.violation = text;
    }
    bool chance(double probability) { return !calm_ && prng_.chance(probability); }
    Duration up_to(Duration most) {
        return Duration(static_cast<Duration::rep>(prng_.below(static_cast<std::uint64_t>(most.count()) + 1)));
    }
    WallTime clock() const { return true_now_ + offset_; }

    const JobOptions options_;
    base::Prng prng_;
    JobOutcome out_;
    JobStore store_;
    jobs::Limits limits_;
    WallTime true_now_ = start_of_time;
    Duration offset_{};
    bool calm_ = false;
    bool jumped_ = false;
    bool jumped_ahead_ = false;
    int running_ = -1;  // which process is making calls
    int restarts_ = 0;
    int depth_ = 0;
    Loop loops_[2];
    std::map<std::string, Process> processes_;
    std::vector<std::string> submitted_;
    std::map<std::string, std::string> key_runs_;
    bool zone_down_[zone_count] = {};
    std::string down_log_ = "connection timed out";
    std::uint64_t addresses_given_ = 0;
};

void World::restart(int index) {
    Loop& loop = loops_[index];
    if (!loop.owner.empty()) store_.bury(loop.owner);
    loop.owner = fmt::format("process-{}", ++restarts_);
    engine::RunLoopConfig config;
    config.owner = loop.owner;
    config.limits = limits_;
    loop.loop = std::make_unique<engine::RunLoop>(engine::RunPorts{store_, *this, *this, *this, *this}, config,
                                                  [this] { return clock(); });
}

// Every call of a port passes here, before and after its effect.
bool World::fault(const char*, bool after) {
    if (running_ < 0) return true;
    const std::int64_t call = out_.calls++;
    true_now_ += up_to(2ms);
    if (call == options_.crash_at) {
        out_.crashed_once = true;
        throw Crash{};
    }
    if (chance(options_.crash)) throw Crash{};
    if (after || !chance(options_.store_fails)) return true;
    ++out_.store_failures;
    return false;
}

template <typename Body>
void World::as_process(int index, const Body& body) {
    const int before = running_;
    running_ = index;
    ++depth_;
    try {
        body(*loops_[index].loop);
    } catch (const Crash&) {
        ++out_.crashes;
        running_ = -1;
        restart(index);
    }
    --depth_;
    running_ = before;
}

// While one process waits for an answer, another one does what it thinks is to be done.
void World::interleave() {
    if (depth_ != 1 || !chance(0.2)) return;
    as_process(1 - running_, [](engine::RunLoop& loop) { [[maybe_unused]] const auto status = loop.reconcile_all(); });
}

base::Result<network::Facts> World::read(WallTime now, Duration) {
    fault("facts", false);
    interleave();
    if (chance(0.02)) return base::fail(ErrorKind::Unavailable, "the provider does not answer");
    network::Facts facts;
    facts.read_at = now;
    facts.networks.push_back({"main", *network::parse_range("10.0.0.0/16"), "available"});
    facts.security_groups.push_back({"default",
                                     "main",
                                     {{"all", 0, 65535, "default", {}}},
                                     {{"all", 0, 65535, "", *network::parse_range("0.0.0.0/0")}}});
    for (int zone = 0; zone < zone_count; ++zone) {
        const std::string name = zone_name(zone);
        facts.zones.push_back({name, "available"});
        network::Subnet subnet{"data-" + name, "main", name, *network::parse_range(fmt::format("10.0.{}.0/24", zone)),
                               "available",    0};
        subnet.free_addresses = subnet_size - std::min(used(zone), subnet_size);
        facts.subnets.push_back(subnet);
        facts.nat_gateways.push_back({"nat-" + name, "data-" + name, name, "available"});
        network::RouteTable table{"out-" + name, "main", zone == 0, {"data-" + name}, {}};
        table.routes.push_back({*network::parse_range("0.0.0.0/0"), network::TargetKind::Nat, "nat-" + name, false});
        facts.route_tables.push_back(table);
    }
    return facts;
}

std::uint64_t World::used(int zone) const {
    return static_cast<std::uint64_t>(std::count_if(processes_.begin(), processes_.end(), [&](const auto& entry) {
        return entry.second.zone == zone && alive(entry.second);
    }));
}

// What must hold whenever a node is launched.
void World::check_launch(const ports::NodeLaunch& node) {
    for (const auto& [id, run] : store_.runs()) {
        for (const jobs::Node& stored : run.nodes) {
            if (stored.token != node.token) continue;
            if (stored.stage != jobs::NodeStage::Intended)
                violate(node.token + " was launched without a stored intent");
            if (run.outcome) violate(node.token + " was launched after its run had an outcome");
            if (run.not_before && !jumped_ && clock() < *run.not_before)
                violate(node.token + " was launched before its backoff was over");
            if (node.rank > 0 && run.nodes.front().address.empty())
                violate(node.token + " was launched without the driver's address");
            return;
        }
    }
    violate(node.token + " was launched for no stored run");
}

jobs::LaunchResult World::launch(const ports::NodeLaunch& node) {
    using Kind = jobs::LaunchResult::Kind;
    check_launch(node);
    fault("launch", false);
    interleave();
    true_now_ += up_to(300ms);
    const int zone = node.subnet.back() - 'a';
    if (used(zone) >= subnet_size) {
        violate(node.token + " found no address although it was promised one");
        return {Kind::Refused, {}, "the subnet is full"};
    }
    if (chance(0.03)) return {Kind::Refused, {}, "the provider is busy"};
    const bool lost = chance(options_.answer_lost);
    if (lost) ++out_.lost_answers;
    if (lost && chance(0.4)) return {Kind::Unknown, {}, "no answer"};
    Process& process = processes_[node.token];
    if (process.starts > 0 && jumped_ahead_) return {Kind::Started, seen(process), {}};
    // Else this launcher does not know a token again: whoever launches twice starts twice.
    if (++process.starts > 1) violate(node.token + " was started twice");
    ++out_.starts;
    process.token = node.token;
    process.zone = zone;
    process.driver = node.rank == 0;
    process.address = fmt::format("10.0.{}.{}", zone, 1 + addresses_given_++ % 250);
    // What is late is late by less than the grace that we give it.
    const Duration late = lost ? up_to(limits_.unknown_grace - 1s) : Duration::zero();
    process.starts_at = true_now_ + late;
    process.appears_at = process.starts_at;
    process.ends_at = process.starts_at + (process.driver ? 1s + up_to(20s) : Duration(1h));
    process.exit = {jobs::ExitHow::Exited, zone_down_[zone] || prng_.chance(0.25) ? 7 : 0, 0};
    fault("launch", true);
    if (lost) return {Kind::Unknown, {}, "no answer"};
    return {Kind::Started, seen(process), {}};
}

jobs::NodeProcess World::seen(const Process& process) const {
    jobs::NodeProcess node;
    node.token = process.token;
    node.id = process.token;
    node.address = process.address;
    node.running = alive(process);
    node.started_at = process.starts_at + offset_;
    if (node.running) return node;
    node.exit = process.stopped ? jobs::Exit{jobs::ExitHow::Stopped, 0, 15} : process.exit;
    node.ended_at = process.ends_at + offset_;
    return node;
}

base::Result<std::vector<jobs::NodeProcess>> World::list(const Run& run) {
    fault("list", false);
    interleave();
    if (chance(0.1)) return base::fail(ErrorKind::Unavailable, "the launcher does not answer");
    std::vector<jobs::NodeProcess> found;
    for (auto& [token, process] : processes_) {
        if (!token.starts_with(run.id + "-") || true_now_ < process.appears_at) continue;
        // A list may miss what it had before, for less than the grace that we give it.
        if (process.listed && chance(0.02)) process.hidden_until = true_now_ + up_to(limits_.missing_grace / 2);
        if (true_now_ < process.hidden_until) continue;
        process.listed = true;
        found.push_back(seen(process));
    }
    return found;
}

base::Result<std::vector<jobs::NodeProcess>> World::list_all() {
    std::vector<jobs::NodeProcess> found;
    for (const auto& [token, process] : processes_)
        if (true_now_ >= process.appears_at) found.push_back(seen(process));
    return found;
}

base::Status World::stop(const std::vector<std::string>& processes, Duration) {
    fault("stop", false);
    true_now_ += up_to(1s);
    for (const std::string& id : processes) {
        Process& process = processes_[id];
        if (!alive(process)) continue;
        process.stopped = true;
        process.ends_at = true_now_;
    }
    fault("stop", true);
    return {};
}

base::Status World::make(const std::string&) {
    if (chance(0.01)) return base::fail(ErrorKind::Unavailable, "no space left on device");
    return {};
}

// Nothing of a run may live, or come to life, once the run is final.
void World::saved(const Run&, const Run& after) {
    if (!jobs::is_final(after.state) || jumped_ahead_) return;
    for (const auto& [token, process] : processes_)
        if (token.starts_with(after.id + "-") && alive(process))
            violate(fmt::format("{} is {}, but {} lives", after.id, jobs::to_string(after.state), token));
}

jobs::Job job_of(std::uint64_t kind) {
    jobs::Job job;
    job.name = fmt::format("job-{}", kind);
    for (int zone = 0; zone < zone_count; ++zone)
        job.connections.push_back({"via-" + zone_name(zone), "data-" + zone_name(zone), {"default"}, {}, true});
    job.workers = 1 + static_cast<int>(kind) * 2;
    job.workers_min = std::min(job.workers, 2);
    job.command = {"/bin/true"};
    job.timeout = 5min;
    job.queue_time_max = 2h;
    job.full_size_wait = 20s;
    job.max_concurrent_runs = 1 + static_cast<int>(kind);
    constexpr jobs::Strategy strategies[] = {jobs::Strategy::Ordered, jobs::Strategy::Resilient,
                                             jobs::Strategy::Program};
    job.strategy = strategies[kind % std::size(strategies)];
    job.program.command = {"order"};
    job.retry.attempts_max = 3;
    job.retry.backoff_base = 5s;
    job.retry.backoff_max = 30s;
    return job;
}

void World::submit() {
    const auto index = submitted_.size();
    const std::string id = jobs::run_id(std::string(32, static_cast<char>(index + 1)));
    submitted_.push_back(id);
    engine::Submission submission{job_of(prng_.below(3)), id, "/runs/" + id, {}};
    submission.key = fmt::format("key-{}", index);
    // A client that got no answer asks again, with the same key and an id that it has drawn anew.
    for (int tries = 0; tries < 20; ++tries) {
        bool answered = false;
        as_process(static_cast<int>(prng_.below(2)), [&](engine::RunLoop& loop) {
            const auto submitted = loop.submit(submission);
            if (!submitted) return;
            answered = true;
            submitted_.back() = submitted->run.id;
        });
        if (answered) return;
        submission.id = jobs::run_id(std::string(31, static_cast<char>(index + 1)) + static_cast<char>(tries));
    }
    submitted_.pop_back();
}

void World::ask_stop() {
    if (submitted_.empty()) return;
    const std::string id = submitted_[prng_.below(submitted_.size())];
    as_process(static_cast<int>(prng_.below(2)),
               [&](engine::RunLoop& loop) { [[maybe_unused]] const auto run = loop.stop(id); });
}

// A clock that is set forward shortens graces, and the token is what is left: a provider that knows it starts no node
// twice, and who comes late is stopped when he is seen.
void World::jump() {
    ++out_.jumps;
    jumped_ = true;
    const bool ahead = prng_.chance(0.5);
    jumped_ahead_ = jumped_ahead_ || ahead;
    offset_ += ahead ? up_to(3min) : -up_to(10h);
}

void World::step() {
    true_now_ += 100ms + up_to(900ms);
    if (chance(0.02)) zone_down_[prng_.below(zone_count)] ^= true;
    if (chance(0.01)) ask_stop();
    if (chance(options_.clock_jumps)) jump();
    as_process(static_cast<int>(prng_.below(2)),
               [](engine::RunLoop& loop) { [[maybe_unused]] const auto status = loop.reconcile_all(); });
}

void World::check_end() {
    std::set<std::string> keyed;
    for (const auto& [id, run] : store_.runs()) {
        ++out_.attempts;
        out_.retries += run.attempt > 0;
        out_.succeeded += run.state == RunState::Succeeded;
        out_.stopped += run.state == RunState::Stopped;
        if (!jobs::is_final(run.state))
            violate(fmt::format("{} is {} ({}) long after the last fault: it was forgotten", id,
                                jobs::to_string(run.state), run.reason));
        if (run.attempt >= run.job.retry.attempts_max) violate(id + " is one attempt too many");
        if (!run.next.empty() && !store_.runs().contains(run.next)) violate(id + " has lost its next attempt");
        if (run.attempt > 0) {
            const auto previous = store_.runs().find(run.previous);
            if (previous == store_.runs().end() || previous->second.next != id) violate(id + " follows nothing");
        }
        const bool driver_good =
            !run.nodes.empty() && run.nodes[0].exit && *run.nodes[0].exit == jobs::Exit{jobs::ExitHow::Exited, 0, 0};
        if (run.state == RunState::Succeeded && !driver_good) violate(id + " succeeded without its driver");
        if (run.attempt == 0 && std::count(submitted_.begin(), submitted_.end(), id) != 1)
            violate(id + " was made by no answered submission, or by two");
    }
    for (const std::string& id : submitted_)
        if (!store_.runs().contains(id)) violate(id + " was acknowledged and is gone");
    for (const auto& [token, process] : processes_)
        if (alive(process)) violate(token + " lives for nobody");
}

JobOutcome World::play() {
    constexpr int steps_max = 3000;
    for (int i = 0; i < steps_max && out_.violation.empty(); ++i) {
        if (static_cast<int>(submitted_.size()) < options_.runs) {
            if (prng_.chance(0.3)) submit();
        } else if (!calm_ && i > 200) {
            calm_ = true;
            std::fill(std::begin(zone_down_), std::end(zone_down_), false);
        }
        step();
        if (!store_.violation().empty()) violate(store_.violation());
        const auto active = store_.active();
        if (calm_ && active->empty()) break;
    }
    // A process whose launch was late is stopped by the pass after its run's end.
    for (int i = 0; i < 30 && out_.violation.empty(); ++i) step();
    if (out_.violation.empty()) check_end();
    if (!out_.violation.empty()) out_.trace = trace();
    return out_;
}

// What the journal has of the run that the violation names, and what became of its nodes.
std::string World::trace() const {
    std::string text;
    for (const ports::JournalEntry& entry : store_.journal()) {
        if (!out_.violation.starts_with(entry.run) || entry.kind.starts_with("run-decision")) continue;
        text += fmt::format("{} {} {}\n", base::format_time(entry.at), entry.kind, base::json::serialize(entry.data));
    }
    for (const auto& [token, process] : processes_) {
        if (!out_.violation.starts_with(token.substr(0, token.rfind('-')))) continue;
        text += fmt::format("{}: starts {}, {} to {}{}\n", token, process.starts, base::format_time(process.starts_at),
                            base::format_time(process.ends_at), process.stopped ? ", stopped" : "");
    }
    return text +
           fmt::format("now {}, the clock is ahead by {} ms\n", base::format_time(true_now_), base::to_ms(offset_));
}

}  // namespace

JobOutcome run_jobs(const JobOptions& options) { return World(options).play(); }

}  // namespace signalbox::sim
