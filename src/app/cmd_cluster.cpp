#include "app/cmd_cluster.hpp"

#include "app/client_api.hpp"
#include "app/report.hpp"
#include "base/table_text.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

constexpr auto request_timeout = std::chrono::seconds(5);

struct StatusOptions {
    ApiOptions api;
    std::string name;
};

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
    return value != nullptr && value->is_array() ? value->get_array() : json::array();
}

bool routed(const json::object& cluster) { return field(cluster, "writer") != "-" && field(cluster, "held") == "no"; }

std::string render(const json::array& clusters, const json::array& endpoints) {
    base::TableText of_clusters({"CLUSTER", "STATE", "EPOCH", "WRITER", "TRAFFIC"});
    base::TableText of_members({"CLUSTER", "MEMBER", "ADDRESS", "ROLE", "ANSWERS", "LAST_ANSWER_MS"});
    base::TableText of_endpoints({"ENDPOINT", "CLUSTER", "ADDRESS", "STATE", "MEMBER", "SESSIONS", "HELD"});
    std::string alarms;
    for (const auto& item : clusters) {
        const auto& cluster = item.as_object();
        const std::string name = field(cluster, "name");
        of_clusters.row({name, field(cluster, "state"), field(cluster, "epoch"), field(cluster, "writer"),
                         routed(cluster) ? "routed" : "held"});
        for (const auto& element : objects(cluster, "members")) {
            const auto& member = element.as_object();
            of_members.row({name, field(member, "name"), field(member, "address"), field(member, "role"),
                            field(member, "answers"), field(member, "last_answer_ms")});
        }
        for (const auto& element : objects(cluster, "alarms")) {
            const auto& alarm = element.as_object();
            alarms += fmt::format("alarm: {}: {} (since {})\n", name, field(alarm, "text"), field(alarm, "since"));
        }
    }
    for (const auto& item : endpoints) {
        const auto& endpoint = item.as_object();
        of_endpoints.row({field(endpoint, "name"), field(endpoint, "cluster"), field(endpoint, "address"),
                          field(endpoint, "state"), field(endpoint, "member"), field(endpoint, "sessions"),
                          field(endpoint, "held")});
        if (endpoint.contains("reason"))
            alarms += fmt::format("alarm: endpoint not open: {}\n", field(endpoint, "reason"));
    }
    return of_clusters.render() + "\n" + of_members.render() + "\n" + of_endpoints.render() +
           (alarms.empty() ? "" : "\n" + alarms);
}

base::Result<bool> status(const StatusOptions& options) {
    SB_TRY(const ApiAccess access, find_api(options.api));
    SB_TRY(const json::value answer, http::Client(access.url, access.token).get("/v1/status", request_timeout));
    if (!answer.is_object()) return fail(ErrorKind::CorruptData, "the daemon's answer is no object");
    json::array clusters;
    std::vector<std::string> names;
    bool all_routed = true;
    for (const auto& cluster : objects(answer.get_object(), "clusters")) {
        names.push_back(field(cluster.as_object(), "name"));
        if (!options.name.empty() && names.back() != options.name) continue;
        all_routed = all_routed && routed(cluster.as_object());
        clusters.push_back(cluster);
    }
    if (!options.name.empty() && clusters.empty()) {
        return fail(ErrorKind::NotFound, "the daemon follows no cluster '{}'; it follows {}", options.name,
                    names.empty() ? "none" : base::join(names, ", "));
    }
    json::array endpoints;
    for (const auto& endpoint : objects(answer.get_object(), "endpoints")) {
        const std::string of = field(endpoint.as_object(), "cluster");
        if (options.name.empty() || of == options.name) endpoints.push_back(endpoint);
    }
    if (options.api.output == "json") {
        print(base::pretty_json({{"clusters", clusters}, {"endpoints", endpoints}}));
    } else {
        print(render(clusters, endpoints));
    }
    return all_routed;
}

}  // namespace

void register_cluster(CLI::App& app, int& exit_status) {
    auto* cluster = app.add_subcommand("cluster", "The clusters that the daemon follows");
    cluster->require_subcommand(1);
    auto options = std::make_shared<StatusOptions>();
    auto* command = cluster->add_subcommand("status", "Epoch, writer, members and endpoints");
    command->footer("Ends with 0 if traffic of every cluster shown goes to a proven writer, with 1 if not.");
    command->add_option("NAME", options->name, "Only this cluster");
    add_api_options(*command, options->api);
    command->callback([options, &exit_status] {
        const auto good = status(*options);
        exit_status = good ? (*good ? 0 : 1) : report(good.error());
    });
}

}  // namespace signalbox::app
