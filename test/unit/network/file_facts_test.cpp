#include "adapters/netfacts/file_facts.hpp"

#include <cstdio>
#include <fstream>
#include <gmock/gmock.h>
#include <unistd.h>

#include "domain/network/reach.hpp"

namespace signalbox::netfacts {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace json = base::json;

const char* whole = R"({
  "read_at": "2026-01-02T03:04:05Z",
  "zones": [{"id": "a", "state": "available"}],
  "networks": [{"id": "main", "cidr": "10.0.0.0/16", "state": "available"}],
  "subnets": [{"id": "data-a", "network": "main", "zone": "a", "cidr": "10.0.1.0/24", "state": "available",
               "free_addresses": 250, "route_table": "out"},
              {"id": "data-b", "network": "main", "zone": "a", "cidr": "10.0.2.0/24", "state": "available",
               "free_addresses": 250}],
  "route_tables": [{"id": "out", "network": "main", "main": true, "subnets": [], "routes": [
      {"destination": "10.0.0.0/16", "target": "local", "state": "active"},
      {"destination": "0.0.0.0/0", "target": "internet:igw", "state": "active"}]}],
  "nat_gateways": [],
  "endpoints": [{"id": "store", "network": "main", "kind": "gateway", "service": "s3", "state": "available",
                 "route_tables": ["out"], "subnets": []}],
  "security_groups": [{"id": "db", "network": "main",
      "ingress": [{"protocol": "tcp", "port_from": 3306, "port_to": 3306, "source": "sg:jobs"}],
      "egress": [{"protocol": "all", "port_from": 0, "port_to": 65535, "destination": "0.0.0.0/0"}]}],
  "peerings": [{"id": "p", "networks": ["main", "other"], "state": "active"}],
  "network_acls": [{"id": "acl", "network": "main", "default": true, "subnets": ["data-a"],
      "ingress": [{"number": 100, "action": "allow", "protocol": "all", "port_from": 0, "port_to": 65535,
                   "source": "0.0.0.0/0"}],
      "egress": [{"number": 90, "action": "deny", "protocol": "tcp", "port_from": 25, "port_to": 25,
                  "destination": "0.0.0.0/0"}]}],
  "interfaces": [{"id": "i-1", "address": "10.0.1.9", "subnet": "data-a", "security_groups": ["db"], "token": "",
                  "state": "in-use"}],
  "internet_gateways": [{"id": "igw", "network": "main", "state": "available"}]
})";

const base::WallTime now = *base::parse_time("2026-01-02T03:10:00Z");

base::Result<network::Facts> parse(const json::value& value) { return parse_facts(value, now); }
json::object content() { return json::parse(whole).as_object(); }

// The error after one change to the content.
template <typename Change>
std::string error_after(Change change) {
    json::object changed = content();
    change(changed);
    const auto facts = parse(changed);
    return facts ? "no error" : facts.error().text();
}

json::object& item(json::object& object, const char* list, std::size_t index = 0) {
    return object.at(list).as_array().at(index).as_object();
}

TEST(FileFacts, every_list_is_read) {
    const auto facts = parse(content());
    ASSERT_TRUE(facts) << facts.error().text();
    EXPECT_EQ(base::format_time(facts->read_at), "2026-01-02T03:04:05.000Z");
    EXPECT_EQ(facts->subnets.size(), 2u);
    EXPECT_EQ(facts->route_tables[0].routes[1].kind, network::TargetKind::Internet);
    EXPECT_EQ(facts->route_tables[0].routes[1].target, "igw");
    EXPECT_EQ(facts->security_groups[0].ingress[0].group, "jobs");
    EXPECT_TRUE(facts->network_acls[0].is_default);
    EXPECT_FALSE(facts->network_acls[0].egress[0].allow);
    EXPECT_EQ(facts->interfaces[0].address, *network::parse_address("10.0.1.9"));
    EXPECT_TRUE(facts->interfaces_known);
    EXPECT_EQ(facts->internet_gateways[0].network, "main");
}

TEST(FileFacts, what_a_file_says_of_its_age_counts_and_a_time_ahead_is_now) {
    EXPECT_TRUE(network::staleness(*parse(content()), now));
    json::object fresh = content();
    fresh.erase("read_at");
    EXPECT_EQ(parse(fresh)->read_at, now);
    fresh["read_at"] = "2027-01-01T00:00:00Z";
    EXPECT_EQ(parse(fresh)->read_at, now);
    EXPECT_THAT(error_after([](json::object& o) { o["read_at"] = "yesterday"; }),
                HasSubstr("'read_at': expected a time"));
    EXPECT_THAT(error_after([](json::object& o) { o["read_at"] = 7; }), HasSubstr("'read_at': expected a time"));
}

