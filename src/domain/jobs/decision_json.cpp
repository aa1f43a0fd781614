// Decisions and their inputs as JSON.

#include "domain/jobs/decision.hpp"
#include "domain/jobs/job_json.hpp"
#include "domain/jobs/json_fields_internal.hpp"

namespace signalbox::jobs {
namespace {

namespace json = base::json;

json::object to_json(const base::Fault& fault) {
    return {{"code", fault.code},       {"name", fault.name},     {"severity", base::to_string(fault.severity)},
            {"message", fault.message}, {"remedy", fault.remedy}, {"signal", fault.signal}};
}

json::array to_json(const std::vector<base::Fault>& faults) {
    json::array array;
    for (const base::Fault& fault : faults) array.push_back(to_json(fault));
    return array;
}

json::object to_json(const Health& health) {
    return {{"state", to_string(health.state)}, {"badness", health.badness}, {"reason", health.reason}};
}

// With the number as text: as a JSON number it would not be read back to the last bit.
json::object stored(const Health& health) {
    return {
        {"state", to_string(health.state)}, {"badness", fmt::format("{}", health.badness)}, {"reason", health.reason}};
}

json::object to_json(const Ranked& ranked, bool chosen) {
    const Candidate& candidate = ranked.candidate;
    return {{"connection", candidate.connection.name},
            {"subnet", candidate.connection.subnet},
            {"network", candidate.network},
            {"zone", candidate.zone},
            {"result", to_string(ranked.usability)},
            {"chosen", chosen},
            {"despite_signals", ranked.despite_signals},
            {"nodes", ranked.nodes},
            {"free_addresses", candidate.free_addresses},
            {"available_addresses", candidate.available},
            {"coming_back", candidate.coming_back},
            {"back_at", candidate.back_at ? json::value(base::format_time(*candidate.back_at)) : json::value()},
            {"way_out", candidate.way_out},
            {"health", to_json(candidate.health)},
            {"why", ranked.why},
            {"faults", to_json(candidate.faults)}};
}

json::object to_json(const Candidate& candidate) {
    return {{"connection", to_json(candidate.connection)},
            {"network", candidate.network},
            {"zone", candidate.zone},
            {"way_out", candidate.way_out},
            {"free_addresses", candidate.free_addresses},
            {"available", candidate.available},
            {"coming_back", candidate.coming_back},
            {"back_at", exact_time_or_null(candidate.back_at)},
            {"size", candidate.size},
            {"health", stored(candidate.health)},
            {"faults", to_json(candidate.faults)}};
}

json::object to_json(const Tried& tried) {
    return {{"connection", tried.connection},
            {"subnet", tried.subnet},
            {"zone", tried.zone},
            {"class", to_string(tried.retry)}};
}

std::optional<base::Severity> parse_severity(std::string_view text) {
    using base::Severity;
    for (const Severity severity : {Severity::Notice, Severity::Degraded, Severity::Unusable})
        if (text == base::to_string(severity)) return severity;
    return std::nullopt;
}

std::optional<BreakerState> parse_breaker_state(std::string_view text) {
    for (const BreakerState state : {BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen})
        if (text == to_string(state)) return state;
    return std::nullopt;
}

base::Result<base::Fault> parse_fault(const json::value& value) {
    Fields fields(value, "fault");
    base::Fault fault;
    fault.code = fields.text("code");
    fault.name = fields.text("name");
    fault.severity = fields.word("severity", parse_severity);
    fault.signal = fields.boolean("signal");
    fault.message = fields.text("message");
    fault.remedy = fields.text("remedy");
    SB_CHECK(fields.status());
    return fault;
}

base::Result<Health> parse_health(const json::value& value) {
    Fields fields(value, "health");
    Health health;
    health.state = fields.word("state", parse_breaker_state);
    const auto badness = base::parse_double(fields.text("badness"));
    if (!badness || !(*badness >= 0)) fields.wrong("badness");
    health.badness = badness.value_or(0);
    health.reason = fields.text("reason");
    SB_CHECK(fields.status());
    return health;
}

base::Result<Candidate> parse_candidate(const json::value& value) {
    Fields fields(value, "candidate");
    Candidate candidate;
    SB_TRY(candidate.connection, parse_connection(fields.value("connection")));
    candidate.network = fields.text("network");
    candidate.zone = fields.text("zone");
    candidate.way_out = fields.text("way_out");
    candidate.free_addresses = fields.count("free_addresses");
    candidate.available = fields.count("available");
    candidate.coming_back = fields.count("coming_back");
    candidate.back_at = fields.optional_time("back_at");
    candidate.size = fields.count("size");
    SB_TRY(candidate.health, parse_health(fields.value("health")));
    for (const json::value& element : fields.array("faults")) {
        SB_TRY(base::Fault fault, parse_fault(element));
        candidate.faults.push_back(std::move(fault));
    }
    SB_CHECK(fields.status());
    return candidate;
}

base::Result<Tried> parse_tried(const json::value& value) {
    Fields fields(value, "earlier attempt");
    Tried tried{fields.text("connection"), fields.text("subnet"), fields.text("zone"),
                fields.word("class", parse_retry_class)};
    SB_CHECK(fields.status());
    return tried;
}

base::Result<ProgramAnswer> parse_program_answer(const json::value& value) {
    Fields fields(value, "program's answer");
    ProgramAnswer answer{fields.texts("names"), fields.text("fault")};
    SB_CHECK(fields.status());
    return answer;
}

}  // namespace

json::object to_json(const Decision& decision) {
    json::array candidates;
    for (std::size_t i = 0; i < decision.candidates.size(); ++i)
        candidates.push_back(to_json(decision.candidates[i], decision.chosen == i));
    json::array order;
    for (const std::size_t i : decision.order)
        order.push_back(json::value(decision.candidates[i].candidate.connection.name));
    const Ranked* choice = decision.choice();
    return {{"strategy", to_string(decision.strategy)},
            {"fallback", decision.fallback},
            {"at", base::format_time(decision.at)},
            {"facts_at", base::format_time(decision.facts_at)},
            {"nodes_wanted", decision.nodes_wanted},
            {"connection", choice ? json::value(choice->candidate.connection.name) : json::value()},
            {"wait_until", decision.wait_until ? json::value(base::format_time(*decision.wait_until)) : json::value()},
            {"reason", decision.reason},
            {"order", std::move(order)},
            {"candidates", std::move(candidates)}};
}

json::object to_json(const DecisionInput& input) {
    json::array candidates;
    for (const Candidate& candidate : input.candidates) candidates.push_back(to_json(candidate));
    json::array tried;
    for (const Tried& attempt : input.tried) tried.push_back(to_json(attempt));
    json::value program;
    if (input.program)
        program = json::object{{"names", texts_to_json(input.program->names)}, {"fault", input.program->fault}};
    return {{"job", to_json(input.job, Secrets::LeftOut)},
            {"candidates", std::move(candidates)},
            {"at", exact_time(input.at)},
            {"facts_at", exact_time(input.facts_at)},
            {"seed", input.seed},
            {"tried", std::move(tried)},
            {"deciding_since", exact_time(input.deciding_since)},
            {"program", std::move(program)}};
}

base::Result<DecisionInput> parse_decision_input(const json::value& value) {
    Fields fields(value, "decision's input");
    DecisionInput input;
    SB_TRY(input.job, parse_job(fields.value("job")));
    for (const json::value& element : fields.array("candidates")) {
        SB_TRY(Candidate candidate, parse_candidate(element));
        input.candidates.push_back(std::move(candidate));
    }
    input.at = fields.time("at");
    input.facts_at = fields.time("facts_at");
    input.seed = fields.count("seed");
    for (const json::value& element : fields.array("tried")) {
        SB_TRY(Tried tried, parse_tried(element));
        input.tried.push_back(std::move(tried));
    }
    input.deciding_since = fields.time("deciding_since");
    if (!fields.is_null("program")) {
        SB_TRY(input.program, parse_program_answer(fields.value("program")));
    }
    SB_CHECK(fields.status());
    return input;
}

}  // namespace signalbox::jobs
