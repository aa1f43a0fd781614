#include "app/cluster_view.hpp"

#include <algorithm>

#include "base/table_text.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;

constexpr const char* reset = "\x1b[0m";

std::string milliseconds(const json::object& object, const char* name) {
    const auto* value = object.if_contains(name);
    if (value == nullptr || !value->is_number()) return "-";
    return fmt::format("{:.1f}", value->to_number<double>());
}

std::string alarms_text(const json::array& clusters, const json::array& endpoints) {
    std::string text;
    for (const auto& item : clusters) {
        const auto& cluster = item.as_object();
        for (const auto& element : objects(cluster, "alarms")) {
            const auto& alarm = element.as_object();
            text += fmt::format("alarm: {}: {} (since {})\n", field(cluster, "name"), field(alarm, "text"),
                                field(alarm, "since"));
        }
    }
    for (const auto& item : endpoints) {
        const auto& endpoint = item.as_object();
        if (endpoint.contains("reason")) {
            text += fmt::format("alarm: endpoint not open: {}\n", field(endpoint, "reason"));
        } else if (field(endpoint, "note") != "-") {
            text += fmt::format("note: endpoint {}: {}\n", field(endpoint, "name"), field(endpoint, "note"));
        }
    }
    return text;
}

std::string members_text(const json::array& clusters) {
    base::TableText table({"CLUSTER", "MEMBER", "ADDRESS", "ROLE", "ANSWERS", "LAST_ANSWER_MS", "LAG_MS"});
    for (const auto& item : clusters) {
        const auto& cluster = item.as_object();
        for (const auto& element : objects(cluster, "members")) {
            const auto& member = element.as_object();
            table.row({field(cluster, "name"), field(member, "name"), field(member, "address"), field(member, "role"),
                       field(member, "answers"), field(member, "last_answer_ms"), field(member, "lag_ms")});
        }
    }
    return table.render();
}

std::string endpoints_text(const json::array& endpoints) {
    base::TableText table({"ENDPOINT", "CLUSTER", "ROLE", "MODE", "ADDRESS", "STATE", "MEMBER", "SESSIONS", "HELD"});
    for (const auto& item : endpoints) {
        const auto& endpoint = item.as_object();
        std::vector<std::string> members;
        if (const auto* list = endpoint.if_contains("members"); list != nullptr && list->is_array()) {
            for (const auto& member : list->get_array()) members.emplace_back(member.as_string());
        }
        const std::string member = members.empty() ? field(endpoint, "member") : base::join(members, ",");
        table.row({field(endpoint, "name"), field(endpoint, "cluster"), field(endpoint, "role"),
                   field(endpoint, "mode"), field(endpoint, "address"), field(endpoint, "state"), member,
                   field(endpoint, "sessions"), field(endpoint, "held")});
    }
    return table.render();
}

std::string explain_member(const json::object& member, bool writer) {
    std::string text = fmt::format("\n{} ({}): {}{}\n", field(member, "name"), field(member, "address"),
                                   field(member, "role"), writer ? ", the writer of this epoch" : "");
    text += fmt::format("  version {}, last whole answer {} ms ago, it took {} ms\n", field(member, "version"),
                        milliseconds(member, "last_answer_ms"), milliseconds(member, "probe_rtt_ms"));
    if (const auto* failure = member.if_contains("failure"); failure != nullptr && failure->is_object()) {
        text += fmt::format("  last probe: {}, {}\n", field(failure->get_object(), "kind"),
                            field(failure->get_object(), "text"));
    }
    text += fmt::format("  has {}\n", field(member, "history"));
    for (const auto& element : objects(member, "sources")) {
        const auto& source = element.as_object();
        text += fmt::format("  replicates from {} ({})\n", field(source, "address"),
                            field(source, "io_running") == "yes" ? "receives" : "does not receive now");
    }
    for (const auto& element : objects(member, "checks")) {
        const auto& finding = element.as_object();
        text += fmt::format("  {} {}: {}\n", field(finding, "passed") == "yes" ? "[yes]" : "[NO] ",
                            field(finding, "check"), field(finding, "text"));
    }
    return text;
}

std::string coloured(std::string text, std::string_view colour, bool on) {
    return on ? fmt::format("{}{}{}", colour, text, reset) : text;
}

// Cut to the width, so that a long line does not push the picture away.
std::string fit(const std::string& text, std::size_t width) {
    std::string out;
    for (const auto line : base::split(text, '\n')) {
        std::size_t columns = 0;
        std::size_t bytes = 0;
        while (bytes < line.size() && columns < width) {
            ++bytes;
            while (bytes < line.size() && (static_cast<unsigned char>(line[bytes]) & 0xC0U) == 0x80U) ++bytes;
            ++columns;
        }
        out += std::string(line.substr(0, bytes)) + "\n";
    }
    out.pop_back();
    return out;
}

}  // namespace

std::string field(const json::object& object, const char* name) {
    const auto* value = object.if_contains(name);
    if (value == nullptr || value->is_null()) return "-";
    if (value->is_string()) return value->get_string().empty() ? "-" : std::string(value->get_string());
    if (value->is_bool()) return value->get_bool() ? "yes" : "no";
    if (value->is_double()) return fmt::format("{:.0f}", value->get_double());
    return json::serialize(*value);
}

