#include "lab/lab.hpp"

#include <algorithm>
#include <filesystem>
#include <future>

#include "base/text.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;
namespace json = base::json;

namespace {

constexpr std::size_t api_threads = 48;  // each waiting listener to events holds one
constexpr std::int64_t events_wait_max_ms = 60'000;
constexpr std::int64_t grace_max_ms = 600'000;

json::value items(json::array list) { return {{"items", std::move(list)}}; }

std::int64_t number_in(const http::Request& request, const std::string& key, std::int64_t missing, std::int64_t max) {
    const auto found = request.query.find(key);
    const auto value = found == request.query.end() ? std::nullopt : base::parse_int(found->second);
    return std::clamp<std::int64_t>(value.value_or(missing), 0, max);
}

std::string text_in(const http::Request& request, const std::string& key) {
    const auto found = request.query.find(key);
    return found == request.query.end() ? std::string() : found->second;
}

http::Response respond(base::Result<json::value> result) {
    return result ? http::json_response(200, *result) : http::error_response(result.error());
}

// The contract has 409 for what cannot be had now: a full subnet is no outage of the service.
http::Response respond_conflict(const base::Error& error) {
    auto response = http::error_response(error);
    if (error.kind == ErrorKind::Unavailable) response.status = 409;
    return response;
}

}  // namespace

Lab::Lab(LabSpec spec, std::string directory, int log_fd)
    : spec_(std::move(spec)),
      directory_(std::move(directory)),
      log_(log_fd),
      started_at_(now_text()),
      network_(spec_, reaper_, log_),
      processes_(network_, reaper_, names_, log_) {}

Lab::~Lab() { events_.stop(); }

base::Status Lab::bring_up(base::Duration timeout, const std::function<void(const std::string&)>& progress) {
    const auto step = [&](const std::string& text) {
        log_.write(text);
        progress(text);
    };
    SB_TRY(server_, http::Server::start({.listen = "unix:" + directory_ + "/api.sock", .threads = api_threads},
                                        [this](const http::Request& request) { return answer(request); }));
    SB_CHECK(network_.build());
    SB_TRY(resolver_, Resolver::start(names_, std::string(resolver_address)));
    step(fmt::format("{} zones, {} subnets", spec_.zones.size(), spec_.subnets.size()));
    // Addresses that the file asks for by name go first.
    const auto add = [&](const HostSpec& host, const char* kind) -> base::Status {
        SB_TRY(const NodeInfo node,
               network_.add_node(host.name, kind, host.subnet, host.security_groups, host.address));
        names_.set_address(host.name + ".lab", node.address);
        return {};
    };
    for (const bool fixed : {true, false}) {
        for (const auto& host : spec_.hosts)
            if (host.address.has_value() == fixed) SB_CHECK(add(host, "host"));
        for (const auto& group : spec_.target_groups)
            if (group.node.address.has_value() == fixed) SB_CHECK(add(group.node, "target-group"));
        for (const auto& cluster : spec_.clusters)
            for (const auto& member : cluster.members)
                if (member.address.has_value() == fixed) SB_CHECK(add(member, "member"));
    }
    for (const auto& group : spec_.target_groups) {
        target_groups_.push_back(std::make_unique<TargetGroup>(group, *network_.node(group.name),
                                                               directory_ + "/data/" + group.name,
                                                               directory_ + "/" + group.name + ".sock", reaper_, log_));
        SB_CHECK(target_groups_.back()->bring_up(timeout));
        step(fmt::format("target group {} listens at {}:{}", group.name, ipv4_text(network_.node(group.name)->address),
                         group.port));
    }
    target_groups_ready_ = true;
    if (!spec_.clusters.empty()) SB_CHECK(bring_up_clusters(timeout, step));
    running_ = true;
    step("ready");
    return {};
}

