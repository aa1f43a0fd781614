// Runs as JSON, both ways.

#include <array>

#include "domain/jobs/run.hpp"
#include "domain/jobs/spark_json.hpp"

namespace signalbox::jobs {
namespace {

using base::ErrorKind;
using base::fail;
namespace json = base::json;

constexpr std::array<const char*, 5> node_stages = {"planned", "intended", "started", "ended", "dropped"};

json::value time_or_null(const std::optional<base::WallTime>& time) {
    return time ? json::value(base::format_time(*time)) : json::value();
}

json::array pairs_to_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
    json::array array;
    for (const auto& [key, value] : pairs) array.push_back(json::array{key, value});
    return array;
}

json::array texts_to_json(const std::vector<std::string>& texts) {
    json::array array;
    for (const std::string& text : texts) array.push_back(json::value(text));
    return array;
}

json::object to_json(const Connection& connection) {
    return {{"name", connection.name},
            {"subnet", connection.subnet},
            {"security_groups", texts_to_json(connection.security_groups)},
            {"data_source", connection.data_source ? json::value(connection.data_source->text()) : json::value()}};
}

json::object to_json(const Job& job) {
    json::array connections;
    for (const Connection& connection : job.connections) connections.push_back(to_json(connection));
    return {{"name", job.name},
            {"connections", std::move(connections)},
            {"strategy", to_string(job.strategy)},
            {"workers", job.workers},
            {"command", texts_to_json(job.command)},
            {"spark", spark_to_json(job.spark, SparkConf::Hidden)},
            {"directory", job.directory},
            {"timeout", base::format_duration(job.timeout)},
            {"max_concurrent_runs", job.max_concurrent_runs},
            {"queue_time", base::format_duration(job.queue_time_max)}};
}

json::object to_json(const Node& node) {
    json::value exit;
    if (node.exit) {
        exit =
            json::object{{"how", to_string(node.exit->how)}, {"code", node.exit->code}, {"signal", node.exit->signal}};
    }
    return {{"rank", node.rank},
            {"token", node.token},
            {"stage", to_string(node.stage)},
            {"launches", node.launches},
            {"intended_at", base::format_time(node.intended_at)},
            {"process", node.process},
            {"address", node.address},
            {"refusal", node.refusal},
            {"refused_at", base::format_time(node.refused_at)},
            {"missing_since", time_or_null(node.missing_since)},
            {"started_at", time_or_null(node.started_at)},
            {"ended_at", time_or_null(node.ended_at)},
            {"exit", std::move(exit)}};
}

// Reads fields of an object and remembers the first one that is missing or wrong, so that the callers stay flat.
class Fields {
  public:
    Fields(const json::value& value, std::string what) : what_(std::move(what)) {
        object_ = value.if_object();
        if (object_ == nullptr) wrong("object");
    }

    std::string text(const char* key) {
        const json::value* value = get(key);
        if (value != nullptr && value->is_string()) return std::string(value->get_string());
        wrong(key);
        return {};
    }
    int number(const char* key) { return static_cast<int>(integer(key)); }
    std::int64_t integer(const char* key) {
        const json::value* value = get(key);
        if (value != nullptr && value->is_int64()) return value->get_int64();
        wrong(key);
        return 0;
    }
    bool boolean(const char* key) {
        const json::value* value = get(key);
        if (value != nullptr && value->is_bool()) return value->get_bool();
        wrong(key);
        return false;
    }
    base::WallTime time(const char* key) { return optional_time(key).value_or(base::WallTime{}); }
    std::optional<base::WallTime> optional_time(const char* key) {
        if (is_null(key)) return std::nullopt;
        const auto time = base::parse_time(text(key));
        if (!time) wrong(key);
        return time ? std::optional(*time) : std::nullopt;
    }
    base::Duration duration(const char* key) {
        const auto duration = base::parse_duration(text(key));
        if (!duration) wrong(key);
        return duration ? *duration : base::Duration{};
    }
    const json::array& array(const char* key) {
        static const json::array none;
        const json::value* value = get(key);
        if (value != nullptr && value->is_array()) return value->get_array();
        wrong(key);
        return none;
    }
    std::vector<std::string> texts(const char* key) {
        std::vector<std::string> texts;
        for (const json::value& value : array(key)) {
            if (value.is_string()) {
                texts.emplace_back(value.get_string());
            } else {
                wrong(key);
            }
        }
        return texts;
    }
    std::vector<std::pair<std::string, std::string>> pairs(const char* key) {
        std::vector<std::pair<std::string, std::string>> pairs;
        for (const json::value& value : array(key)) {
            const json::array* pair = value.if_array();
            if (pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string()) {
                pairs.emplace_back((*pair)[0].get_string(), (*pair)[1].get_string());
            } else {
                wrong(key);
            }
        }
        return pairs;
    }
    bool has(const char* key) { return get(key) != nullptr; }
    bool is_null(const char* key) {
        const json::value* value = get(key);
        return value != nullptr && value->is_null();
    }
    const json::value& value(const char* key) {
        static const json::value null;
        const json::value* value = get(key);
        if (value == nullptr) wrong(key);
        return value == nullptr ? null : *value;
    }
    void wrong(const char* key) {
        if (wrong_.empty()) wrong_ = key;
    }
    base::Status status() const {
        if (wrong_.empty()) return {};
        return fail(ErrorKind::CorruptData, "the stored {} has no valid '{}'", what_, wrong_);
    }

