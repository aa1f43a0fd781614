#include "app/config.hpp"

#include <arpa/inet.h>
#include <filesystem>
#include <map>

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;

std::string read_password(yaml::Reader& reader, const std::string& config_file, Secrets secrets) {
    const auto file = reader.text("password_file");
    const auto variable = reader.text("password_env");
    if (file && variable) reader.fault("password_env", "give password_file or password_env, not both");
    if (secrets == Secrets::Skip) return {};
    if (file) {
        auto text = base::read_file(resolve_path(config_file, *file), 4096);
        if (text) return std::string(base::trim(*text));
        reader.fault("password_file", text.error().text());
    } else if (variable) {
        if (const char* value = std::getenv(variable->c_str())) return value;
        reader.fault("password_env", fmt::format("the environment has no variable {}", *variable));
    }
    return {};
}

bool is_ip_address(const std::string& host) {
    unsigned char bytes[sizeof(in6_addr)];
    return ::inet_pton(AF_INET, host.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

clusters::ClusterConfig read_cluster(yaml::Reader& reader, const std::string& config_file, Secrets secrets) {
    clusters::ClusterConfig cluster;
    cluster.name = reader.need_name("name");
    reader.word("engine", {"mariadb"});
    cluster.user = reader.need_text("user");
    cluster.password = read_password(reader, config_file, secrets);
    if (const auto ca = reader.text("tls_ca_file")) cluster.tls_ca_file = resolve_path(config_file, *ca);
    if (auto probe = reader.mapping("probe")) {
        cluster.probe.calm = probe->duration("calm", 10ms, 60s).value_or(cluster.probe.calm);
        cluster.probe.fast = probe->duration("fast", 1ms, 20ms).value_or(cluster.probe.fast);
        cluster.probe.deadline = probe->duration("deadline", 10ms, 60s).value_or(cluster.probe.deadline);
        cluster.probe.misses = static_cast<int>(probe->integer("misses", 1, 100).value_or(cluster.probe.misses));
        probe->finish();
    }
    cluster.kill_deadline = reader.duration("kill_deadline", 1ms, 60s).value_or(cluster.kill_deadline);
    yaml::UniqueNames names("member");
    std::map<std::string, std::string> addresses;
    for (yaml::Reader& member : reader.list("members")) {
        clusters::MemberConfig config{member.need_name("name"), member.need_address("address")};
        names.add(member, "name", config.name);
        if (!config.address.host.empty() && !is_ip_address(config.address.host)) {
            member.fault("address",
                         fmt::format("'{}' is a name; expected an IP address: names are slow or wrong just when a "
                                     "writer fails",
                                     config.address.host));
        }
        const auto [known, fresh] = addresses.emplace(config.address.text(), config.name);
        if (!fresh && config.address.port != 0) {
            member.fault("address",
                         fmt::format("{} is the address of member '{}' already", config.address.text(), known->second));
        }
        member.finish();
        cluster.members.push_back(std::move(config));
    }
    if (cluster.members.empty()) reader.fault("members", "expected at least one member with a name and an address");
    reader.finish();
    return cluster;
}

routing::EndpointConfig read_endpoint(yaml::Reader& reader) {
    routing::EndpointConfig endpoint;
    endpoint.name = reader.need_name("name");
    endpoint.cluster = reader.need_name("cluster");
    reader.word("role", {"writer"});
    reader.word("mode", {"stream"});
    endpoint.listen = reader.need_address("listen");
    endpoint.sessions_max = static_cast<std::uint64_t>(reader.integer("sessions_max", 1, 1'000'000).value_or(20'000));
    if (auto hold = reader.mapping("hold")) {
        endpoint.hold.time_max = hold->duration("time", 0s, 24h).value_or(endpoint.hold.time_max);
        endpoint.hold.connections_max =
            static_cast<std::uint64_t>(hold->integer("connections", 0, 1'000'000).value_or(1000));
        hold->finish();
    }
    reader.finish();
    return endpoint;
}

// The API has neither TLS nor roles, so nobody else may reach it.
void read_api(yaml::Reader& root, Config& config) {
    if (auto api = root.mapping("api")) {
        if (const auto listen = api->text("listen")) config.api.listen = *listen;
        if (const auto token = api->text("token_file")) config.api.token_file = resolve_path(config.file, *token);
        constexpr std::string_view local = "unix:";
        if (config.api.listen.starts_with(local)) {
            config.api.listen = std::string(local) + resolve_path(config.file, config.api.listen.substr(local.size()));
        } else if (const auto address = base::parse_host_port(config.api.listen); !address) {
            api->fault("listen", fmt::format("expected ADDRESS:PORT or unix:PATH, found '{}'", config.api.listen));
        } else if (!address->host.starts_with("127.") && address->host != "::1" && address->host != "localhost") {
            api->fault("listen", fmt::format("{} is not this machine alone: another address needs TLS and tokens with "
                                             "roles, which this version does not have; use 127.0.0.1:PORT or unix:PATH",
                                             config.api.listen));
        }
        api->finish();
    }
    if (config.api.token_file.empty()) config.api.token_file = config.store + ".token";
}

void read_clusters_and_endpoints(yaml::Reader& root, Config& config, Secrets secrets) {
    yaml::UniqueNames cluster_names("cluster");
    std::vector<std::string> known;
    for (yaml::Reader& reader : root.list("clusters")) {
        config.clusters.push_back(read_cluster(reader, config.file, secrets));
        cluster_names.add(reader, "name", config.clusters.back().name);
        known.push_back(config.clusters.back().name);
    }
    yaml::UniqueNames endpoint_names("endpoint");
    std::map<std::string, std::string> listens;
    for (yaml::Reader& reader : root.list("endpoints")) {
        config.endpoints.push_back(read_endpoint(reader));
        const auto& endpoint = config.endpoints.back();
        endpoint_names.add(reader, "name", endpoint.name);
        if (std::find(known.begin(), known.end(), endpoint.cluster) == known.end() && !endpoint.cluster.empty()) {
            reader.fault("cluster", fmt::format("there is no cluster '{}'; there {} {}", endpoint.cluster,
                                                known.size() == 1 ? "is" : "are",
                                                known.empty() ? "none" : base::join(known, ", ")));
        }
        const auto [other, fresh] = listens.emplace(endpoint.listen.text(), endpoint.name);
        if (!fresh && endpoint.listen.port != 0) {
            reader.fault("listen", fmt::format("{} is the address of endpoint '{}' already", endpoint.listen.text(),
                                               other->second));
        }
    }
}

}  // namespace

std::string resolve_path(const std::string& config_file, const std::string& path) {
    const std::filesystem::path given(path);
    return given.is_absolute() ? path : (std::filesystem::path(config_file).parent_path() / given).string();
}

base::Result<Config> load_config(const std::string& path, Secrets secrets) {
    SB_TRY(yaml::Document document, yaml::Document::load(path));
    Config config;
    config.file = path;
    yaml::Reader root = document.root();
    config.store = resolve_path(path, root.text("store").value_or(config.store));
    config.shards = static_cast<std::size_t>(root.integer("shards", 0, 256).value_or(0));
    read_api(root, config);
    read_clusters_and_endpoints(root, config, secrets);
    std::vector<KnownEndpoint> endpoints;
    for (const auto& endpoint : config.endpoints) endpoints.push_back({endpoint.name, endpoint.listen});
    config.jobs = read_jobs(root, path, endpoints);
    root.finish();
    SB_CHECK(document.status());
    return config;
}

}  // namespace signalbox::app