base::Status Lab::bring_up_clusters(base::Duration timeout, const std::function<void(const std::string&)>& step) {
    const std::string data = directory_ + "/data";
    SB_TRY(auto authority, CertificateAuthority::create(directory_ + "/ca.pem"));
    for (const auto& cluster : spec_.clusters) {
        // A PostgreSQL cluster's data directory is born with an identity of its own, and MySQL clusters may differ in
        // their programs.
        const auto key = cluster.engine == "mariadb" ? cluster.engine : "cluster-" + cluster.name;
        auto& engine = engines_[key];
        if (engine) continue;
        SB_TRY(engine, make_engine(cluster, fmt::format("{}/{}", data, key), reaper_));
        SB_CHECK(engine->make_template());
        step(fmt::format("{} template made", cluster.engine));
    }
    unsigned number = 1;
    for (const auto& cluster : spec_.clusters) {
        for (const auto& member : cluster.members) {
            const auto directory = data + "/" + member.name;
            std::error_code error;
            std::filesystem::create_directories(directory, error);
            if (error) return fail(ErrorKind::Unavailable, "{}: {}", directory, error.message());
            SB_CHECK(
                authority.issue({member.name + ".lab", cluster.name + ".cluster.lab", cluster.name + ".reader.lab"},
                                network_.node(member.name)->address, directory));
        }
        auto& engine = engines_[cluster.engine == "mariadb" ? cluster.engine : "cluster-" + cluster.name];
        clusters_.push_back(
            std::make_unique<Cluster>(cluster, *engine, data, number, network_, reaper_, names_, events_, log_));
        number += static_cast<unsigned>(cluster.members.size());
    }
    clusters_ready_ = true;
    for (auto& cluster : clusters_) SB_CHECK(cluster->bring_up(timeout, step));
    return {};
}

base::Result<Cluster*> Lab::cluster_of(const std::string& member) {
    if (clusters_ready_)
        for (auto& cluster : clusters_)
            if (cluster->has_member(member)) return cluster.get();
    std::vector<std::string> names;
    for (const auto& cluster : spec_.clusters)
        for (const auto& known : cluster.members) names.push_back(known.name);
    return fail(ErrorKind::NotFound, "there is no member '{}'; there are {}", member, base::join(names, ", "));
}

http::Response Lab::answer(const http::Request& request) {
    constexpr std::string_view prefix = "/v1/";
    if (!request.path.starts_with(prefix))
        return http::error_response({ErrorKind::NotFound, "there is nothing at '" + request.path + "'", {}, 0});
    const std::string what = request.path.substr(prefix.size());
    if (what == "processes" || what.starts_with("processes/")) return answer_processes(request);
    if (what.starts_with("clusters/")) return answer_cluster(request);
    if (what.starts_with("target-groups/")) return answer_target_group(request);
    if (what.starts_with("admin/")) return respond(administer(request));
    if (request.method != "GET")
        return http::error_response({ErrorKind::InvalidArgument, request.path + " can only be read", {}, 0});
    return respond(describe(what, request));
}

base::Result<json::value> Lab::describe(const std::string& what, const http::Request& request) {
    if (what == "lab")
        return json::value{
            {"name", spec_.name}, {"state", running_ ? "running" : "starting"}, {"started_at", started_at_}};
    if (what == "zones") return items(network_.describe_zones());
    if (what == "networks") return items(network_.describe_networks());
    if (what == "subnets") return items(network_.describe_subnets());
    if (what == "route-tables") return items(network_.describe_route_tables());
    if (what == "nat-gateways") return items(network_.describe_nat_gateways());
    if (what == "endpoints") return items(network_.describe_endpoints());
    if (what == "security-groups") return items(network_.describe_security_groups());
    if (what == "peerings") return items(network_.describe_peerings());
    if (what == "network-acls") return items(network_.describe_network_acls());
    if (what == "interfaces") return items(network_.describe_interfaces());
    if (what == "clusters") {
        json::array list;
        if (clusters_ready_)
            for (const auto& cluster : clusters_) {
                list.push_back(cluster->describe());
                list.back().as_object()["ca_file"] = directory_ + "/ca.pem";
            }
        return items(std::move(list));
    }
    if (what == "target-groups") {
        json::array list;
        if (target_groups_ready_)
            for (const auto& group : target_groups_) list.push_back(group->describe());
        return items(std::move(list));
    }
    if (what == "events") {
        const auto after = static_cast<std::uint64_t>(number_in(request, "after", 0, INT64_MAX));
        return items(
            events_.after(after, std::chrono::milliseconds(number_in(request, "wait_ms", 0, events_wait_max_ms))));
    }
    return fail(ErrorKind::NotFound, "there is nothing at '/v1/{}'", what);
}

