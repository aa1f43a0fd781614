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
        run.first_submitted_at = run.submitted_at = t0 + std::chrono::seconds(letter);
        EXPECT_TRUE(store_->insert(run, {}, {}, ports::IfPaused::Refuse));
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

TEST_F(Runs, the_next_attempt_and_the_outcome_are_stored_with_the_end_or_not_at_all) {
    jobs::Run run = make('a');
    jobs::Run next = run;
    next.id = jobs::attempt_id(run.id, 1);
    next.attempt = 1;
    const jobs::PlaceOutcome outcome{t0, run.id, "via-a", "data-a", "a", jobs::RetryClass::Zone};
    jobs::Run stale = run;
    stale.version = 7;
    stale.state = run.state = jobs::RunState::Failed;
    EXPECT_FALSE(store_->save(stale, {{}, &next, &outcome}, ports::Durability::Full));
    EXPECT_FALSE(store_->load(next.id)) << "no attempt after an end that was not stored";
    EXPECT_TRUE(store_->outcomes(t0, 10)->empty());
    ASSERT_TRUE(store_->save(run, {{}, &next, &outcome}, ports::Durability::Full));
    EXPECT_TRUE(store_->load(next.id));
    ASSERT_EQ(store_->outcomes(t0, 10)->size(), 1u);
    EXPECT_EQ(store_->outcomes(t0, 10)->front().failure, jobs::RetryClass::Zone);
    EXPECT_EQ(store_->active().value(), std::vector<std::string>{next.id});
    const jobs::RetryHistory history = store_->retry_history("load", t0).value();
    EXPECT_EQ(history.runs, 1);
    EXPECT_EQ(history.retries, 1);
}

TEST_F(Runs, one_key_makes_one_run_and_stands_for_what_was_asked) {
    jobs::Run run = make('a');
    run.id = jobs::run_id(std::string(32, 'k'));
    EXPECT_TRUE(store_->insert(run, {}, {"tuesday", "[1]"}, ports::IfPaused::Refuse)->created);
    jobs::Run again = run;
    again.id = jobs::run_id(std::string(32, 'l'));
    const auto same = store_->insert(again, {}, {"tuesday", "[1]"}, ports::IfPaused::Refuse);
    ASSERT_TRUE(same);
    EXPECT_FALSE(same->created);
    EXPECT_EQ(same->id, run.id);
    EXPECT_FALSE(store_->load(again.id));
    const auto other = store_->insert(again, {}, {"tuesday", "[2]"}, ports::IfPaused::Refuse);
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().kind, base::ErrorKind::Conflict);
    again.job.name = "another";
    EXPECT_TRUE(store_->insert(again, {}, {"tuesday", "[2]"}, ports::IfPaused::Refuse)->created)
        << "keys belong to their job";
    // A day later the key still stands; long after, it may be used again.
    jobs::Run later = run;
    later.id = jobs::run_id(std::string(32, 'm'));
    later.submitted_at = run.submitted_at + 25h;
    EXPECT_EQ(store_->insert(later, {}, {"tuesday", "[1]"}, ports::IfPaused::Refuse)->id, run.id);
    later.submitted_at = run.submitted_at + ports::key_memory + 1h;
    ASSERT_TRUE(store_->insert(later, {}, {"other", "[1]"}, ports::IfPaused::Refuse));
    later.id = jobs::run_id(std::string(32, 'n'));
    EXPECT_TRUE(store_->insert(later, {}, {"tuesday", "[1]"}, ports::IfPaused::Refuse)->created);
}

