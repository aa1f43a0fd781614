#include "engine/job_simulation_past.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "domain/network/faults.hpp"

namespace signalbox::engine {
namespace {

using base::Duration;
using base::WallTime;
using namespace std::chrono_literals;
namespace json = base::json;

// Failures that are further apart belong to different outages.
constexpr Duration outage_gap = 1h;
constexpr Duration length_min = 1s;

struct Sighting {
    WallTime at{};
    std::string subnet;
    std::string zone;
    std::uint64_t free = 0;
    bool impaired = false;
};

bool failed(const jobs::Run& run) {
    return run.state == jobs::RunState::Failed || run.state == jobs::RunState::Error ||
           run.state == jobs::RunState::Timeout;
}

// Told by its class; an attempt of a version that did not classify yet only by what it ended as.
bool failed_by_place(const jobs::Run& run) {
    if (!failed(run) || run.zone.empty()) return false;
    if (!run.verdict) return run.state == jobs::RunState::Error;
    return run.verdict->retry == jobs::RetryClass::Zone || run.verdict->retry == jobs::RetryClass::Connection;
}

WallTime began(const jobs::Run& run) { return run.running_at.value_or(run.starting_at.value_or(run.submitted_at)); }

Duration at_full_size(const jobs::Run& run) {
    const auto nodes = static_cast<std::int64_t>(run.nodes.size());
    const Duration took = *run.ended_at - *run.running_at;
    return std::max(took * nodes / std::max(run.job.workers, 1), length_min);
}

std::string text_of(const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

std::uint64_t count_of(const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr) return 0;
    if (value->is_uint64()) return value->get_uint64();
    return value->is_int64() && value->get_int64() > 0 ? static_cast<std::uint64_t>(value->get_int64()) : 0;
}

bool says_impaired(const json::object& candidate) {
    const json::value* faults = candidate.if_contains("faults");
    if (faults == nullptr || !faults->is_array()) return false;
    const std::string code = network::kind_of(network::FaultId::ZoneImpaired).code;
    return std::any_of(faults->get_array().begin(), faults->get_array().end(), [&](const json::value& fault) {
        return fault.is_object() && text_of(fault.get_object(), "code") == code;
    });
}

class Historian {
  public:
    explicit Historian(std::vector<jobs::Run> attempts) : attempts_(std::move(attempts)) {}
    base::Result<SimPast> tell();

  private:
    void look_at_decisions();
    void places();
    void add_jobs();
    SimJob job_of(const std::string& name, const std::vector<const jobs::Run*>& attempts);
    std::vector<jobs::Connection> known_connections(const jobs::Job& job);
    void outages();
    void outages_of(const std::string& zone, const std::vector<const jobs::Run*>& attempts);
    void add_outage(const std::string& zone, WallTime begin, const std::vector<const jobs::Run*>& failures);
    void announce(SimOutage& outage) const;
    void start_times();
    template <typename... Args>
    void note(fmt::format_string<Args...> format, Args&&... args) {
        past_.notes.push_back(fmt::format(format, std::forward<Args>(args)...));
    }