// "/v1/clusters/ID/failover"
http::Response Lab::answer_cluster(const http::Request& request) {
    const auto parts = base::split(std::string_view(request.path).substr(1), '/');
    if (parts.size() != 4 || parts[3] != "failover" || request.method != "POST")
        return http::error_response({ErrorKind::NotFound, "there is nothing at '" + request.path + "'", {}, 0});
    const auto body = base::parse_json(request.body.empty() ? "{}" : request.body);
    if (!body) return http::error_response(body.error());
    const auto* object = body->if_object();
    const auto* to = object ? object->if_contains("to") : nullptr;
    if (!object || object->size() > (to ? 1u : 0u) || (to && !to->is_string()))
        return http::error_response({ErrorKind::InvalidArgument, "expected {\"to\": \"MEMBER\"} or {}", {}, 0});
    const auto found = std::find_if(clusters_.begin(), clusters_.end(),
                                    [&](const auto& cluster) { return cluster->name() == parts[2]; });
    if (!clusters_ready_ || found == clusters_.end())
        return http::error_response({ErrorKind::NotFound, fmt::format("there is no cluster '{}'", parts[2]), {}, 0});
    const auto begun = (*found)->begin_planned_failover(to ? std::string(to->as_string()) : std::string());
    if (!begun) return respond_conflict(begun.error());
    return http::json_response(202, {{"cluster", (*found)->name()}, {"state", "failing-over"}});
}

// "/v1/target-groups/ID/targets|register|deregister"
http::Response Lab::answer_target_group(const http::Request& request) {
    const auto parts = base::split(std::string_view(request.path).substr(1), '/');
    const std::string action(parts.size() == 4 ? parts[3] : "");
    const bool reads = action == "targets";
    if ((!reads && action != "register" && action != "deregister") || request.method != (reads ? "GET" : "POST"))
        return http::error_response({ErrorKind::NotFound, "there is nothing at '" + request.path + "'", {}, 0});
    const auto found = target_groups_ready_ ? std::find_if(target_groups_.begin(), target_groups_.end(),
                                                           [&](const auto& group) { return group->name() == parts[2]; })
                                            : target_groups_.end();
    if (found == target_groups_.end())
        return http::error_response(
            {ErrorKind::NotFound, fmt::format("there is no target group '{}'", parts[2]), {}, 0});
    if (reads) {
        auto targets = (*found)->targets();
        return targets ? http::json_response(200, items(std::move(*targets))) : http::error_response(targets.error());
    }
    const auto body = base::parse_json(request.body);
    if (!body) return http::error_response(body.error());
    const auto status = action == "register" ? (*found)->register_targets(*body) : (*found)->deregister_targets(*body);
    if (!status) return respond_conflict(status.error());
    return http::json_response(202, json::object());
}

http::Response Lab::answer_processes(const http::Request& request) {
    if (request.path == "/v1/processes" && request.method == "GET")
        return http::json_response(200, items(processes_.list(text_in(request, "token"))));
    if (request.path == "/v1/processes" && request.method == "POST") {
        const auto body = base::parse_json(request.body);
        if (!body) return http::error_response(body.error());
        const auto started = processes_.start(*body);
        if (!started) return respond_conflict(started.error());
        return http::json_response(started->is_new ? 201 : 200, started->process);
    }
    constexpr std::string_view prefix = "/v1/processes/";
    if (request.path.starts_with(prefix) && request.method == "DELETE") {
        const auto grace = std::chrono::milliseconds(number_in(request, "grace_ms", 5000, grace_max_ms));
        return respond(processes_.stop(request.path.substr(prefix.size()), grace));
    }
    return http::error_response(
        {ErrorKind::InvalidArgument, "processes can be listed, started (POST) and stopped (DELETE)", {}, 0});
}

