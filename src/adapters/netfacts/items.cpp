#include "adapters/netfacts/items.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <set>
#include <tuple>
#include <utility>

#include "base/text.hpp"

namespace signalbox::netfacts {
namespace {

using base::ErrorKind;
using base::fail;
namespace json = base::json;

constexpr std::size_t items_max = 100'000;

// Reads fields of one item; the first fault is kept.
class Item {
  public:
    explicit Item(const json::value& value) : object_(value.if_object()) {
        if (object_ == nullptr) wrong_ = "expected an object";
    }
    std::string text(const char* key) {
        const json::value* value = get(key);
        if (value != nullptr && value->is_string()) return std::string(value->get_string());
        wrong(key, "a text");
        return {};
    }
    std::int64_t integer(const char* key, std::int64_t min, std::int64_t max) {
        const json::value* value = get(key);
        if (value != nullptr && value->is_int64() && value->get_int64() >= min && value->get_int64() <= max)
            return value->get_int64();
        wrong(key, "a whole number in its range");
        return min;
    }
    bool boolean(const char* key) {
        const json::value* value = get(key);
        if (value != nullptr && value->is_bool()) return value->get_bool();
        wrong(key, "true or false");
        return false;
    }
    network::Range range(const char* key) {
        const auto range = network::parse_range(text(key));
        if (!range) wrong(key, "an address range");
        return range ? *range : network::Range{};
    }
    std::vector<std::string> texts(const char* key) {
        std::vector<std::string> texts;
        const json::value* value = get(key);
        if (value == nullptr || !value->is_array()) {
            wrong(key, "a list");
            return texts;
        }
        for (const json::value& element : value->get_array()) {
            if (element.is_string()) texts.emplace_back(element.get_string());
            if (!element.is_string()) wrong(key, "a list of texts");
        }
        return texts;
    }
    const json::array& list(const char* key) {
        static const json::array none;
        const json::value* value = get(key);
        if (value != nullptr && value->is_array()) return value->get_array();
        wrong(key, "a list");
        return none;
    }
    void wrong(const char* key, std::string_view expected) {
        if (wrong_.empty()) wrong_ = fmt::format("'{}': expected {}", key, expected);
    }
    void wrong_in(const char* key, const std::string& inner) {
        if (wrong_.empty() && !inner.empty()) wrong_ = fmt::format("'{}': {}", key, inner);
    }
    std::string protocol() {
        std::string word = text("protocol");
        for (const char* known : {"tcp", "all", "udp", "icmp"})
            if (word == known) return word;
        wrong("protocol", "tcp, udp, icmp or all");
        return {};
    }
    // Both ends of a range of ports.
    std::pair<int, int> ports() {
        const auto from = static_cast<int>(integer("port_from", 0, 65535));
        const auto to = static_cast<int>(integer("port_to", 0, 65535));
        if (from > to) wrong("port_to", "a port that is not below port_from");
        return {from, to};
    }
    std::uint32_t address(const char* key) {
        const auto address = network::parse_address(text(key));
        if (!address) wrong(key, "an IPv4 address");
        return address.value_or(0);
    }
    std::string one_of(const char* key, std::initializer_list<const char*> words) {
        std::string found = text(key);
        std::vector<std::string> known(words.begin(), words.end());
        if (std::find(known.begin(), known.end(), found) == known.end()) wrong(key, base::join(known, " or "));
        return found;
    }
    const std::string& wrong() const { return wrong_; }

  private:
    const json::value* get(const char* key) { return object_ == nullptr ? nullptr : object_->if_contains(key); }

