#include "app/simulation_scenario.hpp"

#include <algorithm>
#include <set>

#include "app/config_jobs.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using engine::SimJob;
using engine::SimOutage;
using engine::SimScenario;
using engine::SimSpread;
using engine::SimSubnet;

constexpr base::Duration length_max = 31 * 24h;
constexpr std::int64_t addresses_max = 60'000;  // of one subnet
constexpr std::size_t subnets_max = 200;
constexpr std::size_t jobs_max = 100;
constexpr std::size_t outages_max = 1'000;
constexpr double runs_per_hour_max = 100'000;
constexpr std::int64_t burst_runs_max = 100'000;
constexpr int workers_max = 1'000;
constexpr std::int64_t events_max = 1'000'000'000;

std::string there_are(const std::vector<std::string>& names) {
    return names.empty() ? "there is none" : "there are " + base::join(names, ", ");
}

// Why a name is not among those that exist.
std::string unknown(const std::string& what, const std::string& name, const std::vector<std::string>& known) {
    const auto near = base::nearest(name, known);
    return fmt::format("there is no {} '{}'; {}", what, name, near ? "did you mean " + *near + "?" : there_are(known));
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

void read_spread(yaml::Reader& parent, const std::string& key, SimSpread& spread) {
    auto reader = parent.mapping(key);
    if (!reader) return;
    if (!reader->has("median")) reader->need_text("median");
    spread.median = reader->duration("median", 0s, length_max).value_or(spread.median);
    spread.sigma = reader->number("sigma", 0, 3).value_or(0);
    spread.max = reader->duration("max", 0s, length_max).value_or(spread.max);
    if (spread.max < spread.median) reader->fault("max", "expected at least the median");
    reader->finish();
}

void read_zones(yaml::Reader& root, SimScenario& scenario) {
    scenario.zones = root.texts("zones");
    if (scenario.zones.empty()) root.fault("zones", "expected a list of at least one zone's id");
    std::set<std::string> seen;
    for (const std::string& zone : scenario.zones)
        if (!seen.insert(zone).second) root.fault("zones", fmt::format("the zone '{}' stands twice", zone));
}

void read_subnets(yaml::Reader& root, SimScenario& scenario) {
    yaml::UniqueNames names("subnet");
    bool all_known = true;
    for (yaml::Reader& reader : root.list("subnets")) {
        SimSubnet subnet;
        subnet.id = reader.need_name("name");
        subnet.zone = reader.need_text("zone");
        const bool known = holds(scenario.zones, subnet.zone);
        if (!known && !subnet.zone.empty()) reader.fault("zone", unknown("zone", subnet.zone, scenario.zones));
        all_known = all_known && known;
        if (!reader.has("addresses")) reader.need_text("addresses");
        subnet.addresses = static_cast<std::uint64_t>(reader.integer("addresses", 1, addresses_max).value_or(1));
        names.add(reader, "name", subnet.id);
        reader.finish();
        scenario.subnets.push_back(std::move(subnet));
    }
    if (scenario.subnets.size() > subnets_max)
        root.fault("subnets", fmt::format("expected at most {} subnets", subnets_max));
    // A subnet with a mistaken zone may be the one that seems to be missing.
    if (!all_known) return;
    for (const std::string& zone : scenario.zones)
        if (std::none_of(scenario.subnets.begin(), scenario.subnets.end(),
                         [&](const SimSubnet& subnet) { return subnet.zone == zone; }))
            root.fault("zones", fmt::format("the zone '{}' has no subnet: add one, or leave the zone out", zone));
}

std::vector<jobs::Connection> read_connections(yaml::Reader& root, const SimScenario& scenario) {
    std::vector<jobs::Connection> connections;
    std::vector<std::string> subnets;
    for (const SimSubnet& subnet : scenario.subnets) subnets.push_back(subnet.id);
    yaml::UniqueNames names("connection");
    for (yaml::Reader& reader : root.list("connections")) {
        jobs::Connection& connection = connections.emplace_back();
        connection.name = reader.need_name("name");
        connection.subnet = reader.need_text("subnet");
        if (!connection.subnet.empty() && !holds(subnets, connection.subnet))
            reader.fault("subnet", unknown("subnet", connection.subnet, subnets));
        names.add(reader, "name", connection.name);
        reader.finish();
    }
    return connections;
}

void read_arrivals(yaml::Reader& reader, const SimScenario& scenario, SimJob& job) {
    for (const std::string& text : reader.texts("runs_per_hour")) {
        const auto rate = base::parse_double(text);
        if (rate && *rate >= 0 && *rate <= runs_per_hour_max) {
            job.runs_per_hour.push_back(*rate);
        } else {
            reader.fault("runs_per_hour",
                         fmt::format("expected numbers from 0 to {}, found '{}'", runs_per_hour_max, text));
        }
    }
    for (yaml::Reader& item : reader.list("bursts")) {
        engine::SimBurst burst;
        if (!item.has("at")) item.need_text("at");
        if (!item.has("runs")) item.need_text("runs");
        burst.at = item.duration("at", 0s, scenario.length).value_or(0s);
        burst.runs = item.integer("runs", 1, burst_runs_max).value_or(1);
        burst.over = item.duration("over", 0s, scenario.length).value_or(0s);
        if (burst.at + burst.over > scenario.length)
            item.fault("over", "the burst goes on after the end of the scenario's length");
        item.finish();
        job.bursts.push_back(burst);
    }
    if (!reader.has("runs_per_hour") && !reader.has("bursts"))
        reader.fault("", "nothing submits runs of this job: expected 'runs_per_hour' or 'bursts'");
}

void pick_connections(yaml::Reader& reader, const std::vector<jobs::Connection>& known, jobs::Job& job) {
    std::vector<std::string> names;
    for (const jobs::Connection& connection : known) names.push_back(connection.name);
    std::set<std::string> seen;
    const auto wanted = reader.texts("connections");
    if (wanted.empty()) reader.fault("connections", "expected at least one connection, in the order of preference");
    for (const std::string& name : wanted) {
        if (!seen.insert(name).second) reader.fault("connections", fmt::format("'{}' stands twice", name));
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end()) {
            reader.fault("connections", unknown("connection", name, names));
        } else {
            job.connections.push_back(known[static_cast<std::size_t>(found - names.begin())]);
        }
    }
}