// "/v1/admin/status", "/v1/admin/nodes", "/v1/admin/members/NAME/ACTION", "/v1/admin/zones/NAME/fail|heal",
// "/v1/admin/clusters/NAME/failover", "/v1/admin/nat-gateways/NAME/delete"
base::Result<json::value> Lab::administer(const http::Request& request) {
    const auto parts = base::split(std::string_view(request.path).substr(1), '/');
    const std::string kind(parts.size() > 2 ? parts[2] : "");
    if (parts.size() == 3 && request.method == "GET") {
        if (kind == "status") return status();
        if (kind == "nodes") {
            json::array list;
            const auto add = [&](const NodeInfo& node) {
                list.push_back({{"name", node.name},
                                {"kind", node.kind},
                                {"subnet", node.subnet},
                                {"zone", node.zone},
                                {"address", ipv4_text(node.address)},
                                {"netns_fd", node.netns}});
            };
            // Hosts first, as the file has them: the first one is where commands run by default.
            for (const auto& host : spec_.hosts)
                if (const auto node = network_.node(host.name)) add(*node);
            for (const auto& node : network_.nodes())
                if (node.kind != "host") add(node);
            return items(std::move(list));
        }
    }
    if (parts.size() != 5 || request.method != "POST")
        return fail(ErrorKind::NotFound, "there is nothing at '{}'", request.path);
    const std::string name(parts[3]);
    const std::string action(parts[4]);
    if (kind == "members") return administer_member(action, name, request);
    if (kind == "zones" && (action == "fail" || action == "heal")) {
        log_.line("zone {}: {}", name, action);
        SB_CHECK(network_.set_zone(name, action == "heal"));
        return json::value{{"zone", name}, {"state", action == "heal" ? "available" : "impaired"}};
    }
    if (kind == "nat-gateways" && action == "delete") {
        SB_CHECK(network_.delete_nat(name));
        return json::value{{"nat_gateway", name}, {"state", "deleted"}};
    }
    if (kind == "clusters" && action == "failover") {
        std::vector<std::string> names;
        if (clusters_ready_)
            for (auto& cluster : clusters_) {
                names.push_back(cluster->name());
                if (cluster->name() == name)
                    return cluster->failover(text_in(request, "to"), text_in(request, "like") == "aurora");
            }
        return fail(ErrorKind::NotFound, "there is no cluster '{}'; there are: {}", name, base::join(names, ", "));
    }
    return fail(ErrorKind::NotFound, "there is nothing at '{}'", request.path);
}

base::Result<json::value> Lab::administer_member(const std::string& action, const std::string& member,
                                                 const http::Request& request) {
    SB_TRY(Cluster* const cluster, cluster_of(member));
    log_.line("{}: {}", member, action);
    base::Status status = fail(ErrorKind::NotFound, "there is nothing at '{}'", request.path);
    if (action == "kill") status = cluster->kill_member(member, text_in(request, "stay_down") == "true");
    if (action == "start") status = cluster->start_member(member);
    if (action == "pause") status = cluster->pause_member(member);
    if (action == "resume") status = cluster->resume_member(member);
    if (action == "blackhole") status = cluster->blackhole_member(member);
    if (action == "heal") status = cluster->heal_member(member);
    if (action == "claim") status = cluster->claim_member(member);
    SB_CHECK(status);
    return json::value{{"member", member}, {"done", action}};
}

json::value Lab::status() const {
    json::array clusters;
    if (clusters_ready_)
        for (const auto& cluster : clusters_) clusters.push_back(cluster->status());
    json::array nodes;
    for (const auto& node : network_.nodes())
        nodes.push_back({{"name", node.name},
                         {"kind", node.kind},
                         {"subnet", node.subnet},
                         {"zone", node.zone},
                         {"address", ipv4_text(node.address)},
                         {"blackholed", node.blackholed}});
    return {{"name", spec_.name},
            {"state", running_ ? "running" : "starting"},
            {"started_at", started_at_},
            {"zones", network_.describe_zones()},
            {"subnets", network_.describe_subnets()},
            {"clusters", clusters},
            {"nodes", nodes}};
}

}  // namespace signalbox::lab
