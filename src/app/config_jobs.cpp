#include "app/config_jobs.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

#include "app/config_spark.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;

constexpr int workers_max = 1000;
constexpr int concurrent_runs_max = 1000;
constexpr std::size_t groups_max = 50;  // as AWS Glue's SecurityGroupIdList

std::string names_of(const std::vector<std::string>& names) {
    return names.empty() ? "there is none" : "there are " + base::join(names, ", ");
}

std::optional<base::HostPort> read_source(yaml::Reader& reader, const std::vector<KnownEndpoint>& endpoints) {
    const auto text = reader.text("data_source");
    if (!text) return std::nullopt;
    if (text->find(':') != std::string::npos) {
        auto address = base::parse_host_port(*text);
        if (address) return std::move(*address);
        reader.fault("data_source", address.error().message);
        return std::nullopt;
    }
    std::vector<std::string> names;
    for (const KnownEndpoint& endpoint : endpoints) {
        if (endpoint.name == *text) return endpoint.listen;
        names.push_back(endpoint.name);
    }
    reader.fault("data_source",
                 fmt::format("expected an address with a port or the name of an endpoint, found '{}'; {}", *text,
                             names_of(names)));
    return std::nullopt;
}

jobs::Connection read_connection(yaml::Reader& reader, const std::vector<KnownEndpoint>& endpoints) {
    jobs::Connection connection;
    connection.name = reader.need_name("name");
    connection.subnet = reader.need_text("subnet");
    connection.security_groups = reader.texts("security_groups");
    if (connection.security_groups.empty()) reader.fault("security_groups", "expected at least one security group");
    if (connection.security_groups.size() > groups_max)
        reader.fault("security_groups", fmt::format("expected at most {} security groups", groups_max));
    connection.data_source = read_source(reader, endpoints);
    reader.finish();
    return connection;
}

std::vector<jobs::Connection> pick_connections(yaml::Reader& reader, const std::vector<jobs::Connection>& known) {
    std::vector<jobs::Connection> picked;
    std::vector<std::string> names;
    for (const jobs::Connection& connection : known) names.push_back(connection.name);
    std::set<std::string> seen;
    const auto wanted = reader.texts("connections");
    if (wanted.empty()) reader.fault("connections", "expected at least one connection, in the order of preference");
    for (const std::string& name : wanted) {
        if (!seen.insert(name).second) {
            reader.fault("connections", fmt::format("the connection '{}' stands twice", name));
            continue;
        }
        const auto found =
            std::find_if(known.begin(), known.end(), [&](const auto& connection) { return connection.name == name; });
        if (found != known.end()) {
            picked.push_back(*found);
            continue;
        }
        const auto near = base::nearest(name, names);
        reader.fault("connections", fmt::format("there is no connection '{}'; {}", name,
                                                near ? "did you mean " + *near + "?" : names_of(names)));
    }
    return picked;
}

void read_environment(yaml::Reader& reader, jobs::Job& job) {
    job.environment = reader.pairs("environment");
    for (const auto& [key, value] : job.environment) {
        if (key.empty() || key.find('=') != std::string::npos)
            reader.fault("environment", fmt::format("'{}' is no name of a variable", key));
        if (key.starts_with("SIGNALBOX_"))
            reader.fault("environment",
                         fmt::format("'{}': names that begin with SIGNALBOX_ are set for the job, not by "
                                     "the configuration",
                                     key));
    }
}

void read_command(yaml::Reader& reader, const std::string& config_file, jobs::Job& job) {
    job.command = reader.texts("command");
    if (auto spark = reader.mapping("spark")) {
        job.spark = read_spark(*spark, config_file);
        if (!job.command.empty()) reader.fault("command", "a job has either a 'command' or 'spark', not both");
    } else if (job.command.empty() || job.command.front().empty()) {
        reader.fault("command", "expected a list: the program, then its arguments (or 'spark' in its place)");
    }
}

jobs::Job read_job(yaml::Reader& reader, const std::string& config_file, const std::vector<jobs::Connection>& known) {
    jobs::Job job;
    job.name = reader.need_name("name");
    job.connections = pick_connections(reader, known);
    reader.word("strategy", {"ordered"});
    job.workers = static_cast<int>(reader.integer("workers", 1, workers_max).value_or(job.workers));
    read_command(reader, config_file, job);
    read_environment(reader, job);
    const auto folder = std::filesystem::absolute(std::filesystem::path(config_file)).parent_path();
    job.directory = (folder / reader.text("directory").value_or(".")).lexically_normal().string();
    job.timeout = reader.duration("timeout", 1s, 7 * 24h).value_or(job.timeout);
    job.max_concurrent_runs = static_cast<int>(
        reader.integer("max_concurrent_runs", 1, concurrent_runs_max).value_or(job.max_concurrent_runs));
    job.queue_time_max = reader.duration("queue_time", 0s, 7 * 24h).value_or(job.queue_time_max);
    reader.finish();
    return job;
}

void read_provider(yaml::Reader& root, const std::string& config_file, JobsConfig& config) {
    auto provider = root.mapping("provider");
    if (!provider) return;
    const auto folder = std::filesystem::path(config_file).parent_path();
    const auto resolve = [&](const std::filesystem::path& path) {
        return (path.is_absolute() ? path : folder / path).string();
    };
    if (auto lab = provider->mapping("lab")) {
        config.lab = LabProvider{resolve(lab->need_text("socket"))};
        lab->finish();
    }
    if (auto host = provider->mapping("host")) {
        const auto facts = host->text("facts");
        config.host = HostProvider{facts ? resolve(*facts) : ""};
        host->finish();
    }
    if (config.lab && config.host) {
        provider->fault("host", "expected one provider, found 'lab' and 'host'");
    } else if (!config.has_provider()) {
        provider->fault("lab",
                        "expected a provider: 'lab: {socket: PATH}', or 'host: {}' for plain processes on this host");
    }
    provider->finish();
}

}  // namespace

const jobs::Job* JobsConfig::find(const std::string& name) const {
    for (const jobs::Job& job : jobs)
        if (job.name == name) return &job;
    return nullptr;
}

JobsConfig read_jobs(yaml::Reader& root, const std::string& config_file, const std::vector<KnownEndpoint>& endpoints) {
    JobsConfig config;
    read_provider(root, config_file, config);
    yaml::UniqueNames connection_names("connection");
    for (yaml::Reader& reader : root.list("connections")) {
        config.connections.push_back(read_connection(reader, endpoints));
        connection_names.add(reader, "name", config.connections.back().name);
    }
    yaml::UniqueNames job_names("job");
    for (yaml::Reader& reader : root.list("jobs")) {
        config.jobs.push_back(read_job(reader, config_file, config.connections));
        job_names.add(reader, "name", config.jobs.back().name);
    }
    if (!config.jobs.empty() && !root.has("provider")) {
        root.fault("jobs", "jobs need a provider, where their nodes run: add 'provider: {lab: {socket: PATH}}' or "
                           "'provider: {host: {}}'");
    }
    return config;
}

}  // namespace signalbox::app
