#include "adapters/catalogs/sql_catalog.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "test/unit/catalogs/warehouse.hpp"

namespace signalbox::catalogs {
namespace {

using base::ErrorKind;
using test::Warehouse;
using ::testing::HasSubstr;

// The writer's side.
class Writer {
  public:
    explicit Writer(const std::string& file) { sqlite3_open(file.c_str(), &handle_); }
    ~Writer() { sqlite3_close(handle_); }
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    int run(const std::string& sql) { return sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr); }
    void make(bool with_type = false) {
        ASSERT_EQ(run(fmt::format("CREATE TABLE iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace "
                                  "VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL, metadata_location "
                                  "VARCHAR(1000), previous_metadata_location VARCHAR(1000){}, PRIMARY KEY "
                                  "(catalog_name, table_namespace, table_name))",
                                  with_type ? ", iceberg_type VARCHAR(5)" : "")),
                  SQLITE_OK);
    }
    void put(const std::string& owner, const std::string& space, const std::string& table,
             const std::string& location) {
        ASSERT_EQ(run(fmt::format("INSERT OR REPLACE INTO iceberg_tables (catalog_name, table_namespace, table_name, "
                                  "metadata_location) VALUES ('{}', '{}', '{}', '{}')",
                                  owner, space, table, location)),
                  SQLITE_OK);
    }

