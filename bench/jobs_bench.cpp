// Measures how fast connections are checked and chosen, on facts that are at hand: from facts, ledger and breakers to
// the decision, as the daemon makes it. Facts are like a real account's: some hundred security groups and subnets.

#include <algorithm>
#include <chrono>
#include <ctime>
#include <iostream>
#include <vector>

#include "base/json.hpp"
#include "domain/jobs/decision.hpp"
#include "domain/network/check.hpp"
#include "domain/network/index.hpp"
#include "engine/run_choice.hpp"

namespace {

using namespace signalbox;
namespace json = base::json;
using Clock = std::chrono::steady_clock;

constexpr int zones = 3;
constexpr int decisions_per_sample = 5000;
constexpr int decision_samples = 9;
constexpr int large_samples = 400;
constexpr int fault_samples = 5;
const base::WallTime now{std::chrono::hours(24 * 365 * 50)};

// This thread's own time on its core: what else the machine does is no part of a throughput.
double core_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

network::Range range(const std::string& text) { return network::parse_range(text).value(); }

// Ids as long as a cloud's: none of them fits into a short string.
std::string id(const char* kind, int number) { return fmt::format("{}-0a1b2c3d4e5f{:05}", kind, number); }

// One network, three zones with a NAT gateway and a table each, so many subnets and as many security groups.
network::Facts facts_of(int subnets) {
    network::Facts facts;
    facts.read_at = now;
    facts.networks = {{id("vpc", 0), range("10.0.0.0/8"), "available"}};
    const network::Route local{range("10.0.0.0/8"), network::TargetKind::Local, "local", false};
    for (int zone = 0; zone < zones; ++zone) {
        facts.zones.push_back({id("euw1-az", zone), "available"});
        facts.nat_gateways.push_back({id("nat", zone), id("subnet", zone), id("euw1-az", zone), "available"});
        network::RouteTable table{id("rtb", zone), id("vpc", 0), zone == 0, {}, {local}};
        table.routes.push_back({range("0.0.0.0/0"), network::TargetKind::Nat, id("nat", zone), false});
        facts.route_tables.push_back(std::move(table));
    }
    for (int i = 0; i < subnets; ++i) {
        const int zone = i % zones;
        facts.subnets.push_back({id("subnet", i), id("vpc", 0), id("euw1-az", zone),
                                 range(fmt::format("10.{}.{}.0/24", 1 + i / 256, i % 256)), "available", 200});
        facts.route_tables[static_cast<std::size_t>(zone)].subnets.push_back(id("subnet", i));
        network::SecurityGroup group{id("sg", i), id("vpc", 0), {}, {}};
        network::Rule self;
        self.protocol = "all";
        self.group = group.id;
        network::Rule out;
        out.protocol = "all";
        out.range = range("0.0.0.0/0");
        group.ingress = {self};
        group.egress = {out};
        facts.security_groups.push_back(std::move(group));
    }
    return facts;
}

// With what happens on a busy day: promised addresses here and there, a zone that is closed off.
engine::Surroundings around_of(int subnets) {
    engine::Surroundings around;
    around.facts = facts_of(subnets);
    for (int i = 0; i < subnets; i += 7) {
        const std::vector<std::string> tokens = {fmt::format("other-{}", i)};
        around.ledger.reserve(fmt::format("run-{}", i), id("subnet", i), tokens, now);
        const bool failed = i % zones == 0 && i < 20;
        around.breakers.record({now - std::chrono::minutes(2), "jr", fmt::format("connection-{}", i), id("subnet", i),
                                id("euw1-az", i % zones),
                                failed ? std::optional(jobs::RetryClass::Zone) : std::nullopt});
    }
    return around;
}

jobs::Job job_of(int connections) {
    jobs::Job job;
    job.name = "load-orders";
    job.workers = 10;
    for (int i = 0; i < connections; ++i) {
        jobs::Connection connection{fmt::format("connection-{}", i), id("subnet", i), {id("sg", i)}, {}};
        connection.data_source = base::HostPort{"10.1.0.17", 5432};
        job.connections.push_back(std::move(connection));
    }
    return job;
}

void say(json::array& results, const char* id, double value, const char* unit, const char* goal,
         const std::vector<double>& samples) {
    json::array list;
    for (const double sample : samples) list.push_back(sample);
    results.push_back(
        json::object{{"id", id}, {"value", value}, {"unit", unit}, {"goal", goal}, {"samples", std::move(list)}});
}

[[noreturn]] void die(const char* text) {
    std::cerr << "jobs_bench: " << text << '\n';
    std::exit(3);
}

// One decision over all connections, from facts at hand.
void decide_once(const jobs::Job& job, const engine::Surroundings& around, const network::Index& index) {
    const jobs::Decision decision = jobs::decide(engine::decision_input(job, around, index, now));
    if (!decision.chosen) die("a decision that should choose chooses nothing");
}

void decisions_per_second(json::array& results) {
    const engine::Surroundings around = around_of(200);
    const network::Index index(around.facts);
    const jobs::Job job = job_of(20);
    std::vector<double> samples;
    for (int sample = 0; sample < decision_samples; ++sample) {
        const double start = core_seconds();
        for (int i = 0; i < decisions_per_sample; ++i) decide_once(job, around, index);
        samples.push_back(decisions_per_sample / (core_seconds() - start));
    }
    std::vector<double> sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    say(results, "jobs.decisions_per_s", sorted[sorted.size() / 2], "1/s", ">= 50000", samples);
}

void large_decision(json::array& results) {
    const engine::Surroundings around = around_of(1000);
    const network::Index index(around.facts);
    const jobs::Job job = job_of(1000);
    std::vector<double> samples;
    for (int sample = 0; sample < large_samples; ++sample) {
        const auto start = Clock::now();
        decide_once(job, around, index);
        samples.push_back(seconds_since(start) * 1000);
    }
    std::vector<double> sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    say(results, "jobs.decision.1000.p99", sorted[sorted.size() * 99 / 100], "ms", "<= 1", samples);
}

// Half of the connections have something wrong with them. The index over the facts is a part of the work here.
void all_faults(json::array& results) {
    network::Facts facts = facts_of(10000);
    for (std::size_t i = 0; i < facts.subnets.size(); i += 4) facts.subnets[i].free_addresses = 1;
    for (std::size_t i = 1; i < facts.security_groups.size(); i += 4) facts.security_groups[i].egress.clear();
    const jobs::Job job = job_of(10000);
    std::vector<double> samples;
    for (int sample = 0; sample < fault_samples; ++sample) {
        std::size_t faults = 0;
        const auto start = Clock::now();
        const network::Index index(facts);
        for (const jobs::Connection& connection : job.connections) {
            const network::Demand demand{connection.subnet, connection.security_groups, connection.data_source, 10, 0};
            faults += network::check(index, demand, now).faults.size();
        }
        samples.push_back(seconds_since(start));
        if (faults < 5000) die("faults that should be found were not");
    }
    std::vector<double> sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    say(results, "network.faults.10000", sorted[sorted.size() / 2], "s", "<= 2", samples);
}

}  // namespace

int main() {
    json::array results;
    decisions_per_second(results);
    large_decision(results);
    all_faults(results);
    std::cout << json::serialize(json::object{{"results", std::move(results)}}) << '\n';
    return 0;
}
