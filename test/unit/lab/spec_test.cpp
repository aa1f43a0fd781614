#include "lab/spec.hpp"

#include <gmock/gmock.h>

namespace signalbox::lab {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const char* small_lab = R"(name: small
zones: [a]
networks:
  - {name: main, cidr: 10.0.0.0/16}
subnets:
  - {name: data-a, zone: a, cidr: 10.0.1.0/28}
)";

base::Result<LabSpec> parse(const std::string& more) { return parse_spec(small_lab + more, "lab.yaml"); }

std::string faults(const std::string& more) {
    const auto spec = parse(more);
    return spec ? "no fault" : spec.error().text();
}

TEST(LabFile, the_smallest_lab_gets_its_defaults) {
    const auto spec = parse("");
    ASSERT_TRUE(spec) << spec.error().text();
    EXPECT_EQ(spec->subnets.front().network, "main");
    EXPECT_EQ(spec->subnets.front().route_table, "main-main");
    EXPECT_TRUE(spec->route_tables.front().main);
}

TEST(LabFile, every_fault_is_found_in_one_pass_with_its_line) {
    EXPECT_THAT(faults(R"(
hosts:
  - {name: x, subnet: data-q}
  - {name: x, subnet: data-a, address: 10.0.9.9}
nat_gateways:
  - {name: n, subnet: nowhere, size: 3}
clusters:
  - {name: c, members: [], failover: {detect: never}}
)"),
                AllOf(HasSubstr("lab.yaml:9"), HasSubstr("no subnet 'data-q'"), HasSubstr("10.0.9.9"),
                      HasSubstr("nowhere"), HasSubstr("size"), HasSubstr("at least one member"), HasSubstr("detect")));
}

TEST(LabFile, overlapping_and_outside_ranges_are_refused) {
    const auto text = parse_spec(R"(zones: [a]
networks: [{name: main, cidr: 10.0.0.0/16}]
subnets:
  - {name: one, zone: a, cidr: 10.0.1.0/24}
  - {name: two, zone: a, cidr: 10.0.1.128/25}
  - {name: three, zone: a, cidr: 10.1.0.0/24}
  - {name: four, zone: a, cidr: 10.0.2.1/24}
)",
                                 "lab.yaml");
    ASSERT_FALSE(text);
    EXPECT_THAT(text.error().text(), AllOf(HasSubstr("lab.yaml:5: "), HasSubstr("overlaps subnet 'one'"),
                                           HasSubstr("lab.yaml:6: "), HasSubstr("not inside network 'main'"),
                                           HasSubstr("lab.yaml:7: "), HasSubstr("no bits behind the prefix")));
}

TEST(LabFile, a_subnet_must_have_room_for_what_is_declared_in_it) {
    EXPECT_THAT(faults("hosts: [{name: h1, subnet: data-a}]\n"), "no fault");
    std::string hosts = "hosts:\n";
    for (int i = 0; i < 12; ++i) hosts += "  - {name: h" + std::to_string(i) + ", subnet: data-a}\n";
    EXPECT_THAT(faults(hosts), HasSubstr("has room for 11 nodes"));
}

TEST(LabFile, a_route_to_what_does_not_exist_is_refused) {
    EXPECT_THAT(faults("route_tables: [{name: t, routes: [{destination: 0.0.0.0/0, target: \"nat:x\"}]}]\n"),
                HasSubstr("there is no NAT gateway 'x'"));
    EXPECT_THAT(faults("route_tables: [{name: t, routes: [{destination: 0.0.0.0/0, target: elsewhere}]}]\n"),
                HasSubstr("expected nat:NAME"));
}

TEST(LabFile, a_network_without_a_network_acl_has_a_default_one_that_lets_everything_pass) {
    const auto spec = parse("");
    ASSERT_TRUE(spec) << spec.error().text();
    const AclSpec& acl = spec->network_acls.front();
    EXPECT_EQ(acl.name, "main-default");
    EXPECT_TRUE(acl.is_default && acl.ingress.front().allow && acl.egress.front().allow);
    EXPECT_EQ(acl.ingress.front().range.text(), "0.0.0.0/0");
}

