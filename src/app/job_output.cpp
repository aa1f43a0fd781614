#include "app/job_output.hpp"

#include "base/table_text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;

// Decisions come from our own store; a field that an older version did not write is shown as empty.
std::string text_at(const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || value->is_null()) return {};
    return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

bool true_at(const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_bool() && value->get_bool();
}

const json::array& list_at(const json::object& object, const char* key) {
    static const json::array none;
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_array() ? value->get_array() : none;
}

std::string dash(const std::string& text) { return text.empty() ? "-" : text; }

std::string short_time(const std::optional<base::WallTime>& time) { return time ? base::format_time(*time) : "-"; }

std::string run_time(const jobs::Run& run, base::WallTime now) {
    const auto start = run.running_at ? run.running_at : run.starting_at;
    if (!start) return "-";
    const auto end = run.ended_at.value_or(now);
    return fmt::format("{:.1f} s", base::to_ms(std::max(end - *start, base::Duration::zero())) / 1000);
}

// What speaks for and against the connections beside their faults, and the order that came of it.
std::string order_text(const json::object& decision) {
    std::string text;
    for (const json::value& value : list_at(decision, "candidates")) {
        const json::object& candidate = value.as_object();
        std::vector<std::string> words;
        if (const std::string why = text_at(candidate, "why"); !why.empty()) words.push_back(why);
        if (const json::value* health = candidate.if_contains("health"); health != nullptr && health->is_object()) {
            const std::string reason = text_at(health->get_object(), "reason");
            if (!reason.empty() && (words.empty() || words.front().find(reason) == std::string::npos))
                words.push_back(reason);
        }
        if (!words.empty())
            text += fmt::format("  {}: {}\n", text_at(candidate, "connection"), base::join(words, "; "));
    }
    std::vector<std::string> order;
    for (const json::value& name : list_at(decision, "order"))
        if (name.is_string()) order.emplace_back(name.get_string());
    if (!order.empty())
        text += fmt::format("order by {}: {}\n", text_at(decision, "strategy"), base::join(order, ", "));
    if (const std::string fallback = text_at(decision, "fallback"); !fallback.empty())
        text += "the job's own strategy was not used: " + fallback + "\n";
    return text;
}

std::string short_id(const jobs::Run& run) {
    constexpr std::size_t shown = 15;
    return run.id.substr(0, shown);
}

std::string attempts_text(const jobs::Run& run, const std::vector<jobs::Run>& attempts) {
    base::TableText table({"ATTEMPT", "RUN", "STATE", "CONNECTION", "ZONE", "SUBMITTED", "CLASS", "WHY", "THEN"});
    for (const jobs::Run& one : attempts) {
        table.row({fmt::format("{}{}", one.attempt + 1, one.id == run.id ? " (this)" : ""), one.id,
                   std::string(jobs::to_string(one.state)), one.connection ? one.connection->name : "-", dash(one.zone),
                   base::format_time(one.submitted_at),
                   one.verdict ? std::string(jobs::to_string(one.verdict->retry)) : "-",
                   one.verdict ? one.verdict->reason : "-", dash(one.retry_reason)});
    }
    return table.render();
}

}  // namespace

json::object attempt_summary(const jobs::Run& attempt) {
    return {{"id", attempt.id},
            {"attempt", attempt.attempt},
            {"state", jobs::to_string(attempt.state)},
            {"reason", attempt.reason},
            {"connection", attempt.connection ? json::value(attempt.connection->name) : json::value()},
            {"zone", attempt.zone},
            {"class", attempt.verdict ? json::value(jobs::to_string(attempt.verdict->retry)) : json::value()},
            {"class_reason", attempt.verdict ? json::value(attempt.verdict->reason) : json::value()},
            {"retry_reason", attempt.retry_reason}};
}

