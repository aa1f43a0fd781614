#include "domain/jobs/job_json.hpp"

#include <algorithm>

#include "domain/jobs/json_fields.hpp"

namespace signalbox::jobs {
namespace {

namespace json = base::json;

json::object to_json(const Source& source) {
    json::array addresses;
    for (const base::HostPort& address : source.addresses) addresses.push_back(json::value(address.text()));
    return {{"name", source.name}, {"addresses", std::move(addresses)}};
}

json::object to_json(const RetryPolicy& policy) {
    json::array rules;
    for (const RetryRule& rule : policy.rules) {
        json::array codes;
        for (const int code : rule.exit_codes) codes.push_back(code);
        rules.push_back(json::object{
            {"exit_codes", std::move(codes)}, {"log", rule.log_pattern}, {"class", to_string(rule.retry)}});
    }
    return {{"attempts", policy.attempts_max},
            {"backoff", base::format_duration(policy.backoff_base)},
            {"backoff_max", base::format_duration(policy.backoff_max)},
            {"budget", policy.budget_min},
            {"budget_ratio", policy.budget_ratio},
            {"budget_window", base::format_duration(policy.budget_window)},
            {"rules", std::move(rules)},
            {"otherwise", to_string(policy.otherwise)}};
}

RetryClass class_in(Fields& fields, const char* key) {
    const auto retry = parse_retry_class(fields.text(key));
    if (!retry) fields.wrong(key);
    return retry.value_or(RetryClass::Permanent);
}

base::Result<RetryPolicy> policy_from_json(const json::value& value) {
    Fields fields(value, "retry policy");
    RetryPolicy policy;
    policy.attempts_max = fields.number("attempts");
    policy.backoff_base = fields.duration("backoff");
    policy.backoff_max = fields.duration("backoff_max");
    policy.budget_min = fields.number("budget");
    policy.budget_ratio = fields.real("budget_ratio");
    policy.budget_window = fields.duration("budget_window");
    for (const json::value& element : fields.array("rules")) {
        Fields rule(element, "retry rule");
        RetryRule& added = policy.rules.emplace_back();
        for (const json::value& code : rule.array("exit_codes")) {
            if (code.is_int64()) {
                added.exit_codes.push_back(static_cast<int>(code.get_int64()));
            } else {
                rule.wrong("exit_codes");
            }
        }
        added.log_pattern = rule.text("log");
        added.retry = class_in(rule, "class");
        SB_CHECK(rule.status());
    }
    policy.otherwise = class_in(fields, "otherwise");
    SB_CHECK(fields.status());
    return policy;
}

base::Result<base::HostPort> address_from_json(const json::value& value) {
    if (!value.is_string())
        return base::fail(base::ErrorKind::CorruptData, "the stored source has no valid 'addresses'");
    return base::parse_host_port(std::string_view(value.get_string()));
}

base::Result<Source> source_from_json(const json::value& value) {
    Fields fields(value, "source");
    Source source{fields.text("name"), {}};
    for (const json::value& element : fields.array("addresses")) {
        SB_TRY(auto address, address_from_json(element));
        source.addresses.push_back(std::move(address));
    }
    SB_CHECK(fields.status());
    return source;
}

// What this version adds to a job: absent in what an older one stored.
base::Status read_newer(Fields& fields, Job& job) {
    if (fields.has("strategy")) {
        const auto strategy = parse_strategy(fields.text("strategy"));
        if (!strategy) fields.wrong("strategy");
        job.strategy = strategy.value_or(Strategy::Ordered);
    }
    job.workers_min = std::min(job.workers, job.workers_min);
    if (!fields.has("workers_min")) return {};
    job.workers_min = fields.number("workers_min");
    for (const json::value& element : fields.array("sources")) {
        SB_TRY(Source source, source_from_json(element));
        job.sources.push_back(std::move(source));
    }
    Fields program(fields.value("program"), "strategy program");
    job.program = {program.texts("command"), program.duration("deadline")};
    SB_CHECK(program.status());
    job.full_size_wait = fields.duration("full_size_wait");
    job.low_risk = fields.boolean("low_risk");
    SB_TRY(job.retry, policy_from_json(fields.value("retry")));
    return {};
}

}  // namespace

json::object to_json(const Connection& connection) {
    return {{"name", connection.name},
            {"subnet", connection.subnet},
            {"security_groups", texts_to_json(connection.security_groups)},
            {"data_source", connection.data_source ? json::value(connection.data_source->text()) : json::value()},
            {"managed", connection.managed}};
}

json::object to_json(const Job& job) {
    json::array connections, sources;
    for (const Connection& connection : job.connections) connections.push_back(to_json(connection));
    for (const Source& source : job.sources) sources.push_back(to_json(source));
    return {{"name", job.name},
            {"connections", std::move(connections)},
            {"sources", std::move(sources)},
            {"strategy", to_string(job.strategy)},
            {"program", json::object{{"command", texts_to_json(job.program.command)},
                                     {"deadline", base::format_duration(job.program.deadline)}}},
            {"workers", job.workers},
            {"workers_min", job.workers_min},
            {"command", texts_to_json(job.command)},
            {"directory", job.directory},
            {"timeout", base::format_duration(job.timeout)},
            {"max_concurrent_runs", job.max_concurrent_runs},
            {"queue_time", base::format_duration(job.queue_time_max)},
            {"full_size_wait", base::format_duration(job.full_size_wait)},
            {"low_risk", job.low_risk},
            {"retry", to_json(job.retry)}};
}

base::Result<Connection> connection_from_json(const json::value& value) {
    Fields fields(value, "connection");
    Connection connection;
    connection.name = fields.text("name");
    connection.subnet = fields.text("subnet");
    connection.security_groups = fields.texts("security_groups");
    if (!fields.is_null("data_source")) {
        const auto source = base::parse_host_port(fields.text("data_source"));
        if (source) connection.data_source = *source;
        if (!source) fields.wrong("data_source");
    }
    if (fields.has("managed")) connection.managed = fields.boolean("managed");
    SB_CHECK(fields.status());
    return connection;
}

base::Result<Job> job_from_json(const json::value& value) {
    Fields fields(value, "job");
    Job job;
    job.name = fields.text("name");
    for (const json::value& element : fields.array("connections")) {
        SB_TRY(Connection connection, connection_from_json(element));
        job.connections.push_back(std::move(connection));
    }
    job.workers = fields.number("workers");
    job.command = fields.texts("command");
    job.directory = fields.text("directory");
    job.timeout = fields.duration("timeout");
    job.max_concurrent_runs = fields.number("max_concurrent_runs");
    job.queue_time_max = fields.duration("queue_time");
    if (fields.has("environment")) job.environment = fields.pairs("environment");
    SB_CHECK(fields.status());
    SB_CHECK(read_newer(fields, job));
    SB_CHECK(fields.status());
    return job;
}

}  // namespace signalbox::jobs
