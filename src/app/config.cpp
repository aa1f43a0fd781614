#include "app/config.hpp"

namespace signalbox::app {
namespace {

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
        } else if (!is_this_machine(address->host)) {
            api->fault("listen", fmt::format("{} is not this machine alone: another address needs TLS and tokens with "
                                             "roles, which this version does not have; use 127.0.0.1:PORT or unix:PATH",
                                             config.api.listen));
        }
        api->finish();
    }
    if (config.api.token_file.empty()) config.api.token_file = config.store + ".token";
}

// What a job may name as its data source. An endpoint goes before a cluster of the same name: it is where clients
// connect.
std::vector<jobs::Source> sources_of(const Config& config) {
    std::vector<jobs::Source> sources;
    for (const auto& endpoint : config.endpoints) sources.push_back({endpoint.name, {endpoint.listen}});
    for (const auto& cluster : config.clusters) {
        jobs::Source& source = sources.emplace_back();
        source.name = cluster.name;
        for (const auto& member : cluster.members) source.addresses.push_back(member.address);
    }
    return sources;
}

}  // namespace

base::Result<Config> load_config(const std::string& path, Secrets secrets) {
    SB_TRY(yaml::Document document, yaml::Document::load(path));
    Config config;
    config.file = path;
    yaml::Reader root = document.root();
    config.store = resolve_path(path, root.text("store").value_or(config.store));
    config.shards = static_cast<std::size_t>(root.integer("shards", 0, 256).value_or(0));
    read_api(root, config);
    config.clusters = read_clusters(root, path, secrets);
    config.endpoints = read_endpoints(root, path, config.clusters);
    config.channels = read_channels(root, path, config.clusters, config.endpoints, secrets);
    config.jobs = read_jobs(root, path, sources_of(config));
    config.catalogs = read_catalogs(root, path, secrets);
    config.sinks = read_sinks(root, path, secrets);
    if (auto tables = root.mapping("tables")) {
        read_first_look(*tables, config.watch);
        tables->finish();
    }
    config.watch.actions = read_actions(root, path, config.jobs, secrets);
    config.watch.alarms = read_alarms(root, config.watch.actions);
    root.finish();
    SB_CHECK(document.status());
    return config;
}

}  // namespace signalbox::app