    std::vector<jobs::Run> attempts_;
    WallTime zero_{};
    std::vector<Sighting> sightings_;  // in the order of time
    SimPast past_;
};

base::Result<SimPast> Historian::tell() {
    const bool any = std::any_of(attempts_.begin(), attempts_.end(),
                                 [](const jobs::Run& run) { return run.ended_at && run.running_at; });
    if (!any)
        return base::fail(base::ErrorKind::NotFound,
                          "no run of the store has run and ended yet, so there is no history to simulate: run jobs "
                          "first, or give a scenario file");
    std::stable_sort(attempts_.begin(), attempts_.end(),
                     [](const jobs::Run& a, const jobs::Run& b) { return a.submitted_at < b.submitted_at; });
    zero_ = attempts_.front().submitted_at;
    SimScenario& scenario = past_.scenario;
    scenario.name = "journal";
    scenario.length = attempts_.back().submitted_at - zero_ + length_min;
    look_at_decisions();
    places();
    add_jobs();
    if (scenario.jobs.empty())
        return base::fail(base::ErrorKind::NotFound, "no job of the store's runs can be simulated: {}",
                          base::join(past_.notes, "; "));
    outages();
    start_times();
    std::size_t runs = 0;
    for (const SimJob& job : scenario.jobs) runs += job.arrivals.size();
    scenario.about = fmt::format("{} runs from {} to {}, {} outages seen", runs, base::format_time(zero_),
                                 base::format_time(attempts_.back().submitted_at), scenario.outages.size());
    note("no run tells how long interfaces kept their addresses: {} is taken for all",
         base::format_duration(scenario.linger.median));
    note("a zone that no run used could have been out without a trace");
    return std::move(past_);
}

void Historian::look_at_decisions() {
    for (const jobs::Run& run : attempts_) {
        const json::value* candidates = run.decision.if_contains("candidates");
        if (candidates == nullptr || !candidates->is_array()) continue;
        const auto at = base::parse_time(text_of(run.decision, "at"));
        for (const json::value& value : candidates->get_array()) {
            if (!value.is_object()) continue;
            const json::object& candidate = value.get_object();
            const Sighting seen{at ? *at : run.submitted_at, text_of(candidate, "subnet"), text_of(candidate, "zone"),
                                count_of(candidate, "free_addresses"), says_impaired(candidate)};
            if (!seen.subnet.empty() && !seen.zone.empty()) sightings_.push_back(seen);
        }
    }
    std::stable_sort(sightings_.begin(), sightings_.end(),
                     [](const Sighting& a, const Sighting& b) { return a.at < b.at; });
}

// Subnets with their zones, and the most addresses that were ever free or held by our own runs at once.
void Historian::places() {
    struct Change {
        WallTime at{};
        std::string subnet;
        std::int64_t nodes = 0;
    };
    std::vector<Change> changes;
    std::map<std::string, std::string> zone_of;
    std::map<std::string, std::int64_t> most;
    for (const jobs::Run& run : attempts_) {
        if (!run.connection || run.zone.empty()) continue;
        zone_of[run.connection->subnet] = run.zone;
        if (!run.running_at) continue;
        const auto nodes = static_cast<std::int64_t>(run.nodes.size());
        changes.push_back({*run.running_at, run.connection->subnet, nodes});
        if (run.ended_at) changes.push_back({*run.ended_at, run.connection->subnet, -nodes});
    }
    std::stable_sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) { return a.at < b.at; });
    std::map<std::string, std::int64_t> held;
    auto change = changes.begin();
    const auto apply_until = [&](std::optional<WallTime> until) {
        for (; change != changes.end() && (!until || change->at <= *until); ++change) {
            held[change->subnet] += change->nodes;
            most[change->subnet] = std::max(most[change->subnet], held[change->subnet]);
        }
    };
    for (const Sighting& seen : sightings_) {
        apply_until(seen.at);
        zone_of[seen.subnet] = seen.zone;
        most[seen.subnet] = std::max(most[seen.subnet], held[seen.subnet] + static_cast<std::int64_t>(seen.free));
    }
    apply_until(std::nullopt);
    std::set<std::string> zones;
    for (const auto& [subnet, zone] : zone_of) {
        past_.scenario.subnets.push_back(
            {subnet, zone, static_cast<std::uint64_t>(std::max<std::int64_t>(most[subnet], 0))});
        zones.insert(zone);
    }
    past_.scenario.zones.assign(zones.begin(), zones.end());
    note(
        "a subnet has as many addresses as were ever seen free, with those of our own runs: others' use beside ours is "
        "not known");
}

void Historian::add_jobs() {
    std::map<std::string, std::vector<const jobs::Run*>> by_name;
    for (const jobs::Run& run : attempts_) by_name[run.job.name].push_back(&run);
    for (const auto& [name, attempts] : by_name) {
        SimJob job = job_of(name, attempts);
        if (job.job.connections.empty()) {
            note("job '{}' is left out: nothing is known of its connections' subnets", name);
        } else if (job.run_time.samples.empty()) {
            note("job '{}' is left out: none of its {} runs has run and ended", name, job.arrivals.size());
        } else {
            past_.scenario.jobs.push_back(std::move(job));
        }
    }
}

SimJob Historian::job_of(const std::string& name, const std::vector<const jobs::Run*>& attempts) {
    SimJob result;
    result.job = attempts.back()->job;  // as it was last
    result.job.connections = known_connections(result.job);
    std::map<std::string, std::vector<const jobs::Run*>> runs;  // attempts by their first one's id
    std::vector<Duration> failed_after;
    for (const jobs::Run* run : attempts) {
        runs[jobs::first_attempt_id(run->id)].push_back(run);
        if (!run->running_at || !run->ended_at || run->nodes.empty()) continue;
        if (run->state == jobs::RunState::Succeeded) result.run_time.samples.push_back(at_full_size(*run));
        if (failed(*run)) failed_after.push_back(at_full_size(*run));
        if (failed(*run) && run->exit_code && *run->exit_code > 0) result.failure_exit_code = *run->exit_code;
    }
    if (result.run_time.samples.empty() && !failed_after.empty()) {
        note("no run of job '{}' succeeded: how long one takes is guessed from those that failed", name);
        result.run_time.samples = failed_after;
    }
    for (const jobs::Run* run : attempts) {
        if (run->attempt != 0) continue;
        SimArrival arrival{run->submitted_at - zero_, std::nullopt, false};
        const jobs::Run* last = runs[run->id].back();
        if (last->state == jobs::RunState::Succeeded && last->running_at && last->ended_at && !last->nodes.empty())
            arrival.run_time = at_full_size(*last);
        arrival.fails = failed(*last) && last->running_at && !failed_by_place(*last);
        result.arrivals.push_back(arrival);
    }
    return result;
}

