#include <algorithm>
#include <map>

#include "app/config_clusters.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using routing::EndpointConfig;
using routing::Mode;
using routing::Role;

Mode read_mode(yaml::Reader& reader) {
    const auto word = reader.word("mode", {"stream", "kernel", "dns", "target-group"}).value_or("stream");
    if (word == "kernel") return Mode::Kernel;
    if (word == "dns") return Mode::Dns;
    return word == "target-group" ? Mode::TargetGroup : Mode::Stream;
}

void read_reader(yaml::Reader& reader, EndpointConfig& endpoint) {
    auto readers = reader.mapping("readers");
    if (!readers) return;
    if (endpoint.role != Role::Reader) reader.fault("readers", "is for `role: reader`");
    routing::ReaderConfig& config = endpoint.reader;
    const auto include = readers->word("include_writer", {"never", "when-alone", "always"}).value_or("never");
    if (include == "when-alone") config.include_writer = routing::IncludeWriter::WhenAlone;
    if (include == "always") config.include_writer = routing::IncludeWriter::Always;
    const bool any = readers->boolean("any_lag").value_or(false);
    const auto lag = readers->duration("max_lag", 1ms, 24h);
    if (any && lag) readers->fault("max_lag", "give max_lag or any_lag, not both");
    if (lag) config.max_lag = lag;
    if (any) config.max_lag.reset();
    config.slow_start = readers->duration("slow_start", 0s, 1h).value_or(config.slow_start);
    readers->finish();
}

void read_hold(yaml::Reader& reader, EndpointConfig& endpoint) {
    auto hold = reader.mapping("hold");
    if (!hold) return;
    if (endpoint.mode != Mode::Stream) reader.fault("hold", "only `mode: stream` can hold clients");
    endpoint.hold.time_max = hold->duration("time", 0s, 24h).value_or(endpoint.hold.time_max);
    endpoint.hold.connections_max =
        static_cast<std::uint64_t>(hold->integer("connections", 0, 1'000'000).value_or(1000));
    endpoint.hold.bytes_max = static_cast<std::uint64_t>(hold->integer("bytes", 1024, 1LL << 30).value_or(1LL << 20));
    hold->finish();
}

void read_kernel(yaml::Reader& reader, EndpointConfig& endpoint) {
    auto kernel = reader.mapping("kernel");
    if (!kernel) return;
    if (endpoint.mode != Mode::Kernel) reader.fault("kernel", "is for `mode: kernel`");
    routing::KernelConfig& config = endpoint.kernel;
    config.lease = kernel->duration("lease", 1s, 1h).value_or(config.lease);
    const auto loss = kernel->word("on_daemon_loss", {"close", "static"}).value_or("close");
    if (loss == "static") config.on_daemon_loss = routing::OnDaemonLoss::Static;
    config.masquerade = kernel->boolean("masquerade").value_or(config.masquerade);
    kernel->finish();
}

void read_dns(yaml::Reader& reader, EndpointConfig& endpoint) {
    auto dns = reader.mapping("dns");
    if (!dns) {
        if (endpoint.mode == Mode::Dns) reader.fault("dns", "expected `dns: {name: orders-writer.db.example}`");
        return;
    }
    if (endpoint.mode != Mode::Dns) reader.fault("dns", "is for `mode: dns`");
    endpoint.dns.name = dns->need_text("name");
    if (endpoint.dns.name.ends_with('.')) endpoint.dns.name.pop_back();
    endpoint.dns.ttl = dns->duration("ttl", 0s, 1h).value_or(endpoint.dns.ttl);
    dns->finish();
}

