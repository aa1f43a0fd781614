#include "app/config_channels.hpp"

#include <map>

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using channels::ChannelConfig;
using channels::Kind;
using clusters::ClusterConfig;
using clusters::Engine;
using routing::EndpointConfig;

constexpr std::size_t channels_max = 256;

// The item of that name, or a fault that says which there are.
template <typename Item>
const Item* find_named(yaml::Reader& reader, const std::string& key, const std::string& name,
                       const std::vector<Item>& items) {
    std::vector<std::string> names;
    for (const Item& item : items) {
        if (item.name == name) return &item;
        names.push_back(item.name);
    }
    const auto near = base::nearest(name, names);
    reader.fault(key, fmt::format("there is no {} '{}'; {}", key, name,
                                  near            ? "did you mean " + *near + "?"
                                  : names.empty() ? "there is none"
                                                  : "there are " + base::join(names, ", ")));
    return nullptr;
}

void read_login(yaml::Reader& reader, const std::string& config_file, const ClusterConfig* cluster, Secrets secrets,
                ChannelConfig& channel) {
    const auto user = reader.text("user");
    channel.password = read_password(reader, config_file, secrets);
    if (const auto ca = reader.text("tls_ca_file")) channel.tls_ca_file = resolve_path(config_file, *ca);
    const auto tls = reader.word("tls", {"off", "verify-ca", "verify-full"});
    if (tls && (*tls == "off") != channel.tls_ca_file.empty())
        reader.fault("tls", *tls == "off" ? "is off, and tls_ca_file is given" : *tls + " needs tls_ca_file");
    channel.tls_verify_host = tls == "verify-full";
    if (user) {
        channel.user = *user;
    } else if (channel.kind == Kind::Replica) {
        reader.fault("user", "expected a user that may see the replica's state and restart its receiving thread");
    } else if (cluster != nullptr) {
        channel.user = cluster->user;
        channel.password = cluster->password;
        channel.database = cluster->database;
        if (channel.tls_ca_file.empty()) {
            channel.tls_ca_file = cluster->tls_ca_file;
            channel.tls_verify_host = cluster->tls == clusters::Tls::VerifyFull;
        }
    }
}

void read_replica(yaml::Reader& reader, const ClusterConfig* cluster, const std::vector<EndpointConfig>& endpoints,
                  ChannelConfig& channel) {
    channel.address = reader.need_address("address");
    channel.connection = reader.text("connection").value_or("");
    if (cluster != nullptr && cluster->engine == Engine::PostgreSql)
        reader.fault("kind", fmt::format("cluster '{}' is PostgreSQL: expected a slot", cluster->name));
    const auto name = reader.text("endpoint");
    if (!name) return;
    const EndpointConfig* endpoint = find_named(reader, "endpoint", *name, endpoints);
    if (endpoint == nullptr) return;
    channel.endpoint = endpoint->name;
    channel.source = endpoint->listen;
    if (endpoint->cluster != channel.cluster) {
        reader.fault("endpoint", fmt::format("endpoint '{}' leads to cluster '{}', the channel reads from '{}'",
                                             endpoint->name, endpoint->cluster, channel.cluster));
    }
    if (endpoint->role != routing::Role::Writer) {
        reader.fault("endpoint", fmt::format("endpoint '{}' leads to readers: a channel is followed on the writer",
                                             endpoint->name));
    }
}

void read_slot(yaml::Reader& reader, const ClusterConfig* cluster, ChannelConfig& channel) {
    channel.slot = reader.need_text("slot");
    if (const auto database = reader.text("database")) channel.database = *database;
    if (channel.slot.size() > 63 ||
        channel.slot.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) {
        reader.fault("slot",
                     fmt::format("'{}' is no name of a slot: expected at most 63 of a-z, 0-9 and _", channel.slot));
    }
    if (cluster != nullptr && cluster->engine != Engine::PostgreSql)
        reader.fault("kind", fmt::format("cluster '{}' is not PostgreSQL: expected a replica", cluster->name));
}

ChannelConfig read_channel(yaml::Reader& reader, const std::string& config_file,
                           const std::vector<ClusterConfig>& clusters, const std::vector<EndpointConfig>& endpoints,
                           Secrets secrets) {
    ChannelConfig channel;
    channel.name = reader.need_name("name");
    channel.cluster = reader.need_name("cluster");
    const ClusterConfig* cluster =
        channel.cluster.empty() ? nullptr : find_named(reader, "cluster", channel.cluster, clusters);
    if (!reader.has("kind")) reader.fault("kind", "expected replica or slot");
    channel.kind = reader.word("kind", {"replica", "slot"}) == "slot" ? Kind::Slot : Kind::Replica;
    read_login(reader, config_file, cluster, secrets, channel);
    if (channel.kind == Kind::Slot) {
        read_slot(reader, cluster, channel);
    } else {
        read_replica(reader, cluster, endpoints, channel);
    }
    channel.heartbeat = reader.duration("heartbeat", 100ms, 24h).value_or(channel.heartbeat);
    if (auto probe = reader.mapping("probe")) {
        channel.probe.calm = probe->duration("calm", 10ms, 10min).value_or(channel.probe.calm);
        channel.probe.fast = probe->duration("fast", 5ms, 10s).value_or(channel.probe.fast);
        channel.probe.deadline = probe->duration("deadline", 10ms, 60s).value_or(channel.probe.deadline);
        channel.probe.restart = probe->duration("restart", 100ms, 5min).value_or(channel.probe.restart);
        probe->finish();
    }
    if (channel.heartbeat < channel.probe.calm * 2) {
        reader.fault("heartbeat",
                     fmt::format("{} is less than two looks, {} apart: raise it, or lower probe.calm",
                                 base::format_duration(channel.heartbeat), base::format_duration(channel.probe.calm)));
    }
    reader.finish();
    return channel;
}

}  // namespace

std::vector<ChannelConfig> read_channels(yaml::Reader& root, const std::string& config_file,
                                         const std::vector<ClusterConfig>& clusters,
                                         const std::vector<EndpointConfig>& endpoints, Secrets secrets) {
    std::vector<ChannelConfig> channels;
    yaml::UniqueNames names("channel");
    std::map<std::string, std::string> seen;
    for (yaml::Reader& reader : root.list("channels")) {
        channels.push_back(read_channel(reader, config_file, clusters, endpoints, secrets));
        const ChannelConfig& channel = channels.back();
        names.add(reader, "name", channel.name);
        const std::string what = channel.kind == Kind::Slot ? channel.cluster + "/" + channel.slot
                                                            : channel.address.text() + "/" + channel.connection;
        const auto [known, fresh] = seen.emplace(what, channel.name);
        if (!fresh && !channel.cluster.empty())
            reader.fault("", fmt::format("channel '{}' is the same stream already", known->second));
    }
    if (channels.size() > channels_max)
        root.fault("channels", fmt::format("expected at most {} channels, found {}", channels_max, channels.size()));
    return channels;
}

}  // namespace signalbox::app