  private:
    const json::value* get(const char* key) { return object_ == nullptr ? nullptr : object_->if_contains(key); }

    std::string what_;
    const json::object* object_ = nullptr;
    std::string wrong_;
};

base::Result<Connection> connection_from_json(const json::value& value) {
    Fields fields(value, "connection");
    Connection connection{fields.text("name"), fields.text("subnet"), fields.texts("security_groups"), {}};
    if (!fields.is_null("data_source")) {
        const auto source = base::parse_host_port(fields.text("data_source"));
        if (source) connection.data_source = *source;
        if (!source) fields.wrong("data_source");
    }
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
    if (fields.has("spark")) {
        SB_TRY(job.spark, spark_from_json(fields.value("spark")));
    }
    job.directory = fields.text("directory");
    job.timeout = fields.duration("timeout");
    job.max_concurrent_runs = fields.number("max_concurrent_runs");
    job.queue_time_max = fields.duration("queue_time");
    job.environment = fields.pairs("environment");
    SB_CHECK(fields.status());
    return job;
}

base::Result<Node> node_from_json(const json::value& value) {
    Fields fields(value, "node");
    Node node;
    node.rank = fields.number("rank");
    node.token = fields.text("token");
    const std::string stage = fields.text("stage");
    bool known = false;
    for (std::size_t i = 0; i < node_stages.size(); ++i) {
        if (stage != node_stages[i]) continue;
        node.stage = static_cast<NodeStage>(i);
        known = true;
    }
    if (!known) fields.wrong("stage");
    node.launches = fields.number("launches");
    node.intended_at = fields.time("intended_at");
    node.process = fields.text("process");
    node.address = fields.text("address");
    node.refusal = fields.text("refusal");
    node.refused_at = fields.time("refused_at");
    node.missing_since = fields.optional_time("missing_since");
    node.started_at = fields.optional_time("started_at");
    node.ended_at = fields.optional_time("ended_at");
    if (!fields.is_null("exit")) {
        Fields exit(fields.value("exit"), "exit");
        const auto how = parse_exit_how(exit.text("how"));
        if (!how) exit.wrong("how");
        node.exit = Exit{how.value_or(ExitHow::Lost), exit.number("code"), exit.number("signal")};
        SB_CHECK(exit.status());
    }
    SB_CHECK(fields.status());
    return node;
}

}  // namespace

std::string_view to_string(NodeStage stage) { return node_stages.at(static_cast<std::size_t>(stage)); }

json::object describe(const Run& run) {
    json::array nodes;
    for (const Node& node : run.nodes) nodes.push_back(to_json(node));
    return {{"id", run.id},
            {"attempt", run.attempt},
            {"job", to_json(run.job)},
            {"arguments", pairs_to_json(run.arguments)},
            {"directory", run.directory},
            {"state", to_string(run.state)},
            {"reason", run.reason},
            {"outcome", run.outcome ? json::value(to_string(*run.outcome)) : json::value()},
            {"outcome_at", base::format_time(run.outcome_at)},
            {"exit_code", run.exit_code ? json::value(*run.exit_code) : json::value()},
            {"stop_requested", run.stop_requested},
            {"submitted_at", base::format_time(run.submitted_at)},
            {"starting_at", time_or_null(run.starting_at)},
            {"running_at", time_or_null(run.running_at)},
            {"ended_at", time_or_null(run.ended_at)},
            {"decision", run.decision},
            {"connection", run.connection ? json::value(to_json(*run.connection)) : json::value()},
            {"zone", run.zone},
            {"nodes", std::move(nodes)}};
}

json::object to_json(const Run& run) {
    json::object object = describe(run);
    object["job"].as_object()["environment"] = pairs_to_json(run.job.environment);
    object["job"].as_object()["spark"] = spark_to_json(run.job.spark, SparkConf::Whole);
    return object;
}

base::Result<Run> run_from_json(const json::value& value) {
    Fields fields(value, "run");
    Run run;
    run.id = fields.text("id");
    run.attempt = fields.number("attempt");
    SB_TRY(run.job, job_from_json(fields.value("job")));
    run.arguments = fields.pairs("arguments");
    run.directory = fields.text("directory");
    const auto state = parse_run_state(fields.text("state"));
    if (!state) fields.wrong("state");
    run.state = state.value_or(RunState::Waiting);
    run.reason = fields.text("reason");
    if (!fields.is_null("outcome")) {
        run.outcome = parse_run_state(fields.text("outcome"));
        if (!run.outcome) fields.wrong("outcome");
    }
    run.outcome_at = fields.time("outcome_at");
    if (!fields.is_null("exit_code")) run.exit_code = fields.number("exit_code");
    run.stop_requested = fields.boolean("stop_requested");
    run.submitted_at = fields.time("submitted_at");
    run.starting_at = fields.optional_time("starting_at");
    run.running_at = fields.optional_time("running_at");
    run.ended_at = fields.optional_time("ended_at");
    if (const json::object* decision = fields.value("decision").if_object()) run.decision = *decision;
    if (!fields.is_null("connection")) {
        SB_TRY(run.connection, connection_from_json(fields.value("connection")));
    }
    run.zone = fields.text("zone");
    for (const json::value& element : fields.array("nodes")) {
        SB_TRY(Node node, node_from_json(element));
        run.nodes.push_back(std::move(node));
    }
    SB_CHECK(fields.status());
    return run;
}

}  // namespace signalbox::jobs
