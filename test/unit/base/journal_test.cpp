#include "adapters/sqlite/journal.hpp"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

namespace signalbox::sqlite {
namespace {

using ports::Durability;
using ports::EpochRecord;
using ports::JournalEntry;
using ports::JournalQuery;
using testing::HasSubstr;

class JournalTest : public testing::Test {
  protected:
    JournalTest() { std::filesystem::create_directories(folder_); }
    ~JournalTest() override { std::filesystem::remove_all(folder_); }
    std::unique_ptr<JournalStore> open() const {
        auto database = Database::open(path_);
        EXPECT_TRUE(database) << database.error().text();
        return JournalStore::open(*database).value();
    }
    static JournalEntry entry(const std::string& subject, const std::string& kind, std::uint64_t epoch = 0) {
        JournalEntry entry;
        entry.at = base::parse_time("2026-01-02T03:04:05.678Z").value();
        entry.subject = subject;
        entry.kind = kind;
        entry.epoch = epoch;
        entry.data = {{"text", "ü \"quoted\""}};
        return entry;
    }
    const std::string folder_ = "/tmp/signalbox-journal-test-" + std::to_string(::getpid());
    const std::string path_ = folder_ + "/s.db";
};

TEST_F(JournalTest, what_was_appended_is_read_back_after_opening_again) {
    std::int64_t first = 0;
    {
        const auto store = open();
        first = store->append(entry("a", "start"), Durability::Relaxed).value();
        EXPECT_GT(store->append(entry("b", "routed", 4), Durability::Full).value(), first);
    }
    const auto entries = open()->read({}).value();
    ASSERT_EQ(entries.size(), 2U);
    EXPECT_EQ(entries[0].sequence, first);
    EXPECT_EQ(base::format_time(entries[0].at), "2026-01-02T03:04:05.678Z");
    EXPECT_EQ(entries[0].data.at("text"), "ü \"quoted\"");
    EXPECT_EQ(entries[1].epoch, 4U);
    struct stat file {};
    ASSERT_EQ(::stat(path_.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777U, 0600U);
}

TEST_F(JournalTest, queries_narrow_and_turn_round) {
    const auto store = open();
    for (int i = 0; i < 5; ++i)
        store->append(entry(i % 2 == 0 ? "a" : "b", "k" + std::to_string(i)), Durability::Relaxed);
    JournalQuery query;
    query.subject = "a";
    EXPECT_EQ(store->read(query)->size(), 3U);
    query.kind = "k2";
    EXPECT_EQ(store->read(query)->size(), 1U);
    query = {};
    query.limit = 2;
    query.newest_first = true;
    EXPECT_EQ(store->read(query)->at(0).kind, "k4");
    query = {};
    query.after = store->read({})->at(3).sequence;
    EXPECT_EQ(store->read(query)->size(), 1U);
}

TEST_F(JournalTest, an_epoch_is_one_members_and_never_goes_back) {
    const auto store = open();
    EXPECT_FALSE(store->load("c")->has_value());
    ASSERT_TRUE(store->store("c", {2, "a", false, ""}, entry("c", "epoch-intent", 2)));
    ASSERT_TRUE(store->store("c", {2, "a", true, "0-1-5"}, entry("c", "epoch-active", 2)));
    const std::size_t recorded = store->read({})->size();
    for (const auto& [epoch, member] : {std::pair{1, "a"}, {1, "b"}, {2, "b"}}) {
        const auto refused = store->store("c", {static_cast<std::uint64_t>(epoch), member, true, ""}, entry("c", "x"));
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().kind, base::ErrorKind::Conflict);
        EXPECT_THAT(refused.error().text(), HasSubstr("epoch 2 for member 'a'"));
    }
    // A refused epoch leaves no entry either.
    EXPECT_EQ(store->read({})->size(), recorded);
    ASSERT_TRUE(store->store_position("c", 2, "0-1-9"));
    ASSERT_TRUE(store->store_position("c", 1, "0-1-1"));
    const auto record = store->load("c").value();
    ASSERT_TRUE(record);
    EXPECT_EQ(record->epoch, 2U);
    EXPECT_TRUE(record->active);
    EXPECT_EQ(record->position, "0-1-9");
}

TEST_F(JournalTest, files_that_are_not_ours_are_refused) {
    std::ofstream(path_) << "this is no database, and long enough to be looked at as one by its header";
    const auto garbage = Database::open(path_);
    ASSERT_FALSE(garbage);
    EXPECT_THAT(garbage.error().text(), HasSubstr(path_));
    const auto nowhere = Database::open(folder_ + "/no/s.db");
    ASSERT_FALSE(nowhere);
    EXPECT_THAT(nowhere.error().text(), HasSubstr("unable to open"));
}

TEST_F(JournalTest, a_full_disk_records_nothing_and_says_so) {
    const auto store = open();
    auto database = Database::open(path_).value();
    ASSERT_TRUE(database->execute("PRAGMA max_page_count=1"));
    const auto cramped = JournalStore::open(database).value();
    JournalEntry big = entry("c", "x");
    big.data["text"] = std::string(1 << 20, 'x');
    const auto refused = cramped->store("c", {1, "a", false, ""}, big);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().text(), HasSubstr("full"));
    EXPECT_FALSE(store->load("c")->has_value());
    EXPECT_TRUE(store->read({})->empty());
}

}  // namespace
}  // namespace signalbox::sqlite
