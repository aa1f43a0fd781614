#include "app/network_questions.hpp"

#include <algorithm>

#include "base/table_text.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;
namespace json = base::json;

json::object fault_json(const base::Fault& fault) {
    return {{"code", fault.code},       {"name", fault.name},     {"severity", base::to_string(fault.severity)},
            {"message", fault.message}, {"remedy", fault.remedy}, {"signal", fault.signal}};
}

json::array faults_array(const std::vector<base::Fault>& faults) {
    json::array array;
    for (const base::Fault& fault : faults) array.push_back(fault_json(fault));
    return array;
}

// The remedies of what is worth mending, each once.
std::string remedies_of(const std::vector<base::Fault>& faults) {
    std::vector<std::string> lines;
    for (const base::Fault& fault : faults) {
        const std::string line = fmt::format("  {}: {}", fault.code, fault.remedy);
        if (fault.severity != base::Severity::Notice && std::find(lines.begin(), lines.end(), line) == lines.end())
            lines.push_back(line);
    }
    return lines.empty() ? "" : "remedies:\n" + base::join(lines, "\n") + "\n";
}

std::string fault_name(const base::Fault& fault) { return fault.code + " " + fault.name; }

std::string severity_text(const base::Fault& fault) {
    return std::string(base::to_string(fault.severity)) + (fault.signal ? " (signal)" : "");
}

std::string from_text(const Origin& origin) {
    std::string text = origin.from.subnet;
    if (!origin.from.groups.empty()) text += "+" + base::join(origin.from.groups, ",");
    return origin.connection.empty() ? text : fmt::format("{} ({})", origin.connection, text);
}

std::string known(const std::vector<std::string>& names) {
    return names.empty() ? "there is none" : "there are " + base::join(names, ", ");
}

void add_sources(const jobs::Job& job, network::Demand& demand) {
    for (const jobs::Source& source : job.sources) {
        const bool there = std::any_of(demand.sources.begin(), demand.sources.end(),
                                       [&](const auto& one) { return one.name == source.name; });
        if (!there) demand.sources.push_back({source.name, source.addresses});
    }
}

}  // namespace

base::Result<Origin> parse_origin(const std::string& text, const Config* config) {
    if (config != nullptr) {
        for (const jobs::Connection& connection : config->jobs.connections)
            if (connection.name == text && connection.managed)
                return Origin{connection.name, {connection.subnet, connection.security_groups}};
    }
    const std::size_t plus = text.find('+');
    Origin origin{"", {text.substr(0, plus), {}}};
    if (plus != std::string::npos)
        for (const std::string_view group : base::split(std::string_view(text).substr(plus + 1), ','))
            origin.from.groups.emplace_back(group);
    const bool empty_group = std::any_of(origin.from.groups.begin(), origin.from.groups.end(),
                                         [](const auto& group) { return group.empty(); });
    if (origin.from.subnet.empty() || empty_group)
        return fail(ErrorKind::InvalidConfig,
                    "'{}': expected the name of a connection, or SUBNET, or SUBNET+GROUP,GROUP", text);
    return origin;
}

base::Result<Destination> parse_destination(const std::string& text, const Config* config) {
    if (text.find(':') != std::string::npos) {
        auto address = base::parse_host_port(text);
        if (!address) return fail(ErrorKind::InvalidConfig, "'{}': {}", text, address.error().message);
        if (!network::parse_address(address->host))
            return fail(ErrorKind::InvalidConfig,
                        "'{}': '{}' is no IPv4 address; routes and rules are judged for addresses only", text,
                        address->host);
        return Destination{"", {std::move(*address)}};
    }
    std::vector<std::string> names;
    if (config != nullptr) {
        for (const auto& cluster : config->clusters) {
            names.push_back(cluster.name);
            if (cluster.name != text) continue;
            Destination destination{text, {}};
            for (const auto& member : cluster.members) destination.addresses.push_back(member.address);
            return destination;
        }
        for (const auto& endpoint : config->endpoints) {
            names.push_back(endpoint.name);
            if (endpoint.name != text) continue;
            if (!network::parse_address(endpoint.listen.host).value_or(0))
                return fail(ErrorKind::InvalidConfig, "endpoint '{}' {}: give the address at which clients reach it",
                            text,
                            endpoint.listen.host.empty() ? "listens where its balancer does"
                                                         : "listens at " + endpoint.listen.text());
            return Destination{text, {endpoint.listen}};
        }
    }
    return fail(ErrorKind::InvalidConfig, "'{}': expected ADDRESS:PORT, or the name of a cluster or an endpoint; {}",
                text, config == nullptr ? "no configuration was read" : known(names));
}

