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
constexpr std::size_t sources_max = 50;
constexpr int attempts_max = 20;
constexpr int exit_code_max = 255;
constexpr std::size_t log_pattern_max = 200;
constexpr std::size_t groups_max = 50;  // as AWS Glue's SecurityGroupIdList

std::string names_of(const std::vector<std::string>& names) {
    return names.empty() ? "there is none" : "there are " + base::join(names, ", ");
}

// A source by the name of an endpoint or of a cluster, whose members it is, or as an address with a port.
std::optional<jobs::Source> find_source(yaml::Reader& reader, const std::string& key, const std::string& text,
                                        const std::vector<jobs::Source>& known) {
    if (text.find(':') != std::string::npos) {
        auto address = base::parse_host_port(text);
        if (address) return jobs::Source{text, {std::move(*address)}};
        reader.fault(key, address.error().message);
        return std::nullopt;
    }
    std::vector<std::string> names;
    for (const jobs::Source& source : known) {
        if (source.name == text) return source;
        names.push_back(source.name);
    }
    const auto near = base::nearest(text, names);
    reader.fault(key,
                 fmt::format("expected an address with a port or the name of an endpoint or a cluster, found '{}'; {}",
                             text, near ? "did you mean " + *near + "?" : names_of(names)));
    return std::nullopt;
}

std::optional<base::HostPort> read_source(yaml::Reader& reader, const std::vector<jobs::Source>& known) {
    const auto text = reader.text("data_source");
    if (!text) return std::nullopt;
    const auto source = find_source(reader, "data_source", *text, known);
    if (!source) return std::nullopt;
    if (source->addresses.size() == 1) return source->addresses.front();
    reader.fault("data_source",
                 fmt::format("'{}' has {} addresses: name it in the job's 'sources', which may have many", *text,
                             source->addresses.size()));
    return std::nullopt;
}

