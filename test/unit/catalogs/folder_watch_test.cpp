#include "adapters/iceberg/folder_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "test/unit/catalogs/warehouse.hpp"

namespace signalbox::iceberg {
namespace {

using namespace std::chrono_literals;
using ports::TableHint;
using test::Warehouse;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
namespace fs = std::filesystem;

std::vector<FolderConfig> one(const std::string& path) {
    FolderConfig config;
    config.name = "lake";
    config.path = path;
    return {config};
}

// Until the hint comes; what came before it in `others`.
bool comes(FolderWatch& watch, const TableHint& expected, std::vector<TableHint>* others = nullptr) {
    const auto until = std::chrono::steady_clock::now() + 5s;
    while (std::chrono::steady_clock::now() < until) {
        for (const TableHint& hint : watch.wait(100ms)) {
            if (hint == expected) return true;
            if (others != nullptr) others->push_back(hint);
        }
    }
    return false;
}

std::vector<TableHint> quiet(FolderWatch& watch) {
    std::vector<TableHint> hints;
    for (int i = 0; i < 5; ++i)
        for (const TableHint& hint : watch.wait(10ms)) hints.push_back(hint);
    return hints;
}

TEST(FolderWatch, a_commit_is_hinted_once_and_what_else_a_writer_does_is_not) {
    const Warehouse warehouse;
    warehouse.commit("db/t", 1);
    warehouse.commit("db/u", 1);
    FolderWatch watch(one(warehouse.path()));
    Warehouse::write(warehouse.path() + "/db/t/metadata/snap-1.avro", "list");
    Warehouse::write(warehouse.path() + "/db/t/data/x.parquet", "data");
    EXPECT_THAT(quiet(watch), IsEmpty());
    warehouse.commit("db/t", 2, true);
    EXPECT_THAT(watch.wait(5s), ElementsAre(TableHint{"lake", "db.t"}));
}

TEST(FolderWatch, a_file_that_is_linked_or_written_in_place_is_a_commit_too_when_it_is_whole) {
    const Warehouse warehouse;
    warehouse.commit("db/t", 1);
    FolderWatch watch(one(warehouse.path()));
    const std::string folder = warehouse.path() + "/db/t/metadata/";
    {
        std::ofstream file(folder + "v2.metadata.json");
        file << "half" << std::flush;
        EXPECT_THAT(quiet(watch), IsEmpty());
    }
    EXPECT_THAT(watch.wait(5s), ElementsAre(TableHint{"lake", "db.t"}));
    fs::create_hard_link(folder + "v2.metadata.json", folder + "v3.metadata.json");
    EXPECT_THAT(watch.wait(5s), ElementsAre(TableHint{"lake", "db.t"}));
}

TEST(FolderWatch, new_namespaces_and_tables_are_noticed_and_watched_from_then_on) {
    const Warehouse warehouse;
    FolderWatch watch(one(warehouse.path()));
    warehouse.commit("fresh/inner/t", 1);
    EXPECT_TRUE(comes(watch, {"lake", "fresh.inner.t"}));
    quiet(watch);
    warehouse.commit("fresh/inner/t", 2);
    EXPECT_THAT(watch.wait(5s), ElementsAre(TableHint{"lake", "fresh.inner.t"}));
    // A whole namespace at once.
    const Warehouse other;
    other.commit("moved/u", 1);
    fs::rename(other.path() + "/moved", warehouse.path() + "/moved");
    EXPECT_TRUE(comes(watch, {"lake", "moved.u"}));
}

TEST(FolderWatch, a_dropped_table_is_hinted_and_so_is_one_of_the_same_name_after_it) {
    const Warehouse warehouse;
    warehouse.commit("db/t", 1);
    warehouse.commit("gone/u", 1);
    FolderWatch watch(one(warehouse.path()));
    fs::remove_all(warehouse.path() + "/db/t");
    EXPECT_TRUE(comes(watch, {"lake", "db.t"}));
    quiet(watch);
    warehouse.commit("db/t", 1);
    EXPECT_TRUE(comes(watch, {"lake", "db.t"}));
    // With its namespace.
    fs::rename(warehouse.path() + "/gone", warehouse.path() + "/.trash");
    EXPECT_TRUE(comes(watch, {"lake", "gone.u"}));
    warehouse.commit(".trash/u", 2);
    EXPECT_THAT(quiet(watch), Not(Contains(TableHint{"lake", "gone.u"})));
}

TEST(FolderWatch, a_table_takes_one_watch_and_one_that_is_excluded_none) {
    const Warehouse warehouse;
    for (const char* table : {"db/a", "db/b", "db/tmp"}) warehouse.commit(table, 1);
    auto configs = one(warehouse.path());
    configs[0].filter.exclude = {"*.tmp"};
    FolderWatch watch(configs);
    // The warehouse, db, and two tables.
    EXPECT_EQ(watch.state().folders, 4);
    EXPECT_EQ(watch.state().unwatched, 0);
    warehouse.commit("db/tmp", 2);
    EXPECT_THAT(quiet(watch), IsEmpty());
}

TEST(FolderWatch, a_warehouse_that_is_not_there_is_named_and_polled) {
    const Warehouse warehouse;
    const FolderWatch watch(one(warehouse.path() + "/later"));
    EXPECT_EQ(watch.state().unwatched, 1);
    EXPECT_THAT(watch.state().warnings, Contains(HasSubstr("later: is only polled: No such file or directory")));
}

TEST(FolderWatch, hands_on_hints_of_others_and_can_be_interrupted) {
    FolderWatch watch({});
    watch.hint({"rest", "db.t"});
    watch.hint({"rest", "db.t"});
    EXPECT_THAT(watch.wait(5s), ElementsAre(TableHint{"rest", "db.t"}));
    std::thread other([&] {
        std::this_thread::sleep_for(20ms);
        watch.interrupt();
    });
    const auto began = std::chrono::steady_clock::now();
    EXPECT_THAT(watch.wait(5s), IsEmpty());
    EXPECT_LT(std::chrono::steady_clock::now() - began, 4s);
    other.join();
}

TEST(FolderWatch, too_many_hints_become_one_for_the_whole_catalog) {
    FolderWatch watch({});
    for (std::size_t i = 0; i <= ports::TableChanges::hints_max; ++i) watch.hint({"rest", fmt::format("t{}", i)});
    EXPECT_THAT(watch.wait(1s), ElementsAre(TableHint{"rest", ""}));
}

}  // namespace
}  // namespace signalbox::iceberg