std::string reach_text(const Origin& origin, const std::vector<Answer>& answers,
                       const std::optional<base::Fault>& stale) {
    std::string text;
    std::vector<base::Fault> all;
    if (stale) all.push_back(*stale);
    for (const Answer& answer : answers) {
        text += fmt::format("{}: {} {} {}\n", answer.reach.reachable ? "yes" : "no", from_text(origin),
                            answer.reach.reachable ? "reaches" : "does not reach", answer.address.text());
        if (!answer.reach.path.empty()) {
            base::TableText path({"HOP", "ID", "DETAIL"});
            for (const network::Hop& hop : answer.reach.path) path.row({hop.kind, hop.id, hop.detail});
            text += path.render();
        }
        if (!answer.reach.faults.empty()) {
            base::TableText faults({"FAULT", "SEVERITY", "FOUND"});
            for (const base::Fault& fault : answer.reach.faults)
                faults.row({fault_name(fault), severity_text(fault), fault.message});
            text += faults.render();
        }
        all.insert(all.end(), answer.reach.faults.begin(), answer.reach.faults.end());
    }
    if (stale) text += fmt::format("{}: {}\n", fault_name(*stale), stale->message);
    return text + remedies_of(all);
}

json::object reach_json(const Origin& origin, const Destination& to, const std::vector<Answer>& answers,
                        const std::optional<base::Fault>& stale, base::WallTime facts_at) {
    json::array results;
    bool all = true;
    for (const Answer& answer : answers) {
        json::array path;
        for (const network::Hop& hop : answer.reach.path)
            path.push_back({{"kind", hop.kind}, {"id", hop.id}, {"detail", hop.detail}});
        all = all && answer.reach.reachable;
        results.push_back({{"address", answer.address.text()},
                           {"reachable", answer.reach.reachable},
                           {"path", std::move(path)},
                           {"faults", faults_array(answer.reach.faults)}});
    }
    json::object object{{"from",
                         {{"connection", origin.connection.empty() ? json::value() : json::value(origin.connection)},
                          {"subnet", origin.from.subnet},
                          {"security_groups", json::array(origin.from.groups.begin(), origin.from.groups.end())}}},
                        {"to", to.name.empty() ? to.addresses.front().text() : to.name},
                        {"facts_at", base::format_time(facts_at)},
                        {"reachable", all},
                        {"results", std::move(results)}};
    object["faults"] = stale ? faults_array({*stale}) : json::array();
    return object;
}

network::Demand demand_of(const jobs::Connection& connection, const JobsConfig& config) {
    network::Demand demand{connection.subnet, connection.security_groups, connection.data_source, 1, 0, {}};
    for (const jobs::Job& job : config.jobs) {
        const bool uses = std::any_of(job.connections.begin(), job.connections.end(),
                                      [&](const auto& one) { return one.name == connection.name; });
        if (!uses) continue;
        demand.nodes = std::max(demand.nodes, static_cast<std::uint64_t>(job.workers));
        add_sources(job, demand);
    }
    return demand;
}

std::string faults_text(const std::vector<Checked>& connections) {
    base::TableText table({"CONNECTION", "SUBNET", "ZONE", "FREE", "RESULT", "FAULT", "SEVERITY", "FOUND"});
    std::vector<base::Fault> all;
    std::size_t unusable = 0;
    for (const auto& [connection, report] : connections) {
        const bool ruled_out = network::has_unusable(report.faults);
        unusable += ruled_out;
        std::vector<std::string> row = {connection.name, connection.subnet, report.zone.empty() ? "-" : report.zone,
                                        std::to_string(report.free_addresses), ruled_out ? "unusable" : "usable"};
        if (report.faults.empty()) {
            row.insert(row.end(), {"-", "-", report.way_out});
            table.row(row);
        }
        for (const base::Fault& fault : report.faults) {
            row.insert(row.end(), {fault_name(fault), severity_text(fault), fault.message});
            table.row(row);
            row.assign(5, "");
            all.push_back(fault);
        }
    }
    return table.render() + remedies_of(all) +
           fmt::format("{} of {} connection{} unusable, {} fault{}\n", unusable, connections.size(),
                       connections.size() == 1 ? "" : "s", all.size(), all.size() == 1 ? "" : "s");
}

json::object faults_json(const std::vector<Checked>& connections, base::WallTime facts_at) {
    json::array items;
    for (const auto& [connection, report] : connections)
        items.push_back({{"connection", connection.name},
                         {"subnet", connection.subnet},
                         {"network", report.network},
                         {"zone", report.zone},
                         {"free_addresses", report.free_addresses},
                         {"way_out", report.way_out},
                         {"usable", !network::has_unusable(report.faults)},
                         {"faults", faults_array(report.faults)}});
    return {{"facts_at", base::format_time(facts_at)}, {"items", std::move(items)}};
}

}  // namespace signalbox::app