TEST(LabFile, entries_of_a_network_acl_are_read_in_the_order_of_their_numbers) {
    const auto spec = parse(R"(
network_acls:
  - name: tight
    subnets: [data-a]
    ingress:
      - {number: 200, action: deny, source: 0.0.0.0/0}
      - {number: 100, action: allow, protocol: tcp, port: 3306, source: 10.0.0.0/8}
)");
    ASSERT_TRUE(spec) << spec.error().text();
    const AclSpec& acl = *find_named(spec->network_acls, std::string("tight"));
    ASSERT_EQ(acl.ingress.size(), 2u);
    EXPECT_EQ(acl.ingress[0].number, 100);
    EXPECT_EQ(acl.ingress[0].port_to, 3306);
    EXPECT_FALSE(acl.ingress[1].allow);
    EXPECT_TRUE(acl.egress.empty()) << "nothing leaves";
}

TEST(LabFile, a_network_acl_that_contradicts_itself_or_another_is_refused) {
    EXPECT_THAT(faults(R"(
network_acls:
  - name: one
    default: true
    subnets: [data-a, nowhere]
    ingress: [{number: 1, source: 10.0.0.0/8}, {number: 1, source: 0.0.0.0/0}, {action: deny, source: 10.0.0.1/8}]
  - {name: two, default: true, subnets: [data-a], egress: [{number: 40000, destination: 0.0.0.0/0}]}
)"),
                AllOf(HasSubstr("'nowhere'"), HasSubstr("1 stands twice"), HasSubstr("needs a number"),
                      HasSubstr("no bits behind the prefix"), HasSubstr("already the default network ACL"),
                      HasSubstr("subnet 'data-a' has network ACL 'one' already"), HasSubstr("lab.yaml:13")));
}

TEST(LabFile, a_password_never_shows_in_a_fault) {
    const auto text = faults(R"(
clusters:
  - name: c
    members: [{name: c-1, subnet: data-a}]
    users: [{name: u, password: "it's-secret", grants: [nonsense]}]
)");
    EXPECT_THAT(text, HasSubstr("can't hold '"));
    EXPECT_THAT(text, Not(HasSubstr("secret")));
}

TEST(LabFile, each_engine_takes_its_own_form_of_grants) {
    const auto cluster = [](const std::string& engine, const std::string& grant) {
        return faults(
            fmt::format("clusters:\n  - {{name: c, {}, members: [{{name: m, subnet: data-a}}], users: [{{name: u, "
                        "password: p, grants: [\"{}\"]}}]}}\n",
                        engine, grant));
    };
    EXPECT_EQ(cluster("engine: mariadb", "ALL ON orders.*"), "no fault");
    EXPECT_THAT(cluster("engine: mariadb", "pg_monitor"), HasSubstr("PRIVILEGES ON WHAT"));
    EXPECT_EQ(cluster("engine: postgresql", "pg_monitor"), "no fault");
    EXPECT_EQ(cluster("engine: postgresql", "ALL ON DATABASE orders"), "no fault");
    EXPECT_THAT(cluster("engine: postgresql", "ALL ON x; DROP ROLE y"), HasSubstr("pg_monitor"));
    EXPECT_THAT(cluster("engine: oracle", "ALL ON x"), HasSubstr("engine"));
    EXPECT_THAT(cluster("engine: mysql", "ALL ON x"), HasSubstr("server"));
    EXPECT_EQ(cluster("engine: mysql, server: /x", "ALL ON x"), "no fault");
}

TEST(LabFile, a_target_group_is_a_node_with_a_port) {
    const auto spec = parse("target_groups: [{name: nlb, subnet: data-a, port: 3306, drain: 2s, health_check: 0}]\n");
    ASSERT_TRUE(spec) << spec.error().text();
    const auto& group = spec->target_groups.front();
    EXPECT_EQ(group.name, "nlb");
    EXPECT_EQ(group.registration_delay, std::chrono::milliseconds(200));
    EXPECT_EQ(group.drain, std::chrono::seconds(2));
    EXPECT_EQ(group.health_check, base::Duration::zero());
    EXPECT_THAT(faults("target_groups: [{name: nlb, subnet: data-a}]\n"), HasSubstr("port"));
    EXPECT_THAT(faults("hosts: [{name: nlb, subnet: data-a}]\ntarget_groups: [{name: nlb, subnet: data-a, port: 1}]\n"),
                HasSubstr("nlb"));
}

}  // namespace
}  // namespace signalbox::lab
