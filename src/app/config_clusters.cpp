#include "app/config_clusters.hpp"

#include <arpa/inet.h>
#include <filesystem>
#include <map>

#include "domain/clusters/topology.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using clusters::Engine;
using clusters::Tls;

constexpr std::size_t members_max = 64;

bool is_ip_address(const std::string& host) {
    unsigned char bytes[sizeof(in6_addr)];
    return ::inet_pton(AF_INET, host.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

Engine read_engine(yaml::Reader& reader) {
    const auto word = reader.word("engine", {"mariadb", "mysql", "postgresql"}).value_or("mariadb");
    if (word == "mysql") return Engine::MySql;
    return word == "postgresql" ? Engine::PostgreSql : Engine::MariaDb;
}

void read_tls(yaml::Reader& reader, const std::string& config_file, clusters::ClusterConfig& cluster) {
    if (const auto ca = reader.text("tls_ca_file")) cluster.tls_ca_file = resolve_path(config_file, *ca);
    const auto word = reader.word("tls", {"off", "verify-ca", "verify-full"});
    if (!word) {
        cluster.tls = cluster.tls_ca_file.empty() ? Tls::Off : Tls::VerifyCa;
    } else if (*word == "off") {
        if (!cluster.tls_ca_file.empty()) reader.fault("tls", "is off, and tls_ca_file is given: expected one of them");
    } else {
        cluster.tls = *word == "verify-ca" ? Tls::VerifyCa : Tls::VerifyFull;
        if (cluster.tls_ca_file.empty()) reader.fault("tls", *word + " needs tls_ca_file");
    }
    std::error_code error;
    if (!cluster.tls_ca_file.empty() && !std::filesystem::exists(cluster.tls_ca_file, error)) {
        reader.fault("tls_ca_file", fmt::format("there is no file {}", cluster.tls_ca_file));
    }
}

void read_topology(yaml::Reader& reader, clusters::ClusterConfig& cluster) {
    if (auto topology = reader.mapping("topology")) {
        const auto preset = topology->word("preset", {"aurora"});
        const auto query = topology->text("query");
        if (preset.has_value() == query.has_value()) {
            topology->fault("", "expected `preset: aurora` or a `query`, one of the two");
        }
        cluster.topology.query = query.value_or(preset ? clusters::aurora_topology(cluster.engine) : "");
        topology->finish();
    }
    cluster.discover = reader.boolean("discover").value_or(false);
}

void read_switchover(yaml::Reader& reader, clusters::ClusterConfig& cluster) {
    if (auto switchover = reader.mapping("switchover")) {
        auto& config = cluster.switchover;
        config.hook = switchover->texts("hook");
        if (config.hook.empty()) {
            switchover->fault("hook", "expected the program that promotes the target, with its arguments, as a list");
        }
        config.drain = switchover->duration("drain", 0s, 1h).value_or(config.drain);
        config.catch_up = switchover->duration("catch_up", 100ms, 1h).value_or(config.catch_up);
        config.promote = switchover->duration("promote", 100ms, 1h).value_or(config.promote);
        switchover->finish();
    }
}

void read_members(yaml::Reader& reader, clusters::ClusterConfig& cluster,
                  std::map<std::string, std::string>& addresses) {
    yaml::UniqueNames names("member");
    for (yaml::Reader& member : reader.list("members")) {
        clusters::MemberConfig config{member.need_name("name"), need_ip_address(member, "address")};
        names.add(member, "name", config.name);
        const std::string owner = fmt::format("member '{}' of cluster '{}'", config.name, cluster.name);
        const auto [known, fresh] = addresses.emplace(config.address.text(), owner);
        if (!fresh && config.address.port != 0) {
            member.fault("address",
                         fmt::format("{} is the address of {} already", config.address.text(), known->second));
        }
        member.finish();
        cluster.members.push_back(std::move(config));
    }
    if (cluster.members.empty()) reader.fault("members", "expected at least one member with a name and an address");
    if (cluster.members.size() > members_max) {
        reader.fault("members", fmt::format("expected at most {}, found {}", members_max, cluster.members.size()));
    }
}

clusters::ClusterConfig read_cluster(yaml::Reader& reader, const std::string& config_file, Secrets secrets,
                                     std::map<std::string, std::string>& addresses) {
    clusters::ClusterConfig cluster;
    cluster.name = reader.need_name("name");
    cluster.engine = read_engine(reader);
    cluster.user = reader.need_text("user");
    cluster.password = read_password(reader, config_file, secrets);
    if (const auto database = reader.text("database")) {
        cluster.database = *database;
        if (cluster.engine != Engine::PostgreSql) reader.fault("database", "is for PostgreSQL alone");
    }
    read_tls(reader, config_file, cluster);
    if (auto probe = reader.mapping("probe")) {
        cluster.probe.calm = probe->duration("calm", 10ms, 60s).value_or(cluster.probe.calm);
        cluster.probe.fast = probe->duration("fast", 1ms, 20ms).value_or(cluster.probe.fast);
        cluster.probe.deadline = probe->duration("deadline", 10ms, 60s).value_or(cluster.probe.deadline);
        cluster.probe.misses = static_cast<int>(probe->integer("misses", 1, 100).value_or(cluster.probe.misses));
        probe->finish();
    }
    read_topology(reader, cluster);
    read_switchover(reader, cluster);
    cluster.kill_deadline = reader.duration("kill_deadline", 1ms, 60s).value_or(cluster.kill_deadline);
    read_members(reader, cluster, addresses);
    reader.finish();
    return cluster;
}

}  // namespace

std::string resolve_path(const std::string& config_file, const std::string& path) {
    const std::filesystem::path given(path);
    return given.is_absolute() ? path : (std::filesystem::path(config_file).parent_path() / given).string();
}

std::string read_secret(yaml::Reader& reader, const std::string& stem, const std::string& config_file,
                        Secrets secrets) {
    const std::string file_key = stem + "_file";
    const std::string variable_key = stem + "_env";
    const auto file = reader.text(file_key);
    const auto variable = reader.text(variable_key);
    if (file && variable) reader.fault(variable_key, fmt::format("give {} or {}, not both", file_key, variable_key));
    if (secrets == Secrets::Skip) return {};
    if (file) {
        auto text = base::read_file(resolve_path(config_file, *file), 4096);
        if (text) return std::string(base::trim(*text));
        reader.fault(file_key, text.error().text());
    } else if (variable) {
        if (const char* value = std::getenv(variable->c_str())) return value;
        reader.fault(variable_key, fmt::format("the environment has no variable {}", *variable));
    }
    return {};
}

std::string read_password(yaml::Reader& reader, const std::string& config_file, Secrets secrets) {
    return read_secret(reader, "password", config_file, secrets);
}

bool is_this_machine(const std::string& host) {
    const bool numeric = host.find_first_not_of("0123456789.") == std::string::npos;
    return (numeric && host.starts_with("127.")) || host == "localhost" || host == "::1";
}

base::HostPort need_ip_address(yaml::Reader& reader, const std::string& key) {
    base::HostPort address = reader.need_address(key);
    if (!address.host.empty() && !is_ip_address(address.host)) {
        reader.fault(key, fmt::format("'{}' is a name; expected an IP address: names are slow or wrong just when a "
                                      "writer fails",
                                      address.host));
    }
    return address;
}

std::vector<clusters::ClusterConfig> read_clusters(yaml::Reader& root, const std::string& config_file,
                                                   Secrets secrets) {
    std::vector<clusters::ClusterConfig> clusters;
    yaml::UniqueNames names("cluster");
    std::map<std::string, std::string> addresses;
    for (yaml::Reader& reader : root.list("clusters")) {
        clusters.push_back(read_cluster(reader, config_file, secrets, addresses));
        names.add(reader, "name", clusters.back().name);
    }
    return clusters;
}

}  // namespace signalbox::app