// A run that no subnet can ever hold would make every strategy look equally bad.
void check_sizes(yaml::Reader& reader, const SimScenario& scenario, const jobs::Job& job) {
    std::uint64_t most = 0;
    for (const jobs::Connection& connection : job.connections)
        for (const SimSubnet& subnet : scenario.subnets)
            if (subnet.id == connection.subnet) most = std::max(most, subnet.addresses);
    if (!job.connections.empty() && most < static_cast<std::uint64_t>(job.workers_min))
        reader.fault("workers_min", fmt::format("a run needs {} addresses, but no subnet of its connections has more "
                                                "than {}",
                                                job.workers_min, most));
}

SimJob read_job(yaml::Reader& reader, const SimScenario& scenario, const std::vector<jobs::Connection>& connections) {
    SimJob result;
    jobs::Job& job = result.job;
    job.name = reader.need_name("name");
    pick_connections(reader, connections, job);
    job.command = {"simulated"};
    job.workers = static_cast<int>(reader.integer("workers", 1, workers_max).value_or(job.workers));
    job.workers_min =
        static_cast<int>(reader.integer("workers_min", 1, job.workers).value_or(std::min(2, job.workers)));
    check_sizes(reader, scenario, job);
    job.max_concurrent_runs = static_cast<int>(reader.integer("max_concurrent_runs", 1, 100'000).value_or(100'000));
    job.queue_time_max = reader.duration("queue_time", 0s, 7 * 24h).value_or(job.queue_time_max);
    job.full_size_wait = reader.duration("full_size_wait", 0s, 24h).value_or(job.full_size_wait);
    job.low_risk = reader.boolean("low_risk").value_or(false);
    job.retry = read_retry(reader);
    read_arrivals(reader, scenario, result);
    if (!reader.has("run_time")) reader.need_text("run_time");
    read_spread(reader, "run_time", result.run_time);
    if (auto failures = reader.mapping("failures")) {
        result.failure_share = failures->number("share", 0, 1).value_or(0);
        result.failure_exit_code = static_cast<int>(failures->integer("exit_code", 1, 255).value_or(1));
        failures->finish();
    }
    reader.finish();
    return result;
}