  private:
    sqlite3* handle_ = nullptr;
};

SqlConfig config_of(const std::string& file) {
    SqlConfig config;
    config.name = "meta";
    config.sqlite_file = file;
    config.timeout = std::chrono::milliseconds(300);
    return config;
}

class SqliteCatalog : public ::testing::Test {
  protected:
    Warehouse warehouse_;
    std::string file_ = warehouse_.path() + "/catalog.db";
    Writer writer_{file_};
};

TEST_F(SqliteCatalog, lists_with_locations_and_looks_by_name) {
    writer_.make();
    writer_.put("c", "db", "t", "/w/t/metadata/1.metadata.json");
    writer_.put("c", "a.b", "u", "/w/u/metadata/1.metadata.json");
    writer_.put("c", "db", "with.dot", "/w/d/metadata/1.metadata.json");
    SqlCatalog catalog(config_of(file_));
    const auto listing = catalog.list();
    ASSERT_TRUE(listing) << listing.error().text();
    ASSERT_EQ(listing->tables.size(), 3);
    EXPECT_EQ(listing->tables[0], (ports::TableRef{"meta", "a.b.u", "/w/u/metadata/1.metadata.json"}));
    const auto first = catalog.look("db.with.dot", {});
    ASSERT_TRUE(first);
    EXPECT_EQ(first->metadata_location, "/w/d/metadata/1.metadata.json");
    EXPECT_TRUE(catalog.look("db.with.dot", *first)->unchanged);
    writer_.put("c", "db", "with.dot", "/w/d/metadata/2.metadata.json");
    EXPECT_FALSE(catalog.look("db.with.dot", *first)->unchanged);
    EXPECT_EQ(catalog.look("db.'; DROP TABLE iceberg_tables; --", {}).error().kind, ErrorKind::NotFound);
}

TEST_F(SqliteCatalog, leaves_views_out) {
    writer_.make(true);
    writer_.put("c", "db", "t", "/t.metadata.json");
    writer_.put("c", "db", "v", "/v.metadata.json");
    writer_.run("UPDATE iceberg_tables SET iceberg_type = 'VIEW' WHERE table_name = 'v'");
    SqlCatalog catalog(config_of(file_));
    EXPECT_EQ(catalog.list()->tables.size(), 1);
    EXPECT_EQ(catalog.look("db.v", {}).error().kind, ErrorKind::NotFound);
}

TEST_F(SqliteCatalog, asks_which_of_two_catalogs_in_one_file_is_meant) {
    writer_.make();
    writer_.put("one", "db", "t", "/1.metadata.json");
    writer_.put("two", "db", "t", "/2.metadata.json");
    SqlConfig config = config_of(file_);
    EXPECT_THAT(SqlCatalog(config).list().error().text(), HasSubstr("say which by `owner`"));
    EXPECT_EQ(SqlCatalog(config).look("db.t", {}).error().kind, ErrorKind::InvalidConfig);
    config.owner = "two";
    EXPECT_EQ(SqlCatalog(config).look("db.t", {})->metadata_location, "/2.metadata.json");
}

TEST_F(SqliteCatalog, reads_beside_a_writer_and_waits_for_no_lock_longer_than_its_deadline) {
    writer_.make();
    writer_.put("c", "db", "t", "/1.metadata.json");
    SqlCatalog catalog(config_of(file_));
    ASSERT_TRUE(catalog.look("db.t", {}));
    // Our question holds no lock after it was answered.
    EXPECT_EQ(writer_.run("BEGIN EXCLUSIVE"), SQLITE_OK);
    const auto refused = catalog.look("db.t", {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::Timeout);
    EXPECT_EQ(writer_.run("COMMIT"), SQLITE_OK);
    EXPECT_TRUE(catalog.look("db.t", {}));
    EXPECT_EQ(
        writer_.run("PRAGMA journal_mode=WAL; BEGIN IMMEDIATE; UPDATE iceberg_tables SET metadata_location = 'x'"),
        SQLITE_OK);
    EXPECT_EQ(catalog.look("db.t", {})->metadata_location, "/1.metadata.json");
}

TEST_F(SqliteCatalog, names_what_is_wrong_with_the_file) {
    EXPECT_THAT(SqlCatalog(config_of(file_)).list().error().text(), HasSubstr("no such table: iceberg_tables"));
    const auto missing = SqlCatalog(config_of(warehouse_.path() + "/none.db")).list();
    EXPECT_EQ(missing.error().kind, ErrorKind::Unavailable);
    EXPECT_FALSE(std::filesystem::exists(warehouse_.path() + "/none.db"));
    Warehouse::write(warehouse_.path() + "/text.db", std::string(5000, 'x'));
    EXPECT_EQ(SqlCatalog(config_of(warehouse_.path() + "/text.db")).list().error().kind, ErrorKind::CorruptData);
}

TEST_F(SqliteCatalog, reads_local_metadata_and_names_a_storage_that_is_not_supported) {
    writer_.make();
    const std::string file = warehouse_.commit("db/t", 1);
    SqlCatalog catalog(config_of(file_));
    const auto text = catalog.metadata("db.t", {"file://" + file, "", false, ""});
    ASSERT_TRUE(text) << text.error().text();
    EXPECT_EQ(text->bytes, text->text.size());
    const auto kind = [&](const std::string& location) {
        return catalog.metadata("db.t", {location, "", false, ""}).error().kind;
    };
    EXPECT_EQ(kind("s3://bucket/t/metadata/1.metadata.json"), ErrorKind::NotSupported);
    EXPECT_EQ(kind("/etc/passwd"), ErrorKind::CorruptData);
    EXPECT_EQ(kind("file:///nowhere/1.metadata.json"), ErrorKind::NotFound);
    EXPECT_EQ(catalog.files({}, "s3a://bucket/t").error().kind, ErrorKind::NotSupported);
    EXPECT_TRUE(catalog.files({}, "file:/w/t"));
}

TEST_F(SqliteCatalog, ten_thousand_tables_are_listed_in_one_question) {
    writer_.make();
    writer_.run("BEGIN");
    for (int i = 0; i < 10'000; ++i)
        writer_.put("c", fmt::format("db{}", i % 100), fmt::format("t{}", i), "/x.metadata.json");
    writer_.run("COMMIT");
    SqlCatalog catalog(config_of(file_));
    EXPECT_EQ(catalog.list()->tables.size(), 10'000);
    EXPECT_EQ(catalog.counters().requests, 1);
}

}  // namespace
}  // namespace signalbox::catalogs
