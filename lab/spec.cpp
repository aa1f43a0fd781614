#include "lab/spec.hpp"

#include <algorithm>
#include <filesystem>

#include "adapters/yaml/document.hpp"
#include "base/text.hpp"
#include "lab/spec_reading.hpp"

namespace signalbox::lab {
namespace {

using yaml::Reader;
using yaml::UniqueNames;

constexpr std::size_t nodes_max = 200;

// One pass over the file; what refers to another part is checked as soon as that part was read.
class SpecReader {
  public:
    explicit SpecReader(std::string directory) : directory_(std::move(directory)) {}
    LabSpec read(Reader root);

  private:
    void read_networks(Reader& root);
    void read_subnets(Reader& root);
    void read_subnet(Reader& at);
    void read_route_tables(Reader& root);
    RouteSpec read_route(Reader& at);
    void check_routes();
    void read_gateways(Reader& root);
    void read_groups(Reader& root);
    RuleSpec read_rule(Reader& at, const std::string& peer_key);
    void read_peerings(Reader& root);
    HostSpec read_host(Reader& at, bool with_groups);
    std::vector<std::string> group_names(Reader& at);
    UserSpec read_user(Reader& at, const std::string& engine);
    void read_cluster(Reader& at);
    void read_target_group(Reader& at);
    std::vector<HostSpec> declared_nodes() const;
    void check_room(Reader& root);

