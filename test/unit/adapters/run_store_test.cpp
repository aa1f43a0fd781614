#include "adapters/sqlite/run_store.hpp"

#include <filesystem>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

namespace signalbox::sqlite {
namespace {

using namespace std::chrono_literals;
const base::WallTime t0{std::chrono::hours(24 * 365 * 50)};

class Runs : public testing::Test {
  protected:
    Runs() : path_("/tmp/signalbox-runs-test-" + std::to_string(::getpid()) + ".db") {
        store_ = RunStore::open(*Database::open(path_)).value();
    }
    ~Runs() override {
        store_.reset();
        for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + ending);
    }
    jobs::Run make(char letter) {
        jobs::Run run;
        run.id = jobs::run_id(std::string(32, letter));
        run.job.name = "load";
        run.job.command = {"x"};
        run.submitted_at = t0 + std::chrono::seconds(letter);
        EXPECT_TRUE(store_->insert(run, {}, {}));
        return run;
    }
    std::string path_;
    std::unique_ptr<RunStore> store_;
};

TEST_F(Runs, a_run_that_somebody_else_moved_is_not_overwritten) {
    jobs::Run mine = make('a');
    jobs::Run theirs = store_->load(mine.id).value();
    theirs.reason = "theirs";
    ASSERT_TRUE(store_->save(theirs, {}, ports::Durability::Full));
    mine.reason = "mine";
    const auto status = store_->save(mine, {{{0, t0, "run-intent", "load", 0, mine.id, {}}}}, ports::Durability::Full);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().kind, base::ErrorKind::Conflict);
    EXPECT_EQ(store_->load(mine.id)->reason, "theirs");
    const auto journal = JournalStore::open(*Database::open(path_)).value();
    EXPECT_TRUE(journal->read({})->empty()) << "no record of a change that did not happen";
    ASSERT_TRUE(store_->save(theirs, {}, ports::Durability::Full)) << "the version moved with the save";
}

TEST_F(Runs, lists_are_newest_first_and_active_ones_end_with_their_final_state) {
    make('a');
    jobs::Run later = make('b');
    EXPECT_EQ(store_->list({})->front().id, later.id);
    later.state = jobs::RunState::Stopped;
    ASSERT_TRUE(store_->save(later, {}, ports::Durability::Relaxed));
    ports::RunQuery active;
    active.active_only = true;
    ASSERT_EQ(store_->list(active)->size(), 1u);
    EXPECT_NE(store_->list(active)->front().id, later.id);
    ports::RunQuery prefix;
    prefix.id_prefix = later.id.substr(0, 8);
    EXPECT_EQ(store_->list(prefix)->size(), 1u);
}

TEST_F(Runs, one_owner_drives_a_run_until_its_lease_ends) {
    EXPECT_TRUE(store_->acquire("r", "one", t0, 10s).value());
    EXPECT_TRUE(store_->acquire("r", "one", t0 + 5s, 10s).value()) << "renewed";
    EXPECT_FALSE(store_->acquire("r", "two", t0 + 14s, 10s).value());
    EXPECT_TRUE(store_->acquire("r", "two", t0 + 16s, 10s).value());
    ASSERT_TRUE(store_->release("r", "one"));
    EXPECT_FALSE(store_->acquire("r", "one", t0 + 17s, 10s).value()) << "one may not release the lease of two";
    ASSERT_TRUE(store_->release("r", "two"));
    EXPECT_TRUE(store_->acquire("r", "one", t0 + 17s, 10s).value());
}

TEST_F(Runs, the_lease_of_a_dead_process_is_void_at_once) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const std::string owner = lease_owner();
        [[maybe_unused]] const ssize_t written = ::write(ends[1], owner.data(), owner.size());
        ::pause();
        ::_exit(0);
    }
    char text[256];
    const ssize_t size = ::read(ends[0], text, sizeof text);
    ASSERT_GT(size, 0);
    const std::string owner(text, static_cast<std::size_t>(size));
    EXPECT_TRUE(store_->acquire("r", owner, t0, 1h).value());
    EXPECT_FALSE(store_->acquire("r", lease_owner(), t0, 1h).value());
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_TRUE(store_->acquire("r", lease_owner(), t0, 1h).value());
    ::close(ends[0]);
    ::close(ends[1]);
}

}  // namespace
}  // namespace signalbox::sqlite
