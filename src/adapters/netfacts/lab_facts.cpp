#include "adapters/netfacts/lab_facts.hpp"

#include <array>
#include <functional>
#include <utility>

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
    const std::string& wrong() const { return wrong_; }

  private:
    const json::value* get(const char* key) { return object_ == nullptr ? nullptr : object_->if_contains(key); }

    const json::object* object_;
    std::string wrong_;
};

void take_target(Item& item, network::Route& route) {
    using Kind = network::TargetKind;
    constexpr std::array<std::pair<std::string_view, Kind>, 3> prefixes = {
        {{"nat:", Kind::Nat}, {"endpoint:", Kind::Endpoint}, {"peering:", Kind::Peering}}};
    route.target = item.text("target");
    if (route.target == "local") route.kind = Kind::Local;
    if (route.target == "internet") route.kind = Kind::Internet;
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
        route.blackhole = route_item.text("state") != "active";
        if (!route_item.wrong().empty()) item.wrong("routes", "routes with " + route_item.wrong());
        table.routes.push_back(std::move(route));
    }
    return table;
}

std::vector<network::Rule> take_rules(Item& item, const char* key, const char* peer_key) {
    std::vector<network::Rule> rules;
    for (const json::value& value : item.list(key)) {
        Item rule_item(value);
        network::Rule rule;
        rule.protocol = rule_item.text("protocol");
        rule.port_from = static_cast<int>(rule_item.integer("port_from", 0, 65535));
        rule.port_to = static_cast<int>(rule_item.integer("port_to", 0, 65535));
        const std::string peer = rule_item.text(peer_key);
        if (peer.starts_with("sg:")) {
            rule.group = peer.substr(3);
        } else if (const auto range = network::parse_range(peer)) {
            rule.range = *range;
        } else {
            rule_item.wrong(peer_key, "sg:ID or an address range");
        }
        if (!rule_item.wrong().empty()) item.wrong(key, "rules with " + rule_item.wrong());
        rules.push_back(std::move(rule));
    }
    return rules;
}

using Take = std::function<void(Item&, network::Facts&)>;

const std::vector<std::pair<std::string_view, Take>>& calls() {
    static const std::vector<std::pair<std::string_view, Take>> calls = {
        {"/v1/zones",
         [](Item& i, network::Facts& f) {
             f.zones.push_back({i.text("id"), i.text("state")});
         }},
        {"/v1/networks",
         [](Item& i, network::Facts& f) {
             f.networks.push_back({i.text("id"), i.range("cidr"), i.text("state")});
         }},
        {"/v1/subnets",
         [](Item& i, network::Facts& f) {
             f.subnets.push_back({i.text("id"), i.text("network"), i.text("zone"), i.range("cidr"), i.text("state"),
                                  static_cast<std::uint64_t>(i.integer("free_addresses", 0, std::int64_t{1} << 32))});
         }},
        {"/v1/route-tables", [](Item& i, network::Facts& f) { f.route_tables.push_back(take_table(i)); }},
        {"/v1/nat-gateways",
         [](Item& i, network::Facts& f) {
             f.nat_gateways.push_back({i.text("id"), i.text("subnet"), i.text("zone"), i.text("state")});
         }},
        {"/v1/endpoints",
         [](Item& i, network::Facts& f) {
             f.endpoints.push_back({i.text("id"), i.text("network"), i.text("kind"), i.text("service"), i.text("state"),
                                    i.texts("route_tables"), i.texts("subnets")});
         }},
        {"/v1/security-groups",
         [](Item& i, network::Facts& f) {
             f.security_groups.push_back({i.text("id"), i.text("network"), take_rules(i, "ingress", "source"),
                                          take_rules(i, "egress", "destination")});
         }},
        {"/v1/peerings",
         [](Item& i, network::Facts& f) {
             f.peerings.push_back({i.text("id"), i.texts("networks"), i.text("state")});
         }},
    };
    return calls;
}

}  // namespace

base::Result<network::Facts> parse_facts(std::string_view target, const json::value& answer, network::Facts facts) {
    const json::object* object = answer.if_object();
    const json::value* items = object == nullptr ? nullptr : object->if_contains("items");
    if (items == nullptr || !items->is_array() || items->get_array().size() > items_max)
        return fail(ErrorKind::CorruptData, "{}: expected an object with a list 'items'", target);
    for (const auto& [call, take] : calls()) {
        if (call != target) continue;
        std::size_t index = 0;
        for (const json::value& value : items->get_array()) {
            Item item(value);
            take(item, facts);
            if (!item.wrong().empty())
                return fail(ErrorKind::CorruptData, "{}: item {}: {}", target, index, item.wrong());
            ++index;
        }
    }
    return facts;
}

base::Result<network::Facts> LabFacts::read(base::WallTime now, base::Duration timeout) {
    network::Facts facts;
    facts.read_at = now;
    for (const auto& [target, take] : calls()) {
        SB_TRY(const json::value answer, client_.get(target, timeout));
        SB_TRY(facts, parse_facts(target, answer, std::move(facts)));
    }
    return facts;
}

}  // namespace signalbox::netfacts