    const json::object* object_;
    std::string wrong_;
};

std::string numbered(std::size_t number, const std::string& wrong) {
    return wrong.empty() ? "" : fmt::format("number {}: {}", number + 1, wrong);
}

void take_target(Item& item, network::Route& route) {
    using Target = network::TargetKind;
    constexpr std::array<std::pair<std::string_view, Target>, 4> prefixes = {{{"nat:", Target::Nat},
                                                                              {"endpoint:", Target::Endpoint},
                                                                              {"peering:", Target::Peering},
                                                                              {"internet:", Target::Internet}}};
    route.target = item.text("target");
    if (route.target == "local") route.kind = Target::Local;
    if (route.target == "internet") route.kind = Target::Internet;
    for (const auto& [prefix, kind] : prefixes) {
        if (!route.target.starts_with(prefix)) continue;
        route.kind = kind;
        route.target.erase(0, prefix.size());
        return;
    }
}

network::RouteTable take_table(Item& item) {
    network::RouteTable table{item.text("id"), item.text("network"), item.boolean("main"), item.texts("subnets"), {}};
    for (const json::value& value : item.list("routes")) {
        Item route_item(value);
        network::Route route;
        route.destination = route_item.range("destination");
        take_target(route_item, route);
        route.blackhole = route_item.one_of("state", {"active", "blackhole"}) == "blackhole";
        item.wrong_in("routes", numbered(table.routes.size(), route_item.wrong()));
        table.routes.push_back(std::move(route));
    }
    return table;
}

std::vector<network::Rule> take_rules(Item& item, const char* key, const char* peer_key) {
    std::vector<network::Rule> rules;
    for (const json::value& value : item.list(key)) {
        Item rule_item(value);
        network::Rule rule;
        rule.protocol = rule_item.protocol();
        std::tie(rule.port_from, rule.port_to) = rule_item.ports();
        const std::string peer = rule_item.text(peer_key);
        if (peer.starts_with("sg:") && peer.size() > 3) {
            rule.group = peer.substr(3);
        } else if (const auto range = network::parse_range(peer)) {
            rule.range = *range;
        } else {
            rule_item.wrong(peer_key, "sg:ID or an address range");
        }
        item.wrong_in(key, numbered(rules.size(), rule_item.wrong()));
        rules.push_back(std::move(rule));
    }
    return rules;
}

std::vector<network::AclEntry> take_entries(Item& item, const char* key, const char* peer_key) {
    std::vector<network::AclEntry> entries;
    for (const json::value& value : item.list(key)) {
        Item entry_item(value);
        network::AclEntry entry;
        entry.number = static_cast<int>(entry_item.integer("number", 1, 32767));
        entry.allow = entry_item.one_of("action", {"allow", "deny"}) == "allow";
        entry.protocol = entry_item.protocol();
        std::tie(entry.port_from, entry.port_to) = entry_item.ports();
        entry.range = entry_item.range(peer_key);
        for (const network::AclEntry& other : entries)
            if (other.number == entry.number) entry_item.wrong("number", "a number that stands once in its direction");
        item.wrong_in(key, numbered(entries.size(), entry_item.wrong()));
        entries.push_back(std::move(entry));
    }
    return entries;
}

using Take = void (*)(Item&, network::Facts&);

// By key; the order is that of kinds().
const std::vector<std::pair<std::string_view, Take>>& takes() {
    static const std::vector<std::pair<std::string_view, Take>> takes = {
        {"zones",
         [](Item& i, network::Facts& f) {
             f.zones.push_back({i.text("id"), i.text("state")});
         }},
        {"networks",
         [](Item& i, network::Facts& f) {
             f.networks.push_back({i.text("id"), i.range("cidr"), i.text("state")});
         }},
        {"subnets",
         [](Item& i, network::Facts& f) {
             f.subnets.push_back({i.text("id"), i.text("network"), i.text("zone"), i.range("cidr"), i.text("state"),
                                  static_cast<std::uint64_t>(i.integer("free_addresses", 0, std::int64_t{1} << 32))});
         }},
        {"route_tables", [](Item& i, network::Facts& f) { f.route_tables.push_back(take_table(i)); }},
        {"nat_gateways",
         [](Item& i, network::Facts& f) {
             f.nat_gateways.push_back({i.text("id"), i.text("subnet"), i.text("zone"), i.text("state")});
         }},
        {"endpoints",
         [](Item& i, network::Facts& f) {
             f.endpoints.push_back({i.text("id"), i.text("network"), i.one_of("kind", {"gateway", "interface"}),
                                    i.text("service"), i.text("state"), i.texts("route_tables"), i.texts("subnets")});
         }},
        {"security_groups",
         [](Item& i, network::Facts& f) {
             f.security_groups.push_back({i.text("id"), i.text("network"), take_rules(i, "ingress", "source"),
                                          take_rules(i, "egress", "destination")});
         }},
        {"network_acls",
         [](Item& i, network::Facts& f) {
             f.network_acls.push_back({i.text("id"), i.text("network"), i.boolean("default"), i.texts("subnets"),
                                       take_entries(i, "ingress", "source"), take_entries(i, "egress", "destination")});
         }},
        {"interfaces",
         [](Item& i, network::Facts& f) {
             f.interfaces.push_back({i.text("id"), i.address("address"), i.text("subnet"), i.texts("security_groups"),
                                     i.text("token"), i.text("state")});
         }},
        {"internet_gateways",
         [](Item& i, network::Facts& f) {
             f.internet_gateways.push_back({i.text("id"), i.text("network"), i.text("state")});
         }},
        {"peerings",
         [](Item& i, network::Facts& f) {
             f.peerings.push_back({i.text("id"), i.texts("networks"), i.text("state")});
         }},
    };
    return takes;
}

std::string id_of(const json::value& item) {
    const json::object* object = item.if_object();
    const json::value* id = object == nullptr ? nullptr : object->if_contains("id");
    return id != nullptr && id->is_string() ? std::string(id->get_string()) : std::string();
}

}  // namespace

const std::vector<Kind>& kinds() {
    static const std::vector<Kind> kinds = {{"zones", "/v1/zones", true},
                                            {"networks", "/v1/networks", true},
                                            {"subnets", "/v1/subnets", true},
                                            {"route_tables", "/v1/route-tables", true},
                                            {"nat_gateways", "/v1/nat-gateways", true},
                                            {"endpoints", "/v1/endpoints", true},
                                            {"security_groups", "/v1/security-groups", true},
                                            {"peerings", "/v1/peerings", true},
                                            {"network_acls", "/v1/network-acls", true},
                                            {"interfaces", "/v1/interfaces", true},
                                            {"internet_gateways", "", false}};
    return kinds;
}

base::Result<network::Facts> add_items(const Kind& kind, const json::value& items, network::Facts facts) {
    const json::array* list = items.if_array();
    if (list == nullptr) return fail(ErrorKind::CorruptData, "expected a list");
    if (list->size() > items_max)
        return fail(ErrorKind::CorruptData, "{} items are too many: at most {}", list->size(), items_max);
    const auto take =
        std::find_if(takes().begin(), takes().end(), [&](const auto& one) { return one.first == kind.key; });
    if (take == takes().end()) return fail(ErrorKind::Internal, "'{}' is no kind of item", kind.key);
    std::set<std::string> ids;
    std::size_t number = 0;
    for (const json::value& value : *list) {
        ++number;
        const std::string id = id_of(value);
        Item item(value);
        take->second(item, facts);
        if (item.wrong().empty() && id.empty()) item.wrong("id", "a text that is not empty");
        if (item.wrong().empty() && !ids.insert(id).second) item.wrong("id", "an id that stands once");
        if (!item.wrong().empty())
            return fail(ErrorKind::CorruptData, "item {}{}: {}", number, id.empty() ? "" : " ('" + id + "')",
                        item.wrong());
    }
    if (kind.key == "interfaces") facts.interfaces_known = true;
    return facts;
}

}  // namespace signalbox::netfacts