void read_target_group(yaml::Reader& reader, const std::string& config_file, EndpointConfig& endpoint) {
    auto group = reader.mapping("target_group");
    if (!group) {
        if (endpoint.mode == Mode::TargetGroup) {
            reader.fault("target_group", "expected `target_group: {haproxy: SOCKET, backend: NAME}`");
        }
        return;
    }
    if (endpoint.mode != Mode::TargetGroup) reader.fault("target_group", "is for `mode: target-group`");
    routing::TargetGroupConfig& config = endpoint.target_group;
    config.socket = resolve_path(config_file, group->need_text("haproxy"));
    config.backend = group->need_name("backend");
    config.reconcile = group->duration("reconcile", 100ms, 1h).value_or(config.reconcile);
    config.deadline = group->duration("deadline", 100ms, 60s).value_or(config.deadline);
    group->finish();
}

EndpointConfig read_endpoint(yaml::Reader& reader, const std::string& config_file) {
    EndpointConfig endpoint;
    endpoint.name = reader.need_name("name");
    endpoint.cluster = reader.need_name("cluster");
    if (reader.word("role", {"writer", "reader"}).value_or("writer") == "reader") endpoint.role = Role::Reader;
    endpoint.mode = read_mode(reader);
    if (endpoint.mode != Mode::TargetGroup) {
        endpoint.listen = reader.need_address("listen");
    } else if (reader.has("listen")) {
        reader.fault("listen", "a target group listens where its balancer does");
        reader.text("listen");
    }
    endpoint.sessions_max = static_cast<std::uint64_t>(reader.integer("sessions_max", 1, 1'000'000).value_or(20'000));
    read_hold(reader, endpoint);
    read_reader(reader, endpoint);
    read_kernel(reader, endpoint);
    read_dns(reader, endpoint);
    read_target_group(reader, config_file, endpoint);
    reader.finish();
    return endpoint;
}

// What two endpoints can't share: a TCP address, a DNS name at a server, a group of targets.
std::string place_of(const EndpointConfig& endpoint) {
    switch (endpoint.mode) {
        case Mode::Dns:
            return fmt::format("the name {} at {}", endpoint.dns.name, endpoint.listen.text());
        case Mode::TargetGroup:
            return fmt::format("the backend {} of {}", endpoint.target_group.backend, endpoint.target_group.socket);
        default:
            return endpoint.listen.text();
    }
}

}  // namespace

std::vector<EndpointConfig> read_endpoints(yaml::Reader& root, const std::string& config_file,
                                           const std::vector<clusters::ClusterConfig>& clusters) {
    std::vector<EndpointConfig> endpoints;
    std::vector<std::string> known;
    for (const auto& cluster : clusters) known.push_back(cluster.name);
    yaml::UniqueNames names("endpoint");
    std::map<std::string, std::string> places;
    for (yaml::Reader& reader : root.list("endpoints")) {
        EndpointConfig endpoint = read_endpoint(reader, config_file);
        names.add(reader, "name", endpoint.name);
        const auto cluster = std::find_if(clusters.begin(), clusters.end(),
                                          [&](const auto& one) { return one.name == endpoint.cluster; });
        if (cluster != clusters.end()) {
            const bool postgres = cluster->engine == clusters::Engine::PostgreSql;
            endpoint.protocol = postgres ? routing::Protocol::PostgreSql : routing::Protocol::MySql;
        } else if (!endpoint.cluster.empty()) {
            reader.fault("cluster", fmt::format("there is no cluster '{}'; there {} {}", endpoint.cluster,
                                                known.size() == 1 ? "is" : "are",
                                                known.empty() ? "none" : base::join(known, ", ")));
        }
        const auto [other, fresh] = places.emplace(place_of(endpoint), endpoint.name);
        const bool anywhere = endpoint.mode == Mode::Stream && endpoint.listen.port == 0;
        if (!fresh && !anywhere) {
            const bool address = endpoint.mode == Mode::Stream || endpoint.mode == Mode::Kernel;
            reader.fault(address ? "listen" : "", fmt::format("{} is {} of endpoint '{}' already", other->first,
                                                              address ? "the address" : "the place", other->second));
        }
        endpoints.push_back(std::move(endpoint));
    }
    return endpoints;
}

}  // namespace signalbox::app
