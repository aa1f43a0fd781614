#include "app/config_tables.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/catalogs.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Read {
    std::vector<CatalogConfig> catalogs;
    std::string faults;
};

Read read(const std::string& text, Secrets secrets = Secrets::Read) {
    auto document = *yaml::Document::parse(text, "/etc/signalbox/test.yaml");
    auto root = document.root();
    Read result;
    result.catalogs = read_catalogs(root, "/etc/signalbox/test.yaml", secrets);
    root.finish();
    if (const auto status = document.status(); !status) result.faults = status.error().message;
    return result;
}

// The faults of one catalog of that type with those keys.
std::string faults(const std::string& type, const std::string& keys) {
    return read("catalogs: [{name: c, type: " + type + ", " + keys + "}]\n").faults;
}

TEST(CatalogsConfig, is_read_with_defaults_and_makes_catalogs) {
    ::setenv("TEST_CATALOG_CREDENTIAL", "id:se:cret", 1);
    const auto good = read(
        "catalogs:\n"
        "  - {name: lake, type: folder, path: warehouse/, include: ['sales.*'], exclude: ['*.tmp'], depth: 2,"
        " poll: {interval: 30s, jitter: 0.2}}\n"
        "  - {name: here, type: sql, uri: 'sqlite:///catalog.db', owner: main, allow_outside: true, timeout: 3s}\n"
        "  - {name: meta, type: sql, uri: 'postgresql+psycopg2://etl@[::1]:5433/lake', schema: iceberg}\n"
        "  - {name: rest, type: rest, url: 'https://catalog.example/api/', warehouse: w,"
        " credential_env: TEST_CATALOG_CREDENTIAL, scope: 'PRINCIPAL_ROLE:ALL'}\n");
    EXPECT_EQ(good.faults, "");
    ASSERT_EQ(good.catalogs.size(), 4);
    const auto& folder = std::get<iceberg::FolderConfig>(good.catalogs[0].adapter);
    EXPECT_EQ(folder.path, "/etc/signalbox/warehouse");
    EXPECT_EQ(folder.depth, 2);
    EXPECT_TRUE(folder.filter.passes("sales.orders"));
    EXPECT_FALSE(folder.filter.passes("hr.pay"));
    EXPECT_EQ(good.catalogs[0].poll_interval, 30s);
    EXPECT_EQ(good.catalogs[0].poll_jitter, 0.2);
    const auto& sqlite = std::get<catalogs::SqlConfig>(good.catalogs[1].adapter);
    EXPECT_EQ(sqlite.sqlite_file, "/etc/signalbox/catalog.db");
    EXPECT_EQ(sqlite.owner, "main");
    EXPECT_TRUE(sqlite.allow_outside);
    EXPECT_EQ(sqlite.timeout, 3s);
    EXPECT_EQ(good.catalogs[1].poll_interval, 60s);
    const auto& postgres = std::get<catalogs::SqlConfig>(good.catalogs[2].adapter).postgres;
    EXPECT_EQ(postgres.user, "etl");
    EXPECT_EQ(postgres.host, "::1");
    EXPECT_EQ(postgres.port, 5433);
    EXPECT_EQ(postgres.database, "lake");
    const auto& rest = std::get<catalogs::RestConfig>(good.catalogs[3].adapter);
    EXPECT_EQ(rest.url, "https://catalog.example/api");
    EXPECT_EQ(rest.client_id, "id");
    EXPECT_EQ(rest.client_secret, "se:cret");
    EXPECT_EQ(rest.scope, "PRINCIPAL_ROLE:ALL");
    for (const auto& config : good.catalogs) EXPECT_EQ(make_catalog(config)->name(), config.name);
}

TEST(CatalogsConfig, names_every_fault_with_its_line) {
    const auto bad = read(
        "catalogs:\n"
        "  - {name: a, type: folder}\n"
        "  - {name: a, type: folder, path: /w, depth: 99}\n"
        "  - {name: b, type: glue}\n"
        "  - {name: c}\n"
        "  - {name: d, type: folder, path: 's3://bucket/w'}\n"
        "  - {name: e, type: folder, path: /w, poll: {interval: 1ms, jitter: 2, often: true}, uri: x, include: "
        "['']}\n");
    for (const char* expected : {"test.yaml:2:", "test.yaml:3:", "test.yaml:4:", "expected folder, sql or rest",
                                 "s3:// is a storage that is not supported", "often", "found an empty one"})
        EXPECT_THAT(bad.faults, HasSubstr(expected));
    EXPECT_EQ(std::count(bad.faults.begin(), bad.faults.end(), '\n'), 10) << bad.faults;
}

