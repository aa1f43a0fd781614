// The parts that the lab's engines and target groups are made of: positions, certificates, what HAProxy says.

#include <filesystem>
#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "lab/certificates.hpp"
#include "lab/position.hpp"
#include "lab/postgres_client.hpp"
#include "lab/target_group.hpp"

namespace signalbox::lab {
namespace {

TEST(LabPositions, places_in_the_log_are_compared_as_numbers_not_as_text) {
    const auto at = [](const char* text) { return *parse_lsn(text); };
    EXPECT_TRUE(at("0/100").covers(at("0/FF")));
    EXPECT_FALSE(at("0/FF").covers(at("0/100")));
    EXPECT_TRUE(at("1/0").covers(at("0/FFFFFFFF")));
    EXPECT_TRUE(at("16/B374D848").covers(at("16/B374D848")));
    for (const char* wrong : {"", "0", "0/", "/1", "0/G", "0/1/2", "0/100000000"})
        EXPECT_FALSE(parse_lsn(wrong)) << wrong;
}

TEST(LabPositions, a_gtid_set_covers_what_is_not_later_on_any_server) {
    const auto of = [](const char* text) { return *parse_gtid_set(text); };
    const char* const a = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-57";
    EXPECT_TRUE(of(a).covers(of("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:7")));
    EXPECT_FALSE(of(a).covers(of("3e11fa47-71ca-11e1-9e33-c80aa9429562:58")));
    EXPECT_FALSE(of(a).covers(of("4e11fa47-71ca-11e1-9e33-c80aa9429562:1")));
    EXPECT_TRUE(of("a:1-5,\nb:1").covers(of("b:1,a:4")));
    EXPECT_FALSE(of("a:1-5").covers(of("a:tag:1-5")));
    EXPECT_TRUE(of("").empty());
    for (const char* wrong : {"a", "a:", "a:1-", "a:1,,b:1"}) EXPECT_FALSE(parse_gtid_set(wrong)) << wrong;
}

TEST(LabPostgres, quotes_in_names_and_texts_are_doubled) {
    EXPECT_EQ(PostgresClient::literal("it's"), "'it''s'");
    EXPECT_EQ(PostgresClient::identifier("a\"b"), "\"a\"\"b\"");
}

// As HAProxy 2.6 answers `show servers state targets`.
constexpr const char* state_header =
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port\n";

std::string state_line(int operational, int administrative, int result, int check) {
    return state_header + fmt::format("2 targets 1 x 10.0.1.5 {} {} 1 1 1 1 {} 2 {} 0 0 0 - 3306 - 0 0 - - 0\n\n",
                                      operational, administrative, result, check);
}

TEST(LabTargetGroups, a_servers_state_is_told_as_a_cloud_tells_it) {
    const auto state = [](int operational, int administrative, int result, int check) {
        return parse_servers_state(state_line(operational, administrative, result, check))->at(0).state;
    };
    EXPECT_EQ(state(2, 0, 0, 6), "initial");
    EXPECT_EQ(state(2, 0, 3, 6), "healthy");
    EXPECT_EQ(state(2, 0, 0, 0), "healthy");  // no check: nothing to wait for
    EXPECT_EQ(state(0, 0, 2, 6), "unhealthy");
    EXPECT_EQ(state(2, 8, 3, 6), "draining");
    EXPECT_EQ(state(0, 1, 0, 6), "unused");
    EXPECT_EQ(parse_servers_state(state_line(2, 0, 3, 6))->at(0).address, (base::HostPort{"10.0.1.5", 3306}));
    EXPECT_TRUE(parse_servers_state(state_header)->empty());
    EXPECT_FALSE(parse_servers_state("No such backend.\n"));
}

TEST(LabCertificates, a_server_certificate_is_of_the_authority_and_names_host_and_address) {
    const std::string directory = testing::TempDir() + "/lab-certificates";
    std::filesystem::create_directories(directory);
    auto authority = CertificateAuthority::create(directory + "/authority.pem");
    ASSERT_TRUE(authority);
    ASSERT_TRUE(authority->issue({"orders-1.lab", "orders.cluster.lab"}, *parse_ipv4("10.0.1.5"), directory));
    const auto read = [](const std::string& path) {
        const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "r"), std::fclose);
        return std::unique_ptr<X509, decltype(&X509_free)>(PEM_read_X509(file.get(), nullptr, nullptr, nullptr),
                                                           X509_free);
    };
    const auto ca = read(directory + "/authority.pem");
    const auto server = read(directory + "/server.pem");
    ASSERT_TRUE(ca && server);
    EXPECT_EQ(X509_verify(server.get(), X509_get0_pubkey(ca.get())), 1);
    EXPECT_EQ(X509_check_host(server.get(), "orders.cluster.lab", 0, 0, nullptr), 1);
    EXPECT_EQ(X509_check_ip_asc(server.get(), "10.0.1.5", 0), 1);
    EXPECT_EQ(X509_check_host(server.get(), "orders-2.lab", 0, 0, nullptr), 0);
    struct stat key {};
    ASSERT_EQ(::stat((directory + "/server.key").c_str(), &key), 0);
    EXPECT_EQ(key.st_mode & 0777u, 0600u);
    std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace signalbox::lab