TEST_F(Runs, those_ahead_are_the_started_the_earlier_and_no_attempt_in_its_backoff) {
    jobs::Run first = make('a');
    const jobs::Run second = make('b');
    const jobs::Run third = make('c');
    EXPECT_EQ(store_->ahead_of(third, t0)->size(), 2u);
    EXPECT_TRUE(store_->ahead_of(first, t0)->empty());
    jobs::Run next = first;
    next.id = jobs::attempt_id(first.id, 1);
    next.not_before = t0 + 1min;
    next.first_submitted_at = t0 - 1h;
    first.state = jobs::RunState::Failed;
    ASSERT_TRUE(store_->save(first, {{}, &next}, ports::Durability::Full));
    EXPECT_TRUE(store_->ahead_of(second, t0)->empty()) << "who waits for his backoff holds nobody up";
    EXPECT_EQ(store_->ahead_of(second, t0 + 2min)->size(), 1u) << "then he is first again";
    jobs::Run running = store_->load(third.id).value();
    running.state = jobs::RunState::Running;
    running.connection = jobs::Connection{"via-a", "data-a", {}, {}, true};
    running.zone = "a";
    running.starting_at = t0;
    ASSERT_TRUE(store_->save(running, {}, ports::Durability::Full));
    EXPECT_EQ(store_->ahead_of(second, t0)->size(), 1u);
    const auto uses = store_->uses().value();
    ASSERT_EQ(uses.size(), 1u);
    EXPECT_EQ(uses[0].zone, "a");
    EXPECT_EQ(uses[0].since, t0);
}

TEST_F(Runs, the_ledger_keeps_its_rows_its_memory_and_what_is_known_of_their_nodes) {
    jobs::Run run = make('a');
    run.state = jobs::RunState::Starting;
    run.connection = jobs::Connection{"via-a", "data-a", {}, {}, true};
    jobs::Node& node = run.nodes.emplace_back();
    node.token = jobs::node_token(run, 0);
    ports::LedgerChange change;
    change.put = {{node.token, run.id, "data-a", jobs::AddressKind::Starting, t0, ""}};
    ASSERT_TRUE(store_->save(run, {{}, nullptr, nullptr, &change}, ports::Durability::Full));
    ASSERT_EQ(store_->ledger()->rows, change.put);
    ASSERT_EQ(store_->ledger()->nodes.size(), 1u);
    EXPECT_FALSE(store_->ledger()->nodes[0].started_at);
    run.nodes[0].address = "10.0.1.5";
    run.nodes[0].started_at = t0 + 1s;
    ASSERT_TRUE(store_->save(run, {}, ports::Durability::Relaxed));
    EXPECT_EQ(store_->ledger()->nodes[0].address, "10.0.1.5");
    ports::LedgerChange gone;
    gone.gone = {node.token};
    gone.memory.emplace().learn("data-a", 5s, t0);
    ASSERT_TRUE(store_->save_ledger(gone));
    EXPECT_TRUE(store_->ledger()->rows.empty());
    EXPECT_EQ(store_->ledger()->memory, *gone.memory);
}

TEST_F(Runs, a_store_of_an_older_version_gets_what_is_missing) {
    const jobs::Run run = make('a');
    {
        auto database = *Database::open(path_);
        for (const char* column :
             {"state", "attempt", "queue_ns", "not_before_ns", "connection", "subnet", "starting_ns", "zone"})
            ASSERT_TRUE(database->execute(fmt::format("ALTER TABLE runs DROP COLUMN {}", column)));
    }
    store_ = RunStore::open(*Database::open(path_)).value();
    EXPECT_EQ(store_->active().value(), std::vector<std::string>{run.id});
    const jobs::Run later = make('b');
    EXPECT_EQ(store_->ahead_of(later, t0 + 1h).value(), std::vector<std::string>{run.id});
}

TEST_F(Runs, entries_are_found_by_their_time) {
    jobs::Run run = make('a');
    for (int minute = 0; minute < 3; ++minute)
        ASSERT_TRUE(store_->save(run, {{{0, t0 + minute * 1min, "run-decision", "load", 0, run.id, {{"n", minute}}}}},
                                 ports::Durability::Relaxed));
    const auto journal = JournalStore::open(*Database::open(path_)).value();
    ports::JournalQuery query;
    query.until = t0 + 90s;
    query.newest_first = true;
    query.limit = 1;
    const auto found = journal->read(query).value();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].data.at("n").as_int64(), 1);
}

}  // namespace
}  // namespace signalbox::sqlite