    std::string directory_;
    LabSpec spec_;
    UniqueNames node_names_{"node"};
    UniqueNames user_names_{"user"};
    std::vector<std::pair<Ipv4, std::string>> fixed_;
    std::vector<Reader> subnet_readers_;
    std::vector<Reader> endpoint_readers_;
};

void SpecReader::read_networks(Reader& root) {
    UniqueNames unique("network");
    if (!root.has("networks")) root.fault("networks", "a lab needs at least one network");
    for (Reader& at : root.list("networks")) {
        NetworkSpec network{at.need_name("name"), {}};
        unique.add(at, "name", network.name);
        if (const auto range = read_cidr(at, "cidr")) {
            network.cidr = *range;
            if (range->prefix < 8 || range->prefix > 28) at.fault("cidr", "a network's range is between /8 and /28");
            for (const auto& other : spec_.networks)
                if (range->overlaps(other.cidr))
                    at.fault("cidr", fmt::format("{} overlaps network '{}' ({})", range->text(), other.name,
                                                 other.cidr.text()));
        }
        at.finish();
        spec_.networks.push_back(std::move(network));
    }
}

void SpecReader::read_subnet(Reader& at) {
    SubnetSpec subnet;
    subnet.name = at.need_name("name");
    subnet.network = network_of(at, spec_);
    subnet.zone = at.need_text("zone");
    need_known(at, "zone", "zone", subnet.zone, spec_.zones);
    subnet.route_table = at.text("route_table").value_or("");
    subnet.linger = at.duration("linger", base::Duration::zero(), std::chrono::hours(1)).value_or(subnet.linger);
    if (const auto range = read_cidr(at, "cidr")) {
        subnet.cidr = *range;
        const auto* network = find_named(spec_.networks, subnet.network);
        if (range->prefix > 28) at.fault("cidr", "a subnet's range is /28 or larger");
        if (network && !network->cidr.contains(*range))
            at.fault("cidr", fmt::format("{} is not inside network '{}' ({})", range->text(), network->name,
                                         network->cidr.text()));
        for (const auto& other : spec_.subnets)
            if (range->overlaps(other.cidr))
                at.fault("cidr",
                         fmt::format("{} overlaps subnet '{}' ({})", range->text(), other.name, other.cidr.text()));
        const auto limit = range->prefix > 28 ? 0u : usable_count(*range);
        if (at.has("taken") && at.text("taken") == "all")
            subnet.taken = limit;
        else
            subnet.taken = static_cast<std::uint32_t>(at.integer("taken", 0, limit).value_or(0));
    }
    at.finish();
    spec_.subnets.push_back(std::move(subnet));
}

void SpecReader::read_subnets(Reader& root) {
    UniqueNames unique("subnet");
    subnet_readers_ = root.list("subnets");
    for (Reader& at : subnet_readers_) {
        read_subnet(at);
        unique.add(at, "name", spec_.subnets.back().name);
    }
}

RouteSpec SpecReader::read_route(Reader& at) {
    RouteSpec route;
    if (const auto destination = read_cidr(at, "destination")) route.destination = *destination;
    const auto target = at.need_text("target");
    const auto colon = target.find(':');
    route.kind = target.substr(0, colon);
    route.id = colon == std::string::npos ? "" : target.substr(colon + 1);
    const bool with_id = route.kind == "nat" || route.kind == "endpoint" || route.kind == "peering";
    if (!target.empty() && (with_id ? route.id.empty() : route.kind != "internet" || !route.id.empty()))
        at.fault("target",
                 fmt::format("expected nat:NAME, endpoint:NAME, peering:NAME or internet, found '{}'", target));
    if (route.kind == "nat") need_known(at, "target", "NAT gateway", route.id, names_of(spec_.nat_gateways));
    if (route.kind == "endpoint") need_known(at, "target", "endpoint", route.id, names_of(spec_.endpoints));
    if (route.kind == "peering") need_known(at, "target", "peering", route.id, names_of(spec_.peerings));
    at.finish();
    return route;
}

void SpecReader::read_route_tables(Reader& root) {
    UniqueNames unique("route table");
    for (Reader& at : root.list("route_tables")) {
        RouteTableSpec table;
        table.name = at.need_name("name");
        unique.add(at, "name", table.name);
        table.network = network_of(at, spec_);
        table.main = at.boolean("main").value_or(false);
        for (const auto& other : spec_.route_tables)
            if (table.main && other.main && other.network == table.network)
                at.fault("main", fmt::format("'{}' is already the main route table of network '{}'", other.name,
                                             table.network));
        for (Reader& route : at.list("routes")) table.routes.push_back(read_route(route));
        at.finish();
        spec_.route_tables.push_back(std::move(table));
    }
    for (const auto& network : spec_.networks) {
        const bool has_main = std::any_of(spec_.route_tables.begin(), spec_.route_tables.end(), [&](const auto& table) {
            return table.main && table.network == network.name;
        });
        if (!has_main) spec_.route_tables.push_back({network.name + "-main", network.name, true, {}});
    }
}

// Subnets are read before the tables they name, because gateways name subnets and tables name gateways.
void SpecReader::check_routes() {
    for (std::size_t i = 0; i < spec_.subnets.size(); ++i) {
        auto& subnet = spec_.subnets[i];
        if (subnet.route_table.empty()) {
            for (const auto& table : spec_.route_tables)
                if (table.main && table.network == subnet.network) subnet.route_table = table.name;
            continue;
        }
        std::vector<std::string> known;
        for (const auto& table : spec_.route_tables)
            if (table.network == subnet.network) known.push_back(table.name);
        need_known(subnet_readers_[i], "route_table", "route table of network '" + subnet.network + "'",
                   subnet.route_table, known);
    }
    for (std::size_t i = 0; i < spec_.endpoints.size(); ++i)
        for (const auto& table : spec_.endpoints[i].route_tables)
            need_known(endpoint_readers_[i], "route_tables", "route table", table, names_of(spec_.route_tables));
}

void SpecReader::read_gateways(Reader& root) {
    UniqueNames unique("NAT gateway");
    for (Reader& at : root.list("nat_gateways")) {
        NatSpec nat{at.need_name("name"), at.need_text("subnet")};
        unique.add(at, "name", nat.name);
        need_known(at, "subnet", "subnet", nat.subnet, names_of(spec_.subnets));
        at.finish();
        spec_.nat_gateways.push_back(std::move(nat));
    }
    UniqueNames unique_endpoints("endpoint");
    endpoint_readers_ = root.list("endpoints");
    for (Reader& at : endpoint_readers_) {
        EndpointSpec endpoint;
        endpoint.name = at.need_name("name");
        unique_endpoints.add(at, "name", endpoint.name);
        endpoint.network = network_of(at, spec_);
        endpoint.kind = at.word("kind", {"gateway", "interface"}).value_or("gateway");
        endpoint.service = at.need_text("service");
        endpoint.route_tables = at.texts("route_tables");
        endpoint.subnets = at.texts("subnets");
        for (const auto& subnet : endpoint.subnets)
            need_known(at, "subnets", "subnet", subnet, names_of(spec_.subnets));
        at.finish();
        spec_.endpoints.push_back(std::move(endpoint));
    }
}

RuleSpec SpecReader::read_rule(Reader& at, const std::string& peer_key) {
    RuleSpec rule;
    read_ports(at, rule.protocol, rule.port_from, rule.port_to);
    rule.peer = at.need_text(peer_key);
    if (!rule.peer.empty() && !rule.peer.starts_with("sg:") && !parse_cidr(rule.peer))
        at.fault(peer_key, fmt::format("expected sg:NAME or an IPv4 range, found '{}'", rule.peer));
    at.finish();
    return rule;
}

void SpecReader::read_groups(Reader& root) {
    UniqueNames unique("security group");
    auto readers = root.list("security_groups");
    for (Reader& at : readers) {
        GroupSpec group;
        group.name = at.need_name("name");
        unique.add(at, "name", group.name);
        group.network = network_of(at, spec_);
        for (Reader& rule : at.list("ingress")) group.ingress.push_back(read_rule(rule, "source"));
        for (Reader& rule : at.list("egress")) group.egress.push_back(read_rule(rule, "destination"));
        // As in a cloud: who says nothing about egress lets everything out.
        if (!at.has("egress")) group.egress.push_back({"all", 0, 65535, "0.0.0.0/0"});
        at.finish();
        spec_.security_groups.push_back(std::move(group));
    }
    for (std::size_t i = 0; i < readers.size(); ++i)
        for (const auto* rules : {&spec_.security_groups[i].ingress, &spec_.security_groups[i].egress})
            for (const auto& rule : *rules)
                if (rule.peer.starts_with("sg:"))
                    need_known(readers[i], "name", "security group", rule.peer.substr(3),
                               names_of(spec_.security_groups));
}

void SpecReader::read_peerings(Reader& root) {
    UniqueNames unique("peering");
    for (Reader& at : root.list("peerings")) {
        PeeringSpec peering{at.need_name("name"), at.texts("networks")};
        unique.add(at, "name", peering.name);
        if (peering.networks.size() != 2 || peering.networks[0] == peering.networks[1])
            at.fault("networks", "a peering joins two different networks");
        for (const auto& network : peering.networks)
            need_known(at, "networks", "network", network, names_of(spec_.networks));
        at.finish();
        spec_.peerings.push_back(std::move(peering));
    }
}

std::vector<std::string> SpecReader::group_names(Reader& at) {
    auto names = at.texts("security_groups");
    for (const auto& name : names)
        need_known(at, "security_groups", "security group", name, names_of(spec_.security_groups));
    if (!at.has("security_groups") && find_named(spec_.security_groups, "default")) names.push_back("default");
    return names;
}

HostSpec SpecReader::read_host(Reader& at, bool with_groups) {
    HostSpec host;
    host.name = at.need_name("name");
    node_names_.add(at, "name", host.name);
    host.subnet = at.need_text("subnet");
    need_known(at, "subnet", "subnet", host.subnet, names_of(spec_.subnets));
    const auto* subnet = find_named(spec_.subnets, host.subnet);
    if (const auto text = at.text("address")) {
        host.address = parse_ipv4(*text);
        if (!host.address)
            at.fault("address", fmt::format("expected an IPv4 address, found '{}'", *text));
        else if (subnet && (*host.address < first_usable(subnet->cidr) || *host.address > last_usable(subnet->cidr)))
            at.fault("address",
                     fmt::format("{} is not a usable address of subnet '{}' ({}–{})", *text, subnet->name,
                                 ipv4_text(first_usable(subnet->cidr)), ipv4_text(last_usable(subnet->cidr))));
        for (const auto& [address, name] : fixed_)
            if (host.address == address)
                at.fault("address", fmt::format("{} is already the address of '{}'", *text, name));
        if (host.address) fixed_.emplace_back(*host.address, host.name);
    }
    if (with_groups) host.security_groups = group_names(at);
    return host;
}

UserSpec SpecReader::read_user(Reader& at, const std::string& engine) {
    UserSpec user;
    user.name = at.need_name("name");
    user_names_.add(at, "name", user.name);
    if (user.name.starts_with("lab_")) at.fault("name", "names that begin with lab_ are the lab's own");
    if (engine == "postgresql" && (user.name.starts_with("pg_") || user.name == "postgres" || user.name == "public"))
        at.fault("name", "PostgreSQL keeps this name to itself");
    if (const auto file = at.text("password_file")) {
        if (at.has("password")) at.fault("password_file", "give password or password_file, not both");
        const auto secret = base::read_file(std::filesystem::path(directory_) / *file, 4096);
        if (!secret)
            at.fault("password_file", secret.error().text());
        else
            user.password = std::string(base::trim(*secret));
    } else {
        user.password = at.need_text("password");
    }
    if (user.password.find_first_of("'\\") != std::string::npos)
        at.fault(at.has("password") ? "password" : "password_file", "a lab's password can't hold ' or \\");
    user.grants = at.texts("grants");
    for (const auto& grant : user.grants) {
        const bool good = grant.find(" ON ") != std::string::npos || (engine == "postgresql" && base::is_name(grant));
        if (good && grant.find_first_of(";'\\") == std::string::npos) continue;
        at.fault("grants",
                 engine == "postgresql"
                     ? fmt::format("expected a role, an attribute or 'PRIVILEGES ON WHAT', for example 'pg_monitor', "
                                   "'REPLICATION' or 'ALL ON DATABASE orders', found '{}'",
                                   grant)
                     : fmt::format("expected 'PRIVILEGES ON WHAT', for example 'ALL ON orders.*', found '{}'", grant));
    }
    at.finish();
    return user;
}

void SpecReader::read_cluster(Reader& at) {
    ClusterSpec cluster;
    cluster.name = at.need_name("name");
    cluster.engine = at.word("engine", {"mariadb", "mysql", "postgresql"}).value_or(cluster.engine);
    if (cluster.engine == "mysql") {
        const std::filesystem::path server = at.need_text("server");
        if (!server.empty())
            cluster.server =
                std::filesystem::absolute(server.is_absolute() ? server : directory_ / server).lexically_normal();
    }
    cluster.security_groups = group_names(at);
    cluster.databases = at.texts("databases");
    for (const auto& database : cluster.databases)
        if (!base::is_name(database)) at.fault("databases", fmt::format("'{}' is no database's name", database));
    user_names_ = UniqueNames("user");
    for (Reader& user : at.list("users")) cluster.users.push_back(read_user(user, cluster.engine));
    for (Reader& member : at.list("members")) {
        cluster.members.push_back(read_host(member, false));
        member.finish();
        cluster.members.back().security_groups = cluster.security_groups;
    }
    if (cluster.members.empty()) at.fault("members", "a cluster needs at least one member");
    if (cluster.members.size() > 9) at.fault("members", "a cluster has at most 9 members");
    if (auto failover = at.mapping("failover")) {
        cluster.detect = failover->duration("detect", std::chrono::milliseconds(30), std::chrono::minutes(1))
                             .value_or(cluster.detect);
        cluster.automatic = failover->boolean("auto").value_or(true);
        cluster.like_aurora = failover->word("like", {"aurora"}).has_value();
        failover->finish();
    }
    at.finish();
    spec_.clusters.push_back(std::move(cluster));
}

void SpecReader::read_target_group(Reader& at) {
    TargetGroupSpec group;
    group.node = read_host(at, true);
    group.name = group.node.name;
    at.word("protocol", {"tcp"});
    if (!at.has("port")) at.fault("port", "a target group listens on a port");
    group.port = static_cast<std::uint16_t>(at.integer("port", 1, 65535).value_or(1));
    const auto duration = [&](const char* key, base::Duration missing) {
        return at.duration(key, base::Duration::zero(), std::chrono::hours(1)).value_or(missing);
    };
    group.registration_delay = duration("registration_delay", group.registration_delay);
    group.drain = duration("drain", group.drain);
    group.health_check = duration("health_check", group.health_check);
    at.finish();
    spec_.target_groups.push_back(std::move(group));
}

std::vector<HostSpec> SpecReader::declared_nodes() const {
    auto nodes = spec_.hosts;
    for (const auto& group : spec_.target_groups) nodes.push_back(group.node);
    for (const auto& cluster : spec_.clusters)
        nodes.insert(nodes.end(), cluster.members.begin(), cluster.members.end());
    return nodes;
}

void SpecReader::check_room(Reader& root) {
    const auto declared = declared_nodes();
    const std::size_t nodes = declared.size() + spec_.nat_gateways.size();
    if (nodes > nodes_max)
        root.fault("hosts", fmt::format("a lab has at most {} nodes, this one {}", nodes_max, nodes));
    for (const auto& subnet : spec_.subnets) {
        std::size_t wanted = 0;
        for (const auto& host : declared) wanted += host.subnet == subnet.name;
        for (const auto& nat : spec_.nat_gateways) wanted += nat.subnet == subnet.name;
        for (const auto& endpoint : spec_.endpoints)
            wanted += endpoint.kind == "interface" &&
                      std::count(endpoint.subnets.begin(), endpoint.subnets.end(), subnet.name) > 0;
        if (subnet.cidr.prefix == 0 || subnet.cidr.prefix > 28) continue;
        const auto room = usable_count(subnet.cidr) - subnet.taken;
        if (wanted > room)
            root.fault("subnets",
                       fmt::format(
                           "subnet '{}' has room for {} nodes beside the {} taken addresses, but {} are declared in it",
                           subnet.name, room, subnet.taken, wanted));
    }
}

LabSpec SpecReader::read(Reader root) {
    spec_.name = root.has("name") ? root.need_name("name") : "lab";
    spec_.zones = root.texts("zones");
    if (spec_.zones.empty()) root.fault("zones", "a lab needs at least one zone");
    for (std::size_t i = 0; i < spec_.zones.size(); ++i) {
        if (!base::is_name(spec_.zones[i])) root.fault("zones", fmt::format("'{}' is no zone's name", spec_.zones[i]));
        if (std::count(spec_.zones.begin(), spec_.zones.end(), spec_.zones[i]) > 1 &&
            std::find(spec_.zones.begin(), spec_.zones.end(), spec_.zones[i]) ==
                spec_.zones.begin() + static_cast<std::ptrdiff_t>(i))
            root.fault("zones", fmt::format("zone '{}' is declared twice", spec_.zones[i]));
    }
    read_networks(root);
    read_subnets(root);
    read_peerings(root);
    read_gateways(root);
    read_route_tables(root);
    check_routes();
    read_groups(root);
    read_acls(root, spec_);
    UniqueNames clusters("cluster");
    for (Reader& at : root.list("clusters")) {
        read_cluster(at);
        clusters.add(at, "name", spec_.clusters.back().name);
    }
    for (Reader& at : root.list("hosts")) {
        spec_.hosts.push_back(read_host(at, true));
        at.finish();
    }
    for (Reader& at : root.list("target_groups")) read_target_group(at);
    check_room(root);
    root.finish();
    return std::move(spec_);
}

base::Result<LabSpec> read_document(base::Result<yaml::Document> document, const std::string& directory) {
    if (!document) return tl::unexpected<base::Error>(document.error());
    LabSpec spec = SpecReader(directory).read(document->root());
    SB_CHECK(document->status());
    return spec;
}

}  // namespace

base::Result<LabSpec> load_spec(const std::string& path) {
    return read_document(yaml::Document::load(path), std::filesystem::path(path).parent_path());
}

base::Result<LabSpec> parse_spec(const std::string& text, const std::string& file) {
    return read_document(yaml::Document::parse(text, file), std::filesystem::path(file).parent_path());
}

}  // namespace signalbox::lab