TEST(FileFacts, half_an_answer_is_one_error_that_names_the_list) {
    for (const char* list : {"zones", "networks", "subnets", "route_tables", "nat_gateways", "endpoints",
                             "security_groups", "peerings", "network_acls", "interfaces"}) {
        EXPECT_THAT(error_after([&](json::object& o) { o.erase(list); }),
                    HasSubstr("'" + std::string(list) + "' is missing"));
        EXPECT_THAT(error_after([&](json::object& o) { o[list] = nullptr; }),
                    HasSubstr(std::string(list) + ": expected a list"));
        EXPECT_THAT(error_after([&](json::object& o) { o[list] = json::array{"x"}; }),
                    HasSubstr(std::string(list) + ": item 1: expected an object"));
    }
    EXPECT_THAT(parse(json::array()).error().text(), HasSubstr("expected an object"));
}

TEST(FileFacts, every_field_of_every_item_is_needed_and_named_with_its_item) {
    const json::object good = content();
    int fields = 0;
    for (const auto& [list, items] : good) {
        if (!items.is_array() || items.get_array().empty()) continue;
        for (const auto& [field, value] : items.get_array().front().get_object()) {
            if (field == "route_table") continue;  // the lab tells it, the tables tell it, too
            ++fields;
            const std::string told = error_after(
                [list = list, field = field](json::object& o) { o.at(list).as_array()[0].as_object().erase(field); });
            EXPECT_THAT(told, AllOf(HasSubstr(std::string(list) + ": item 1"),
                                    HasSubstr("'" + std::string(field) + "': expected")));
        }
    }
    EXPECT_GT(fields, 35);
}

TEST(FileFacts, what_is_not_understood_is_named_down_to_the_rule) {
    const auto rule = [](json::object& o) -> json::object& {
        return item(o, "security_groups").at("ingress").as_array()[0].as_object();
    };
    EXPECT_THAT(
        error_after([&](json::object& o) { rule(o)["source"] = "everybody"; }),
        HasSubstr("security_groups: item 1 ('db'): 'ingress': number 1: 'source': expected sg:ID or an address"));
    EXPECT_THAT(error_after([&](json::object& o) { rule(o)["protocol"] = "6"; }),
                HasSubstr("'protocol': expected tcp"));
    EXPECT_THAT(error_after([&](json::object& o) { rule(o)["port_to"] = 80; }), HasSubstr("not below port_from"));
    EXPECT_THAT(error_after([](json::object& o) {
                    item(o, "network_acls").at("egress").as_array()[0].as_object()["action"] = "permit";
                }),
                HasSubstr("network_acls: item 1 ('acl'): 'egress': number 1: 'action': expected allow or deny"));
    EXPECT_THAT(error_after([](json::object& o) {
                    auto& entries = item(o, "network_acls").at("ingress").as_array();
                    entries.push_back(entries[0]);
                }),
                HasSubstr("number 2: 'number': expected a number that stands once"));
    EXPECT_THAT(error_after([](json::object& o) { item(o, "interfaces")["address"] = "10.0.1"; }),
                HasSubstr("interfaces: item 1 ('i-1'): 'address': expected an IPv4 address"));
    EXPECT_THAT(error_after([](json::object& o) { item(o, "subnets", 1)["id"] = "data-a"; }),
                HasSubstr("subnets: item 2 ('data-a'): 'id': expected an id that stands once"));
    EXPECT_THAT(error_after([](json::object& o) { o["subnet"] = json::array(); }),
                HasSubstr("did you mean 'subnets'?"));
}

TEST(FileFacts, a_name_of_what_is_not_in_the_file_is_an_answer_that_was_cut_off) {
    EXPECT_THAT(error_after([](json::object& o) { o["networks"] = json::array(); }),
                HasSubstr("subnets: 'data-a': 'network': there is no network 'main' in the file"));
    EXPECT_THAT(error_after([](json::object& o) { item(o, "interfaces")["subnet"] = "gone"; }),
                HasSubstr("interfaces: 'i-1': 'subnet': there is no subnet 'gone' in the file"));
    EXPECT_THAT(error_after([](json::object& o) { o["security_groups"] = json::array(); }),
                HasSubstr("there is no security group 'db' in the file"));
}

TEST(FileFacts, the_file_is_named_in_every_error) {
    const std::string path = fmt::format("/tmp/file-facts-{}.json", ::getpid());
    FileFacts facts(path);
    EXPECT_THAT(facts.read(now, {}).error().text(), HasSubstr(path));
    std::ofstream(path) << "{\"zones\": [";
    EXPECT_THAT(facts.read(now, {}).error().text(), HasSubstr(path));
    std::ofstream(path) << "{}";
    EXPECT_THAT(facts.read(now, {}).error().text(), AllOf(HasSubstr(path), HasSubstr("'zones' is missing")));
    std::ofstream(path) << whole;
    EXPECT_TRUE(facts.read(now, {}));
    std::remove(path.c_str());
}

}  // namespace
}  // namespace signalbox::netfacts