json::array objects(const json::object& object, const char* name) {
    const auto* value = object.if_contains(name);
    json::array found;
    if (value == nullptr || !value->is_array()) return found;
    for (const auto& element : value->get_array()) {
        if (element.is_object()) found.push_back(element);
    }
    return found;
}

bool is_routed(const json::object& cluster) {
    return field(cluster, "writer") != "-" && field(cluster, "held") == "no";
}

std::string status_text(const json::array& clusters, const json::array& endpoints) {
    base::TableText table({"CLUSTER", "STATE", "EPOCH", "WRITER", "TRAFFIC"});
    for (const auto& item : clusters) {
        const auto& cluster = item.as_object();
        table.row({field(cluster, "name"), field(cluster, "state"), field(cluster, "epoch"), field(cluster, "writer"),
                   is_routed(cluster) ? "routed" : "held"});
    }
    const std::string alarms = alarms_text(clusters, endpoints);
    return table.render() + "\n" + members_text(clusters) + "\n" + endpoints_text(endpoints) +
           (alarms.empty() ? "" : "\n" + alarms);
}

std::string explain_text(const json::object& cluster) {
    const std::string writer = field(cluster, "writer");
    std::string text = fmt::format("cluster {}: {}, epoch {}\n", field(cluster, "name"), field(cluster, "state"),
                                   field(cluster, "epoch"));
    if (is_routed(cluster)) {
        text += fmt::format("traffic goes to {}: it alone passes every check below\n", writer);
    } else {
        text += fmt::format("traffic is held since {}: nobody passes every check below, or a switch is under way\n",
                            field(cluster, "hold_since"));
    }
    text += fmt::format("what must not be lost: {}\n", field(cluster, "position"));
    for (const auto& element : objects(cluster, "members")) {
        const auto& member = element.as_object();
        text += explain_member(member, field(member, "name") == writer);
    }
    const std::string alarms = alarms_text({cluster}, {});
    return text + (alarms.empty() ? "" : "\n" + alarms);
}

std::string failovers_text(const json::array& entries) {
    base::TableText table({"EPOCH", "DETECTED", "KIND", "FROM", "TO", "INTENT_MS", "FENCED_MS", "ACTIVE_MS",
                           "ROUTED_MS", "CLOSED", "KILLED", "FENCE"});
    for (const auto& item : entries) {
        const auto& entry = item.as_object();
        const auto* data = entry.if_contains("data");
        if (data == nullptr || !data->is_object()) continue;
        const auto& failover = data->get_object();
        table.row({field(failover, "epoch"), field(failover, "detected_at"), field(failover, "kind"),
                   field(failover, "from"), field(failover, "to"), milliseconds(failover, "intent_ms"),
                   milliseconds(failover, "fenced_ms"), milliseconds(failover, "active_ms"),
                   milliseconds(failover, "routed_ms"), field(failover, "sessions_closed"),
                   field(failover, "sessions_killed"), field(failover, "fence")});
    }
    return table.render();
}

std::string watch_text(const json::array& clusters, const json::array& endpoints, const std::string& time,
                       std::size_t width, bool colour) {
    std::string text = fmt::format("signalbox  {}  (Ctrl-C ends)\n\n", time);
    for (const auto& item : clusters) {
        const auto& cluster = item.as_object();
        const bool routed = is_routed(cluster);
        const std::string line = fmt::format(
            "{}  epoch {}  {}  {}", field(cluster, "name"), field(cluster, "epoch"), field(cluster, "state"),
            routed ? "traffic goes to " + field(cluster, "writer") : "held since " + field(cluster, "hold_since"));
        text += coloured(fit(line, width), routed ? "\x1b[1;32m" : "\x1b[1;31m", colour) + "\n";
        const auto failovers = objects(cluster, "failovers");
        if (!failovers.empty()) {
            const auto& last = failovers.back().as_object();
            text += fit(fmt::format("  last switch: {} from {} to {}, routed {} ms after it was noticed",
                                    field(last, "detected_at"), field(last, "from"), field(last, "to"),
                                    milliseconds(last, "routed_ms")),
                        width) +
                    "\n";
        }
    }
    text += "\n" + fit(members_text(clusters), width) + "\n" + fit(endpoints_text(endpoints), width);
    const std::string alarms = alarms_text(clusters, endpoints);
    if (!alarms.empty()) text += "\n" + coloured(fit(alarms, width), "\x1b[33m", colour);
    return text;
}

std::string watch_line(const json::array& clusters) {
    std::string line;
    for (const auto& item : clusters) {
        const auto& cluster = item.as_object();
        line += fmt::format("{}{} {} epoch {} {}", line.empty() ? "" : "; ", field(cluster, "name"),
                            field(cluster, "state"), field(cluster, "epoch"),
                            is_routed(cluster) ? "-> " + field(cluster, "writer") : "held");
        for (const auto& element : objects(cluster, "alarms")) {
            line += fmt::format(" [{}]", field(element.as_object(), "kind"));
        }
    }
    return line;
}

}  // namespace signalbox::app
