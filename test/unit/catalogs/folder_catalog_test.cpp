#include "adapters/iceberg/folder_catalog.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "domain/lake/metadata.hpp"
#include "test/unit/catalogs/warehouse.hpp"

namespace signalbox::iceberg {
namespace {

using base::ErrorKind;
using ports::TableVersion;
using test::Warehouse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

FolderConfig config_of(const Warehouse& warehouse) {
    FolderConfig config;
    config.name = "lake";
    config.path = warehouse.path();
    return config;
}

std::vector<std::string> names(const ports::TableListing& listing) {
    std::vector<std::string> names;
    for (const auto& table : listing.tables) names.push_back(table.name);
    return names;
}

// Root may read everything: the rest of the test runs as somebody else.
class AsNobody {
  public:
    AsNobody() : was_root_(::geteuid() == 0) {
        if (was_root_ && ::seteuid(65534) != 0) std::abort();
    }
    ~AsNobody() {
        if (was_root_ && ::seteuid(0) != 0) std::abort();
    }
    AsNobody(const AsNobody&) = delete;
    AsNobody& operator=(const AsNobody&) = delete;

  private:
    bool was_root_;
};

TEST(FolderCatalog, lists_tables_in_namespaces_of_any_depth_that_is_allowed) {
    const Warehouse warehouse;
    for (const char* table : {"db/t", "db/inner/u", "top", "a/b/c/d/e/too_deep", "_hidden/t", ".trash/t"})
        warehouse.commit(table, 1);
    Warehouse::write(warehouse.path() + "/db/no_table/data/file.parquet", "x");
    Warehouse::write(warehouse.path() + "/db/empty/metadata/snap.avro", "x");
    FolderCatalog catalog(config_of(warehouse));
    const auto listing = catalog.list();
    ASSERT_TRUE(listing) << listing.error().text();
    EXPECT_THAT(names(*listing), ElementsAre("db.inner.u", "db.t", "top"));
    EXPECT_THAT(listing->faults, IsEmpty());
}

TEST(FolderCatalog, lists_what_the_filter_passes) {
    const Warehouse warehouse;
    for (const char* table : {"sales/a", "sales/tmp_b", "other/c"}) warehouse.commit(table, 1);
    FolderConfig config = config_of(warehouse);
    config.filter = {{"sales.*"}, {"*.tmp_*"}};
    FolderCatalog catalog(config);
    EXPECT_THAT(names(*catalog.list()), ElementsAre("sales.a"));
}

TEST(FolderCatalog, takes_a_single_tables_folder_for_a_catalog_of_one) {
    const Warehouse warehouse;
    const std::string file = warehouse.commit("db/t", 3);
    FolderConfig config = config_of(warehouse);
    config.path += "/db/t";
    FolderCatalog catalog(config);
    EXPECT_THAT(names(*catalog.list()), ElementsAre("t"));
    EXPECT_EQ(catalog.look("t", {})->metadata_location, file);
}

TEST(FolderCatalog, a_look_finds_the_hinted_version_and_what_was_committed_after_the_hint) {
    const Warehouse warehouse;
    warehouse.commit("db/t", 1);
    warehouse.commit("db/t", 2, true);
    const std::string third = warehouse.commit("db/t", 3);
    FolderCatalog catalog(config_of(warehouse));
    EXPECT_EQ(catalog.look("db.t", {})->metadata_location, third);
}

TEST(FolderCatalog, an_unchanged_table_is_told_without_reading_its_folder) {
    const Warehouse warehouse;
    warehouse.commit("db/t", 1, true);
    warehouse.age("db/t");
    FolderCatalog catalog(config_of(warehouse));
    const auto first = catalog.look("db.t", {});
    ASSERT_TRUE(first);
    EXPECT_FALSE(first->unchanged);
    const auto before = catalog.counters();
    const auto second = catalog.look("db.t", *first);
    EXPECT_TRUE(second->unchanged);
    EXPECT_EQ(second->metadata_location, first->metadata_location);
    EXPECT_EQ(catalog.counters(), before);
    const std::string next = warehouse.commit("db/t", 2);
    const auto third = catalog.look("db.t", *second);
    EXPECT_FALSE(third->unchanged);
    EXPECT_EQ(third->metadata_location, next);
}

TEST(FolderCatalog, a_second_commit_within_the_file_systems_clock_step_is_not_missed) {
    const Warehouse warehouse;
    warehouse.commit("db/t", 1);
    FolderCatalog catalog(config_of(warehouse));
    const auto first = catalog.look("db.t", {});
    const auto stamp = fs::last_write_time(warehouse.path() + "/db/t/metadata");
    const std::string next = warehouse.commit("db/t", 2);
    fs::last_write_time(warehouse.path() + "/db/t/metadata", stamp);
    EXPECT_EQ(catalog.look("db.t", *first)->metadata_location, next);
}

TEST(FolderCatalog, a_hint_that_is_rewritten_in_place_is_noticed) {
    const Warehouse warehouse;
    const std::string first = warehouse.commit("db/t", 1, true);
    const std::string third = warehouse.commit("db/t", 3);
    warehouse.age("db/t");
    FolderCatalog catalog(config_of(warehouse));
    const auto before = catalog.look("db.t", {});
    EXPECT_EQ(before->metadata_location, first);
    Warehouse::write(warehouse.path() + "/db/t/metadata/version-hint.text", "3");
    EXPECT_EQ(catalog.look("db.t", *before)->metadata_location, third);
}

TEST(FolderCatalog, a_half_written_metadata_file_is_seen_changed_when_it_is_whole) {
    const Warehouse warehouse;
    const std::string file = warehouse.path() + "/db/t/metadata/00001-x.metadata.json";
    const std::string whole = Warehouse::metadata_text("/w/db/t");
    Warehouse::write(file, whole.substr(0, 40));
    warehouse.age("db/t");
    FolderCatalog catalog(config_of(warehouse));
    const auto first = catalog.look("db.t", {});
    ASSERT_TRUE(first);
    const auto half = catalog.metadata("db.t", *first);
    ASSERT_TRUE(half);
    EXPECT_EQ(lake::parse_table_metadata(half->text).error().kind, ErrorKind::CorruptData);
    // The folder's own time does not change by this.
    Warehouse::write(file, whole);
    const auto second = catalog.look("db.t", *first);
    ASSERT_FALSE(second->unchanged);
    EXPECT_TRUE(lake::parse_table_metadata(catalog.metadata("db.t", *second)->text));
}

TEST(FolderCatalog, of_two_files_with_one_version_the_later_one_is_the_state) {
    const Warehouse warehouse;
    const std::string folder = warehouse.path() + "/db/t/metadata/";
    Warehouse::write(folder + "00002-a.metadata.json", Warehouse::metadata_text("/w", 20));
    Warehouse::write(folder + "00002-b.metadata.json", Warehouse::metadata_text("/w", 10));
    FolderCatalog catalog(config_of(warehouse));
    EXPECT_EQ(catalog.look("db.t", {})->metadata_location, folder + "00002-a.metadata.json");
}

TEST(FolderCatalog, a_dropped_table_is_not_found_and_a_warehouse_that_is_away_is_unavailable) {
    const Warehouse warehouse;
    warehouse.commit("db/t", 1);
    FolderCatalog catalog(config_of(warehouse));
    ASSERT_TRUE(catalog.list());
    const auto known = catalog.look("db.t", {});
    fs::remove_all(warehouse.path() + "/db/t");
    EXPECT_EQ(catalog.look("db.t", *known).error().kind, ErrorKind::NotFound);
    EXPECT_EQ(catalog.metadata("db.t", *known).error().kind, ErrorKind::NotFound);
    EXPECT_EQ(catalog.look("db.never", {}).error().kind, ErrorKind::NotFound);
    EXPECT_EQ(catalog.look("../etc", {}).error().kind, ErrorKind::NotFound);
    fs::remove_all(warehouse.path());
    EXPECT_EQ(catalog.look("db.t", *known).error().kind, ErrorKind::Unavailable);
    EXPECT_EQ(catalog.list().error().kind, ErrorKind::Unavailable);
}

TEST(FolderCatalog, a_namespace_without_permission_is_a_fault_and_not_an_absence) {
    const Warehouse warehouse;
    warehouse.commit("open/t", 1);
    warehouse.commit("shut/t", 1);
    warehouse.commit("open/u", 1);
    ::chmod(warehouse.path().c_str(), 0755);
    ::chmod((warehouse.path() + "/shut").c_str(), 0700);
    ::chmod((warehouse.path() + "/open/u/metadata").c_str(), 0700);
    const AsNobody nobody;
    FolderCatalog catalog(config_of(warehouse));
    const auto listing = catalog.list();
    ASSERT_TRUE(listing);
    EXPECT_THAT(names(*listing), ElementsAre("open.t"));
    EXPECT_THAT(listing->faults, ::testing::UnorderedElementsAre(HasSubstr("shut: cannot list: Permission denied"),
                                                                 HasSubstr("u/metadata: cannot list: Permission")));
    EXPECT_EQ(catalog.look("shut.t", {}).error().kind, ErrorKind::PermissionDenied);
    EXPECT_EQ(catalog.look("open.u", {}).error().kind, ErrorKind::PermissionDenied);
}

TEST(FolderCatalog, follows_no_symlink_out_of_the_warehouse_and_ends_in_a_cycle) {
    const Warehouse warehouse;
    const Warehouse other;
    warehouse.commit("db/t", 1);
    other.commit("far/u", 1);
    fs::create_symlink(other.path() + "/far", warehouse.path() + "/out");
    fs::create_symlink(warehouse.path(), warehouse.path() + "/db/cycle");
    fs::create_symlink(warehouse.path() + "/self", warehouse.path() + "/self");
    FolderConfig config = config_of(warehouse);
    FolderCatalog catalog(config);
    const auto listing = catalog.list();
    EXPECT_THAT(names(*listing), ElementsAre("db.t"));
    EXPECT_THAT(listing->faults,
                ::testing::UnorderedElementsAre(HasSubstr("out: a symlink that leaves the warehouse"),
                                                HasSubstr("self: a symlink that cannot be followed: Too many levels")));
    // Nor by name.
    const auto outside = catalog.look("out.u", {});
    ASSERT_TRUE(outside);
    const auto refused = catalog.metadata("out.u", *outside);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().text(), HasSubstr("leaves the table's folder"));
    config.allow_outside = true;
    FolderCatalog open(config);
    EXPECT_THAT(names(*open.list()), ElementsAre("db.t", "out.u"));
}

TEST(FolderCatalog, reads_the_tables_files_where_they_lie_now_and_none_outside) {
    const Warehouse warehouse;
    warehouse.commit("db/t", 1);
    Warehouse::write(warehouse.path() + "/db/t/metadata/list.avro", "list");
    Warehouse::write(warehouse.path() + "/db/t/data/m.avro", "manifest");
    Warehouse::write(warehouse.path() + "/secret", "secret");
    fs::create_symlink(warehouse.path() + "/secret", warehouse.path() + "/db/t/metadata/link.avro");
    fs::create_directory(warehouse.path() + "/db/t/metadata/folder.avro");
    ::mkfifo((warehouse.path() + "/db/t/metadata/pipe.avro").c_str(), 0600);
    FolderCatalog catalog(config_of(warehouse));
    auto files = *catalog.files(*catalog.look("db.t", {}), "s3://bucket/db/t");
    EXPECT_EQ(*files->read("s3://bucket/db/t/metadata/list.avro", 100), "list");
    EXPECT_EQ(*files->read("s3a://bucket/db/t//data/m.avro", 100), "manifest");
    EXPECT_EQ(files->counters(), (ports::ReadCounters{2, 12}));
    const auto kind = [&](const std::string& uri, std::uint64_t max = 100) {
        return files->read(uri, max).error().kind;
    };
    EXPECT_EQ(kind("s3://bucket/db/t/metadata/gone.avro"), ErrorKind::NotFound);
    EXPECT_EQ(kind("s3://bucket/db/t/metadata/list.avro", 3), ErrorKind::CorruptData);
    EXPECT_EQ(kind("s3://bucket/db/t/metadata/../../../secret"), ErrorKind::CorruptData);
    EXPECT_EQ(kind("s3://bucket/db/other/metadata/x"), ErrorKind::CorruptData);
    EXPECT_EQ(kind("file://" + warehouse.path() + "/secret"), ErrorKind::CorruptData);
    EXPECT_EQ(kind("s3://bucket/db/t/metadata/link.avro"), ErrorKind::CorruptData);
    EXPECT_EQ(kind("s3://bucket/db/t/metadata/folder.avro"), ErrorKind::CorruptData);
    EXPECT_EQ(kind("s3://bucket/db/t/metadata/pipe.avro"), ErrorKind::CorruptData);
}

TEST(FolderCatalog, allow_outside_reads_what_lies_elsewhere_on_this_machine) {
    const Warehouse warehouse;
    warehouse.commit("db/t", 1);
    Warehouse::write(warehouse.path() + "/elsewhere/m.avro", "manifest");
    FolderConfig config = config_of(warehouse);
    config.allow_outside = true;
    FolderCatalog catalog(config);
    auto files = *catalog.files(*catalog.look("db.t", {}), "file://" + warehouse.path() + "/db/t");
    EXPECT_EQ(*files->read("file:" + warehouse.path() + "/elsewhere/m.avro", 100), "manifest");
    const auto cloud = files->read("s3://bucket/m.avro", 100);
    EXPECT_EQ(cloud.error().kind, ErrorKind::NotSupported);
    EXPECT_THAT(cloud.error().text(), HasSubstr("s3://"));
}

}  // namespace
}  // namespace signalbox::iceberg