std::vector<jobs::Connection> Historian::known_connections(const jobs::Job& job) {
    std::vector<jobs::Connection> known;
    for (jobs::Connection connection : job.connections) {
        const auto& subnets = past_.scenario.subnets;
        const bool seen = std::any_of(subnets.begin(), subnets.end(), [&](const SimSubnet& subnet) {
            return subnet.id == connection.subnet && subnet.addresses > 0;
        });
        // Networks are taken to be in order, so what a data source needs is not simulated.
        connection.data_source.reset();
        if (seen) known.push_back(std::move(connection));
    }
    return known;
}

void Historian::outages() {
    std::map<std::string, std::vector<const jobs::Run*>> by_zone;
    for (const jobs::Run& run : attempts_)
        if (!run.zone.empty() && run.ended_at) by_zone[run.zone].push_back(&run);
    for (auto& [zone, attempts] : by_zone) {
        std::stable_sort(attempts.begin(), attempts.end(),
                         [](const jobs::Run* a, const jobs::Run* b) { return *a->ended_at < *b->ended_at; });
        outages_of(zone, attempts);
    }
}

// Failures of the place that follow each other make an outage if there are two, and if at least half of what began
// meanwhile failed.
void Historian::outages_of(const std::string& zone, const std::vector<const jobs::Run*>& attempts) {
    std::vector<const jobs::Run*> cluster;
    std::optional<WallTime> good_until;  // the last success before the cluster
    const auto close = [&] {
        if (cluster.empty()) return;
        const WallTime end = *cluster.back()->ended_at;
        WallTime begin = end;
        for (const jobs::Run* run : cluster) begin = std::min(begin, began(*run));
        if (good_until) begin = std::max(begin, *good_until);
        const auto good = std::count_if(attempts.begin(), attempts.end(), [&](const jobs::Run* run) {
            return run->state == jobs::RunState::Succeeded && began(*run) >= begin && began(*run) < end;
        });
        if (cluster.size() >= 2 && static_cast<std::ptrdiff_t>(cluster.size()) >= good && end > begin) {
            add_outage(zone, begin, cluster);
        } else {
            note("{} failure{} in zone '{}' at {} made no outage", cluster.size(), cluster.size() == 1 ? "" : "s", zone,
                 base::format_time(end));
        }
        cluster.clear();
    };
    for (const jobs::Run* run : attempts) {
        if (!cluster.empty() && *run->ended_at - *cluster.back()->ended_at > outage_gap) close();
        if (failed_by_place(*run)) {
            cluster.push_back(run);
        } else if (cluster.empty() && run->state == jobs::RunState::Succeeded) {
            good_until = *run->ended_at;
        }
    }
    close();
}

void Historian::add_outage(const std::string& zone, WallTime begin, const std::vector<const jobs::Run*>& failures) {
    SimOutage outage;
    outage.zone = zone;
    outage.at = begin - zero_;
    outage.length = *failures.back()->ended_at - begin + length_min;
    std::size_t lost = 0;
    for (const jobs::Run* run : failures) {
        outage.fails_after.samples.push_back(std::max(*run->ended_at - std::max(began(*run), begin), length_min));
        if (run->state == jobs::RunState::Error) ++lost;
    }
    outage.symptom = 2 * lost > failures.size() ? SimSymptom::Lost : SimSymptom::Network;
    announce(outage);
    note(
        "zone '{}' is taken to have been out from {} for {}: {} runs failed there; only failures show it, so it may "
        "have "
        "begun earlier and ended later",
        zone, base::format_time(begin), base::format_duration(std::chrono::ceil<std::chrono::seconds>(outage.length)),
        failures.size());
    past_.scenario.outages.push_back(std::move(outage));
}

// The provider's signal is known at the times of decisions only.
void Historian::announce(SimOutage& outage) const {
    std::optional<Duration> last;
    for (const Sighting& seen : sightings_) {
        const Duration at = seen.at - zero_;
        if (!seen.impaired || seen.zone != outage.zone || at < outage.at || at > outage.end() + outage_gap) continue;
        if (!outage.announced_after) outage.announced_after = at - outage.at;
        last = at;
    }
    if (last) outage.announced_longer = std::max(*last - outage.end(), Duration::zero());
}

void Historian::start_times() {
    SimSpread spread;
    for (const jobs::Run& run : attempts_)
        if (run.starting_at && run.running_at) spread.samples.push_back(*run.running_at - *run.starting_at);
    if (!spread.samples.empty()) past_.scenario.start_time = std::move(spread);
}

}  // namespace

base::Result<SimPast> simulate_past(std::vector<jobs::Run> attempts) { return Historian(std::move(attempts)).tell(); }

}  // namespace signalbox::engine