jobs::Connection read_connection(yaml::Reader& reader, const std::vector<jobs::Source>& known) {
    jobs::Connection connection;
    connection.name = reader.need_name("name");
    connection.managed = reader.boolean("managed").value_or(true);
    if (!connection.managed) {
        for (const char* key : {"subnet", "security_groups", "data_source"})
            if (reader.has(key)) reader.fault(key, "a connection that is not managed has a name alone");
        return connection;
    }
    connection.subnet = reader.need_text("subnet");
    connection.security_groups = reader.texts("security_groups");
    if (connection.security_groups.empty()) reader.fault("security_groups", "expected at least one security group");
    if (connection.security_groups.size() > groups_max)
        reader.fault("security_groups", fmt::format("expected at most {} security groups", groups_max));
    connection.data_source = read_source(reader, known);
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

void read_sources(yaml::Reader& reader, const std::vector<jobs::Source>& known, jobs::Job& job) {
    std::set<std::string> seen;
    for (const std::string& text : reader.texts("sources")) {
        if (!seen.insert(text).second) {
            reader.fault("sources", fmt::format("the source '{}' stands twice", text));
        } else if (auto source = find_source(reader, "sources", text, known)) {
            job.sources.push_back(std::move(*source));
        }
    }
    if (seen.size() > sources_max) reader.fault("sources", fmt::format("expected at most {} sources", sources_max));
}

std::optional<jobs::RetryClass> read_class(yaml::Reader& reader, const std::string& key) {
    const auto word = reader.word(key, {"transient", "connection", "zone", "permanent"});
    return word ? jobs::parse_retry_class(*word) : std::nullopt;
}

jobs::RetryRule read_rule(yaml::Reader& reader) {
    jobs::RetryRule rule;
    for (const std::string& text : reader.texts("exit_codes")) {
        const auto code = base::parse_int(text);
        if (code && *code >= 1 && *code <= exit_code_max) {
            rule.exit_codes.push_back(static_cast<int>(*code));
        } else {
            reader.fault("exit_codes",
                         fmt::format("expected exit codes from 1 to {}, found '{}'", exit_code_max, text));
        }
    }
    rule.log_pattern = reader.text("log").value_or("");
    if (rule.log_pattern.size() > log_pattern_max)
        reader.fault("log", fmt::format("expected at most {} bytes", log_pattern_max));
    if (!reader.has("exit_codes") && rule.log_pattern.empty())
        reader.fault("",
                     "a rule needs 'exit_codes' or 'log': one that names neither would match every failure; for that "
                     "there is 'otherwise'");
    if (!reader.has("class")) reader.fault("class", "expected one of transient, connection, zone, permanent");
    rule.retry = read_class(reader, "class").value_or(rule.retry);
    reader.finish();
    return rule;
}

void read_strategy(yaml::Reader& reader, jobs::Job& job) {
    const auto word = reader.word("strategy", {"resilient", "ordered", "random", "capacity", "program"});
    if (word) job.strategy = jobs::parse_strategy(*word).value_or(job.strategy);
    if (auto program = reader.mapping("program")) {
        job.program.command = program->texts("command");
        if (job.program.command.empty() || job.program.command.front().empty())
            program->fault("command", "expected a list: the program, then its arguments");
        job.program.deadline = program->duration("deadline", 10ms, 30s).value_or(job.program.deadline);
        if (word && job.strategy != jobs::Strategy::Program)
            reader.fault("program", fmt::format("a program is asked by 'strategy: program' alone, found '{}'", *word));
        if (!word) job.strategy = jobs::Strategy::Program;
        program->finish();
    } else if (job.strategy == jobs::Strategy::Program) {
        reader.fault("strategy", "the strategy 'program' needs 'program: {command: [PROGRAM, …]}'");
    }
    const bool resilient = job.strategy == jobs::Strategy::Resilient;
    for (const char* key : {"full_size_wait", "low_risk"})
        if (reader.has(key) && !resilient)
            reader.fault(key, fmt::format("it concerns the strategy 'resilient' alone, found '{}'",
                                          jobs::to_string(job.strategy)));
    job.full_size_wait = reader.duration("full_size_wait", 0s, 7 * 24h).value_or(job.full_size_wait);
    job.low_risk = reader.boolean("low_risk").value_or(false);
}

void read_workers(yaml::Reader& reader, jobs::Job& job) {
    job.workers = static_cast<int>(reader.integer("workers", 1, workers_max).value_or(job.workers));
    const int least = std::min(job.workers, job.workers_min);
    job.workers_min = static_cast<int>(reader.integer("workers_min", 1, workers_max).value_or(least));
    if (job.workers_min > job.workers)
        reader.fault("workers_min",
                     fmt::format("expected at most 'workers', {}, found {}", job.workers, job.workers_min));
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

jobs::Job read_job(yaml::Reader& reader, const std::string& config_file, const std::vector<jobs::Connection>& known,
                   const std::vector<jobs::Source>& sources) {
    jobs::Job job;
    job.name = reader.need_name("name");
    job.connections = pick_connections(reader, known);
    const bool any_managed = std::any_of(job.connections.begin(), job.connections.end(),
                                         [](const jobs::Connection& connection) { return connection.managed; });
    if (!job.connections.empty() && !any_managed)
        reader.fault("connections", "expected at least one connection that is managed: only such are chosen");
    read_sources(reader, sources, job);
    read_strategy(reader, job);
    read_workers(reader, job);
    job.retry = read_retry(reader);
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

jobs::RetryPolicy read_retry(yaml::Reader& job) {
    jobs::RetryPolicy policy;
    auto reader = job.mapping("retry");
    if (!reader) return policy;
    policy.attempts_max = static_cast<int>(reader->integer("attempts", 1, attempts_max).value_or(policy.attempts_max));
    policy.backoff_base = reader->duration("backoff", 0s, 24h).value_or(policy.backoff_base);
    policy.backoff_max =
        reader->duration("backoff_max", 0s, 24h).value_or(std::max(policy.backoff_base, policy.backoff_max));
    if (policy.backoff_max < policy.backoff_base)
        reader->fault("backoff_max", fmt::format("expected at least the backoff, {}, found {}",
                                                 base::format_duration(policy.backoff_base),
                                                 base::format_duration(policy.backoff_max)));
    policy.budget_min = static_cast<int>(reader->integer("budget", 0, 100'000).value_or(policy.budget_min));
    policy.budget_ratio = reader->number("budget_ratio", 0, attempts_max).value_or(policy.budget_ratio);
    policy.budget_window = reader->duration("budget_window", 1min, 7 * 24h).value_or(policy.budget_window);
    for (yaml::Reader& rule : reader->list("rules")) policy.rules.push_back(read_rule(rule));
    policy.otherwise = read_class(*reader, "otherwise").value_or(policy.otherwise);
    reader->finish();
    return policy;
}

const jobs::Job* JobsConfig::find(const std::string& name) const {
    for (const jobs::Job& job : jobs)
        if (job.name == name) return &job;
    return nullptr;
}

JobsConfig read_jobs(yaml::Reader& root, const std::string& config_file, const std::vector<jobs::Source>& sources) {
    JobsConfig config;
    read_provider(root, config_file, config);
    yaml::UniqueNames connection_names("connection");
    for (yaml::Reader& reader : root.list("connections")) {
        config.connections.push_back(read_connection(reader, sources));
        connection_names.add(reader, "name", config.connections.back().name);
    }
    yaml::UniqueNames job_names("job");
    for (yaml::Reader& reader : root.list("jobs")) {
        config.jobs.push_back(read_job(reader, config_file, config.connections, sources));
        job_names.add(reader, "name", config.jobs.back().name);
    }
    if (!config.jobs.empty() && !root.has("provider")) {
        root.fault("jobs",
                   "jobs need a provider, where their nodes run: add 'provider: {lab: {socket: PATH}}' or "
                   "'provider: {host: {}}'");
    }
    return config;
}

}  // namespace signalbox::app