TEST(CatalogsConfig, a_sql_uri_says_what_it_lacks_and_never_holds_a_password) {
    EXPECT_THAT(faults("sql", "uri: 'sqlite://catalog.db'"), HasSubstr("sqlite:///FILE"));
    EXPECT_THAT(faults("sql", "uri: 'mysql://u@h/d'"), HasSubstr("expected sqlite:///FILE or postgresql://"));
    EXPECT_THAT(faults("sql", "uri: 'postgresql://h:5432/d'"), HasSubstr("the user is missing"));
    EXPECT_THAT(faults("sql", "uri: 'postgresql://u@h'"), HasSubstr("the database is missing"));
    EXPECT_THAT(faults("sql", "uri: 'postgresql://u@h:x/d'"), HasSubstr("its port is no number"));
    EXPECT_THAT(faults("sql", "uri: 'postgresql://u@h/d?sslmode=require'"), HasSubstr("keys of their own"));
    EXPECT_THAT(faults("sql", "uri: 'sqlite:///a.db', tls_ca_file: ca.pem"), HasSubstr("is for PostgreSQL"));
    const auto password = faults("sql", "uri: 'postgresql://u:hunter2@h/d'");
    EXPECT_THAT(password, HasSubstr("use password_file"));
    EXPECT_THAT(password, Not(HasSubstr("hunter2")));
    EXPECT_THAT(faults("sql", "uri: 'postgresql://u@h/d'"), IsEmpty());
}

TEST(CatalogsConfig, a_secret_is_not_sent_in_the_clear_unless_that_is_wanted) {
    ::setenv("TEST_CATALOG_TOKEN", "t0ken", 1);
    const std::string token = ", token_env: TEST_CATALOG_TOKEN";
    EXPECT_THAT(faults("rest", "url: 'http://catalog.example:8181'" + token), HasSubstr("use https://"));
    EXPECT_THAT(faults("rest", "url: 'http://127.0.0.1.evil.example'" + token), HasSubstr("use https://"));
    EXPECT_THAT(faults("rest", "url: 'http://localhost.evil.example'" + token), HasSubstr("use https://"));
    for (const char* url :
         {"https://catalog.example", "http://127.0.0.1:8181/x", "http://localhost:1", "http://[::1]:8"})
        EXPECT_THAT(faults("rest", "url: '" + std::string(url) + "'" + token), IsEmpty()) << url;
    EXPECT_THAT(faults("rest", "allow_clear_text: true, url: 'http://catalog.example:8181'" + token), IsEmpty());
    EXPECT_THAT(faults("rest", "url: 'http://catalog.example:8181'"), IsEmpty());
}

TEST(CatalogsConfig, a_rest_catalog_has_one_way_to_say_who_we_are) {
    ::setenv("TEST_CATALOG_TOKEN", "no-colon", 1);
    EXPECT_THAT(faults("rest", "url: 'https://c', token_env: TEST_CATALOG_TOKEN, credential_env: TEST_CATALOG_TOKEN"),
                HasSubstr("not both"));
    const auto malformed = faults("rest", "url: 'https://c', credential_env: TEST_CATALOG_TOKEN");
    EXPECT_THAT(malformed, HasSubstr("expected ID:SECRET"));
    EXPECT_THAT(malformed, Not(HasSubstr("no-colon")));
    EXPECT_THAT(faults("rest", "url: 'https://c', scope: x"), HasSubstr("is for a credential"));
    EXPECT_THAT(faults("rest", "url: 'https://c', token_file: /nowhere/token"), HasSubstr("/nowhere/token"));
    EXPECT_THAT(faults("rest", "url: 'https://c/v1'"), HasSubstr("what stands before /v1"));
    EXPECT_THAT(faults("rest", "url: 'https://user:pw@c'"), HasSubstr("without user"));
    // A command that only asks the daemon needs no secret.
    EXPECT_THAT(
        read("catalogs: [{name: c, type: rest, url: 'https://c', token_file: /nowhere/token}]", Secrets::Skip).faults,
        IsEmpty());
}

}  // namespace
}  // namespace signalbox::app