void read_kind(yaml::Reader& reader, SimOutage& outage) {
    const auto kind = reader.word("kind", {"hard", "gray"});
    const bool hard = kind == "hard";
    outage.kind = hard ? engine::SimOutageKind::Hard : engine::SimOutageKind::Gray;
    if (kind == "gray" && !reader.has("fails_after")) reader.need_text("fails_after");
    if (hard && reader.has("fails_after"))
        reader.fault("fails_after", "a hard outage ends its runs at once: leave it out, or say 'kind: gray'");
    read_spread(reader, "fails_after", outage.fails_after);
    const std::string symptom =
        reader.word("symptom", {"network", "plain", "lost"}).value_or(hard ? "lost" : "network");
    if (hard && symptom != "lost") reader.fault("symptom", "runs of a hard outage are lost; leave it out");
    outage.symptom = symptom == "network" ? engine::SimSymptom::Network
                     : symptom == "plain" ? engine::SimSymptom::Plain
                                          : engine::SimSymptom::Lost;
}

SimOutage read_outage(yaml::Reader& reader, const SimScenario& scenario) {
    SimOutage outage;
    outage.zone = reader.need_text("zone");
    if (!outage.zone.empty() && !holds(scenario.zones, outage.zone))
        reader.fault("zone", unknown("zone", outage.zone, scenario.zones));
    for (const char* key : {"at", "length", "kind"})
        if (!reader.has(key)) reader.need_text(key);
    outage.at = reader.duration("at", 0s, scenario.length).value_or(0s);
    outage.length = reader.duration("length", 1s, length_max).value_or(1s);
    read_kind(reader, outage);
    outage.announced_after = reader.duration("announced_after", 0s, length_max);
    if (reader.has("announced_longer") && !reader.has("announced_after"))
        reader.fault("announced_longer", "this outage is never announced: add 'announced_after', or leave it out");
    outage.announced_longer = reader.duration("announced_longer", 0s, length_max).value_or(0s);
    reader.finish();
    return outage;
}

base::Result<SimScenario> read_scenario(yaml::Document document) {
    SimScenario scenario;
    yaml::Reader root = document.root();
    scenario.name = root.need_name("name");
    scenario.about = root.text("about").value_or("");
    if (!root.has("length")) root.need_text("length");
    scenario.length = root.duration("length", 1s, length_max).value_or(scenario.length);
    read_zones(root, scenario);
    read_subnets(root, scenario);
    const auto connections = read_connections(root, scenario);
    yaml::UniqueNames job_names("job");
    for (yaml::Reader& reader : root.list("jobs")) {
        scenario.jobs.push_back(read_job(reader, scenario, connections));
        job_names.add(reader, "name", scenario.jobs.back().job.name);
    }
    if (scenario.jobs.empty()) root.fault("jobs", "expected at least one job");
    if (scenario.jobs.size() > jobs_max) root.fault("jobs", fmt::format("expected at most {} jobs", jobs_max));
    for (yaml::Reader& reader : root.list("outages")) scenario.outages.push_back(read_outage(reader, scenario));
    if (scenario.outages.size() > outages_max)
        root.fault("outages", fmt::format("expected at most {} outages", outages_max));
    read_spread(root, "start_time", scenario.start_time);
    read_spread(root, "linger", scenario.linger);
    scenario.count_outages_only = root.word("count", {"all", "outages"}).value_or("all") == "outages";
    if (scenario.count_outages_only && scenario.outages.empty())
        root.fault("count", "no run is submitted during an outage: there is none");
    scenario.model_retry_delay = root.duration("model_retry_delay", 0s, 24h).value_or(scenario.model_retry_delay);
    scenario.events_max = static_cast<std::uint64_t>(
        root.integer("events_max", 1, events_max).value_or(static_cast<std::int64_t>(scenario.events_max)));
    root.finish();
    SB_CHECK(document.status());
    return scenario;
}

}  // namespace

base::Result<SimScenario> load_scenario(const std::string& path) {
    SB_TRY(yaml::Document document, yaml::Document::load(path));
    return read_scenario(std::move(document));
}

base::Result<SimScenario> parse_scenario(const std::string& text, const std::string& file) {
    SB_TRY(yaml::Document document, yaml::Document::parse(text, file));
    return read_scenario(std::move(document));
}

}  // namespace signalbox::app
