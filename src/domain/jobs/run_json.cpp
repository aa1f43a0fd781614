// Runs as JSON, both ways.

#include <array>

#include "domain/jobs/job_json.hpp"
#include "domain/jobs/json_fields_internal.hpp"
#include "domain/jobs/run.hpp"

namespace signalbox::jobs {
namespace {

namespace json = base::json;

json::value time_or_null(const std::optional<base::WallTime>& time) {
    return time ? json::value(base::format_time(*time)) : json::value();
}

constexpr std::array<const char*, 5> node_stages = {"planned", "intended", "started", "ended", "dropped"};

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

json::value text_or_null(const std::string& text) { return text.empty() ? json::value() : json::value(text); }

// What concerns attempts: absent in what an older version stored.
base::Status read_attempts(Fields& fields, Run& run) {
    if (!fields.has("first_submitted_at")) return {};
    if (!fields.is_null("previous")) run.previous = fields.text("previous");
    if (!fields.is_null("next")) run.next = fields.text("next");
    run.first_submitted_at = fields.time("first_submitted_at");
    run.not_before = fields.optional_time("not_before");
    run.deciding_since = fields.optional_time("deciding_since");
    run.retry_reason = fields.text("retry_reason");
    if (!fields.is_null("verdict")) {
        Fields verdict(fields.value("verdict"), "verdict");
        run.verdict = Verdict{verdict.word("class", parse_retry_class), verdict.text("reason")};
        SB_CHECK(verdict.status());
    }
    for (const json::value& element : fields.array("tried")) {
        Fields one(element, "tried connection");
        run.tried.push_back(
            {one.text("connection"), one.text("subnet"), one.text("zone"), one.word("class", parse_retry_class)});
        SB_CHECK(one.status());
    }
    return fields.status();
}

}  // namespace

std::string_view to_string(NodeStage stage) { return node_stages.at(static_cast<std::size_t>(stage)); }

json::object describe(const Run& run) {
    json::array nodes;
    for (const Node& node : run.nodes) nodes.push_back(to_json(node));
    json::array tried;
    for (const Tried& one : run.tried) {
        tried.push_back(json::object{{"connection", one.connection},
                                     {"subnet", one.subnet},
                                     {"zone", one.zone},
                                     {"class", to_string(one.retry)}});
    }
    json::value verdict;
    if (run.verdict) verdict = json::object{{"class", to_string(run.verdict->retry)}, {"reason", run.verdict->reason}};
    return {{"id", run.id},
            {"attempt", run.attempt},
            {"previous", text_or_null(run.previous)},
            {"next", text_or_null(run.next)},
            {"job", to_json(run.job, Secrets::LeftOut)},
            {"arguments", pairs_to_json(run.arguments)},
            {"directory", run.directory},
            {"state", to_string(run.state)},
            {"reason", run.reason},
            {"outcome", run.outcome ? json::value(to_string(*run.outcome)) : json::value()},
            {"outcome_at", base::format_time(run.outcome_at)},
            {"exit_code", run.exit_code ? json::value(*run.exit_code) : json::value()},
            {"stop_requested", run.stop_requested},
            {"verdict", std::move(verdict)},
            {"retry_reason", run.retry_reason},
            {"tried", std::move(tried)},
            {"first_submitted_at", base::format_time(run.first_submitted_at)},
            {"submitted_at", base::format_time(run.submitted_at)},
            {"not_before", time_or_null(run.not_before)},
            {"deciding_since", time_or_null(run.deciding_since)},
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
    object["job"] = to_json(run.job, Secrets::Included);
    return object;
}

base::Result<Run> run_from_json(const json::value& value) {
    Fields fields(value, "run");
    Run run;
    SB_CHECK(read_attempts(fields, run));
    run.id = fields.text("id");
    run.attempt = fields.number("attempt");
    SB_TRY(run.job, parse_job(fields.value("job")));
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
    if (!fields.has("first_submitted_at")) run.first_submitted_at = run.submitted_at;
    run.starting_at = fields.optional_time("starting_at");
    run.running_at = fields.optional_time("running_at");
    run.ended_at = fields.optional_time("ended_at");
    if (const json::object* decision = fields.value("decision").if_object()) run.decision = *decision;
    if (!fields.is_null("connection")) {
        SB_TRY(run.connection, parse_connection(fields.value("connection")));
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
