#include "domain/jobs/job_json.hpp"

#include <algorithm>

#include "domain/jobs/json_fields_internal.hpp"
#include "domain/jobs/spark_json.hpp"

namespace signalbox::jobs {
namespace {

namespace json = base::json;

constexpr int attempts_most = 20;

json::object to_json(const Source& source) {
    json::array addresses;
    for (const base::HostPort& address : source.addresses) addresses.push_back(json::value(address.text()));
    return {{"name", source.name}, {"addresses", std::move(addresses)}};
}

json::object to_json(const RetryRule& rule) {
    json::array codes;
    for (const int code : rule.exit_codes) codes.push_back(code);
    return {{"exit_codes", std::move(codes)}, {"log_pattern", rule.log_pattern}, {"class", to_string(rule.retry)}};
}

json::object to_json(const RetryPolicy& policy) {
    json::array rules;
    for (const RetryRule& rule : policy.rules) rules.push_back(to_json(rule));
    return {{"attempts", policy.attempts_max},
            {"backoff_base", base::format_duration(policy.backoff_base)},
            {"backoff_max", base::format_duration(policy.backoff_max)},
            {"budget_min", policy.budget_min},
            {"budget_ratio", policy.budget_ratio},
            {"budget_window", base::format_duration(policy.budget_window)},
            {"rules", std::move(rules)},
            {"otherwise", to_string(policy.otherwise)}};
}

base::Result<Source> parse_source(const json::value& value) {
    Fields fields(value, "source");
    Source source;
    source.name = fields.text("name");
    for (const std::string& text : fields.texts("addresses")) {
        const auto address = base::parse_host_port(text);
        if (!address) {
            fields.wrong("addresses");
            break;
        }
        source.addresses.push_back(*address);
    }
    SB_CHECK(fields.status());
    return source;
}

base::Result<RetryRule> parse_rule(const json::value& value) {
    Fields fields(value, "retry rule");
    RetryRule rule;
    for (const json::value& code : fields.array("exit_codes")) {
        const bool fits = code.is_int64() && code.get_int64() >= 0 && code.get_int64() <= 255;
        if (!fits) fields.wrong("exit_codes");
        rule.exit_codes.push_back(fits ? static_cast<int>(code.get_int64()) : 0);
    }
    rule.log_pattern = fields.text("log_pattern");
    rule.retry = fields.word("class", parse_retry_class);
    SB_CHECK(fields.status());
    return rule;
}

base::Result<RetryPolicy> parse_policy(const json::value& value) {
    Fields fields(value, "retry policy");
    RetryPolicy policy;
    policy.attempts_max = fields.number("attempts", 1);
    if (policy.attempts_max > attempts_most) fields.wrong("attempts");
    policy.backoff_base = fields.duration("backoff_base");
    policy.backoff_max = fields.duration("backoff_max");
    policy.budget_min = fields.number("budget_min", 0);
    policy.budget_ratio = fields.real("budget_ratio", 0);
    policy.budget_window = fields.duration("budget_window");
    for (const json::value& element : fields.array("rules")) {
        SB_TRY(RetryRule rule, parse_rule(element));
        policy.rules.push_back(std::move(rule));
    }
    policy.otherwise = fields.word("otherwise", parse_retry_class);
    SB_CHECK(fields.status());
    return policy;
}

base::Result<StrategyProgram> parse_program(const json::value& value) {
    Fields fields(value, "strategy program");
    StrategyProgram program{fields.texts("command"), fields.duration("deadline")};
    SB_CHECK(fields.status());
    return program;
}

}  // namespace

json::object to_json(const Connection& connection) {
    return {{"name", connection.name},
            {"subnet", connection.subnet},
            {"security_groups", texts_to_json(connection.security_groups)},
            {"data_source", connection.data_source ? json::value(connection.data_source->text()) : json::value()},
            {"managed", connection.managed}};
}

base::Result<Connection> parse_connection(const json::value& value) {
    Fields fields(value, "connection");
    Connection connection{fields.text("name"), fields.text("subnet"), fields.texts("security_groups"), {}};
    if (!fields.is_null("data_source")) {
        const auto source = base::parse_host_port(fields.text("data_source"));
        if (source) connection.data_source = *source;
        if (!source) fields.wrong("data_source");
    }
    if (fields.has("managed")) connection.managed = fields.boolean("managed");
    SB_CHECK(fields.status());
    return connection;
}

json::object to_json(const Job& job, Secrets secrets) {
    json::array connections;
    for (const Connection& connection : job.connections) connections.push_back(to_json(connection));
    json::array sources;
    for (const Source& source : job.sources) sources.push_back(to_json(source));
    json::object object{{"name", job.name},
                        {"connections", std::move(connections)},
                        {"sources", std::move(sources)},
                        {"strategy", to_string(job.strategy)},
                        {"program", json::object{{"command", texts_to_json(job.program.command)},
                                                 {"deadline", base::format_duration(job.program.deadline)}}},
                        {"workers", job.workers},
                        {"workers_min", job.workers_min},
                        {"command", texts_to_json(job.command)},
                        {"spark", spark_to_json(job.spark, secrets)},
                        {"directory", job.directory},
                        {"timeout", base::format_duration(job.timeout)},
                        {"max_concurrent_runs", job.max_concurrent_runs},
                        {"queue_time", base::format_duration(job.queue_time_max)},
                        {"full_size_wait", base::format_duration(job.full_size_wait)},
                        {"low_risk", job.low_risk},
                        {"retry", to_json(job.retry)}};
    if (secrets == Secrets::Included) object["environment"] = pairs_to_json(job.environment);
    return object;
}

base::Result<Job> parse_job(const json::value& value) {
    Fields fields(value, "job");
    Job job;
    job.name = fields.text("name");
    for (const json::value& element : fields.array("connections")) {
        SB_TRY(Connection connection, parse_connection(element));
        job.connections.push_back(std::move(connection));
    }
    job.strategy = fields.word("strategy", parse_strategy);
    job.workers = fields.number("workers", 1);
    job.command = fields.texts("command");
    job.directory = fields.text("directory");
    job.timeout = fields.duration("timeout");
    job.max_concurrent_runs = fields.number("max_concurrent_runs", 1);
    job.queue_time_max = fields.duration("queue_time");
    if (fields.has("spark")) {
        SB_TRY(job.spark, parse_spark(fields.value("spark")));
    }
    if (fields.has("environment")) job.environment = fields.pairs("environment");
    if (fields.has("sources")) {
        for (const json::value& element : fields.array("sources")) {
            SB_TRY(Source source, parse_source(element));
            job.sources.push_back(std::move(source));
        }
    }
    if (fields.has("program")) {
        SB_TRY(job.program, parse_program(fields.value("program")));
    }
    job.workers_min = std::min(job.workers, job.workers_min);
    if (fields.has("workers_min")) job.workers_min = fields.number("workers_min", 1);
    if (fields.has("full_size_wait")) job.full_size_wait = fields.duration("full_size_wait");
    if (fields.has("low_risk")) job.low_risk = fields.boolean("low_risk");
    if (fields.has("retry")) {
        SB_TRY(job.retry, parse_policy(fields.value("retry")));
    }
    SB_CHECK(fields.status());
    return job;
}

}  // namespace signalbox::jobs