std::string decision_text(const json::object& decision) {
    base::TableText table({"CONNECTION", "SUBNET", "ZONE", "RESULT", "FREE", "NODES", "FAULT", "SEVERITY", "FOUND"});
    const std::string wanted = text_at(decision, "nodes_wanted");
    std::vector<std::string> remedies;
    for (const json::value& value : list_at(decision, "candidates")) {
        const json::object& candidate = value.as_object();
        const std::string result = true_at(candidate, "chosen") ? "chosen" : text_at(candidate, "result");
        std::vector<std::string> row = {
            text_at(candidate, "connection"),          text_at(candidate, "subnet"),
            dash(text_at(candidate, "zone")),          result,
            text_at(candidate, "available_addresses"), fmt::format("{}/{}", text_at(candidate, "nodes"), wanted)};
        const json::array& faults = list_at(candidate, "faults");
        if (faults.empty()) {
            row.insert(row.end(), {"-", "-", dash(text_at(candidate, "way_out"))});
            table.row(row);
        }
        for (const json::value& fault_value : faults) {
            const json::object& fault = fault_value.as_object();
            row.insert(row.end(), {text_at(fault, "code") + " " + text_at(fault, "name"), text_at(fault, "severity"),
                                   text_at(fault, "message")});
            table.row(row);
            row.assign(6, "");
            const std::string remedy = fmt::format("  {}: {}", text_at(fault, "code"), text_at(fault, "remedy"));
            if (text_at(fault, "severity") != "notice" &&
                std::find(remedies.begin(), remedies.end(), remedy) == remedies.end())
                remedies.push_back(remedy);
        }
    }
    std::string text = table.render();
    if (!remedies.empty()) text += "remedies:\n" + base::join(remedies, "\n") + "\n";
    text += order_text(decision);
    return text + "decision: " + text_at(decision, "reason") + "\n";
}

std::string runs_text(const std::vector<jobs::Run>& runs, base::WallTime now) {
    base::TableText table(
        {"RUN", "JOB", "ATTEMPT", "STATE", "CONNECTION", "ZONE", "NODES", "SUBMITTED", "TIME", "REASON"});
    for (const jobs::Run& run : runs) {
        table.row({short_id(run), run.job.name, std::to_string(run.attempt + 1),
                   std::string(jobs::to_string(run.state)), run.connection ? run.connection->name : "-", dash(run.zone),
                   std::to_string(run.nodes.size()), base::format_time(run.submitted_at), run_time(run, now),
                   run.reason});
    }
    return table.render();
}

std::string run_text(const jobs::Run& run, const std::vector<jobs::Run>& attempts, base::WallTime now) {
    std::string text = fmt::format("run         {}\njob         {}\nstate       {}\nreason      {}\n", run.id,
                                   run.job.name, jobs::to_string(run.state), run.reason);
    if (run.outcome && !jobs::is_final(run.state))
        text += fmt::format("outcome     {} (its nodes are being ended)\n", jobs::to_string(*run.outcome));
    if (run.exit_code) text += fmt::format("exit code   {}\n", *run.exit_code);
    if (run.connection) {
        text += fmt::format("connection  {} (subnet {}, zone {})\n", run.connection->name, run.connection->subnet,
                            run.zone);
    }
    text += fmt::format("submitted   {}\nrunning     {}\nended       {}\ntime        {}\nlogs        {}\n",
                        base::format_time(run.submitted_at), short_time(run.running_at), short_time(run.ended_at),
                        run_time(run, now), run.directory);
    if (run.verdict) {
        text += fmt::format("class       {}: {}\nretry       {}\n", jobs::to_string(run.verdict->retry),
                            run.verdict->reason, run.retry_reason);
    }
    if (attempts.size() > 1) text += "\n" + attempts_text(run, attempts);
    if (!run.nodes.empty()) {
        base::TableText table({"RANK", "ROLE", "STAGE", "ADDRESS", "PROCESS", "STARTED", "ENDED", "EXIT"});
        for (const jobs::Node& node : run.nodes) {
            table.row({std::to_string(node.rank), node.rank == 0 ? "driver" : "worker",
                       std::string(jobs::to_string(node.stage)), dash(node.address), dash(node.process),
                       short_time(node.started_at), short_time(node.ended_at), node.exit ? node.exit->text() : "-"});
        }
        text += "\n" + table.render();
    }
    if (!run.decision.empty()) text += "\n" + decision_text(run.decision);
    return text;
}

int run_exit_code(const jobs::Run& run) {
    switch (run.state) {
        case jobs::RunState::Succeeded:
            return 0;
        case jobs::RunState::Error:
            return base::exit_code(base::ErrorKind::Unavailable);
        case jobs::RunState::Failed:
        case jobs::RunState::Stopped:
        case jobs::RunState::Timeout:
        case jobs::RunState::Expired:
            return 1;
        default:
            return 0;
    }
}

}  // namespace signalbox::app
