// The queue of actions, and the loop that runs them.

#include <filesystem>
#include <gmock/gmock.h>
#include <unistd.h>

#include "adapters/sqlite/action_queue.hpp"
#include "adapters/sqlite/journal.hpp"
#include "adapters/sqlite/run_store.hpp"
#include "engine/action_jobs.hpp"
#include "engine/action_loop.hpp"
#include "engine/run_loop.hpp"

namespace signalbox::engine {
namespace {

using namespace std::chrono_literals;
using ports::ActionOutcome;
using ports::ActionVerdict;
using ports::Queued;
using testing::ElementsAre;
using testing::HasSubstr;

const base::WallTime t0{std::chrono::hours(24 * 365 * 50)};

class Scripted final : public ports::ActionRunner {
  public:
    base::Result<ActionOutcome> run(const ports::ActionRequest& request) override {
        asked.push_back(request);
        if (answers.empty()) return ActionOutcome{ActionVerdict::Done, "fine"};
        auto answer = answers.front();
        answers.erase(answers.begin());
        return answer;
    }
    std::vector<base::Result<ActionOutcome>> answers;
    std::vector<ports::ActionRequest> asked;
};

class Actions : public testing::Test {
  protected:
    Actions() : path_("/tmp/signalbox-actions-test-" + std::to_string(::getpid()) + ".db") { open({}); }
    ~Actions() override {
        loop_.reset();
        queue_.reset();
        journal_.reset();
        database_.reset();
        for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + ending);
    }
    void open(sqlite::ActionQueueLimits limits) {
        database_ = *sqlite::Database::open(path_);
        journal_ = sqlite::JournalStore::open(database_).value();
        queue_ = sqlite::ActionQueue::open(database_, limits).value();
    }
    ports::ActionRequest request(const std::string& id, const std::string& action = "page") {
        return {id, "late", "db.orders", action, {{"state", "ALARM"}, {"evidence", "no commit for 2h"}}, false};
    }
    void put(const std::string& id, const std::string& action = "page") {
        ASSERT_EQ(queue_->put(request(id, action), now_), Queued::Yes);
    }
    // A loop of its own: as after a restart.
    ActionPass pass(const std::string& owner = "me") {
        if (!loop_ || owner != owner_) {
            owner_ = owner;
            ActionLoopConfig config;
            config.owner = owner;
            loop_ = std::make_unique<ActionLoop>(
                *queue_, config, [this] { return now_; }, 1);
        }
        std::vector<ConfiguredAction> actions;
        for (const auto& [name, runner] : runners_) {
            ConfiguredAction& action = actions.emplace_back();
            action.config = config_;
            action.config.name = name;
            action.runner = runner;
        }
        loop_->configure(std::move(actions));
        const auto done = loop_->run_due([] { return false; });
        EXPECT_TRUE(done) << done.error().text();
        return done.value_or(ActionPass{});
    }
    std::vector<base::json::object> entries(const std::string& kind = "action-run") {
        std::vector<base::json::object> found;
        ports::JournalQuery query;
        query.kind = kind;
        const auto read = journal_->read(query).value();
        for (const auto& entry : read) found.push_back(entry.data);
        return found;
    }
    std::vector<std::string> outcomes() {
        std::vector<std::string> found;
        for (const auto& data : entries()) found.emplace_back(data.at("outcome").as_string());
        return found;
    }

    std::string path_;
    std::shared_ptr<sqlite::Database> database_;
    std::unique_ptr<sqlite::JournalStore> journal_;
    std::unique_ptr<sqlite::ActionQueue> queue_;
    base::WallTime now_ = t0;
    std::shared_ptr<Scripted> page_ = std::make_shared<Scripted>();
    std::shared_ptr<Scripted> mail_ = std::make_shared<Scripted>();
    std::map<std::string, std::shared_ptr<ports::ActionRunner>> runners_{{"page", page_}, {"mail", mail_}};
    alarms::ActionConfig config_;
    std::unique_ptr<ActionLoop> loop_;
    std::string owner_;
};

TEST_F(Actions, what_is_queued_is_run_once_and_journaled_with_its_table) {
    put("a");
    EXPECT_EQ(pass().done, 1u);
    EXPECT_EQ(pass().taken, 0u);
    ASSERT_EQ(page_->asked.size(), 1u);
    EXPECT_EQ(page_->asked[0].transition.at("evidence"), "no commit for 2h");
    ASSERT_EQ(entries().size(), 1u);
    EXPECT_EQ(entries()[0].at("id"), "a");
    EXPECT_EQ(entries()[0].at("outcome"), "done");
    EXPECT_EQ(entries()[0].at("state"), "ALARM");
    EXPECT_EQ(journal_->read({"db.orders", "action-run", {}})->size(), 1u);
}

TEST_F(Actions, an_id_is_queued_once_also_after_it_has_ended) {
    put("a");
    EXPECT_EQ(queue_->put(request("a"), now_), Queued::Known);
    EXPECT_EQ(pass().done, 1u);
    EXPECT_EQ(queue_->put(request("a"), now_), Queued::Known);
    EXPECT_EQ(queue_->pending(), 0u);
}

TEST_F(Actions, an_action_queued_in_a_transaction_that_fails_was_never_queued) {
    const auto status = database_->transaction(true, [&]() -> base::Status {
        EXPECT_EQ(queue_->insert(request("a"), now_), Queued::Yes);
        return base::fail(base::ErrorKind::Unavailable, "the alarm's state could not be stored");
    });
    EXPECT_FALSE(status);
    EXPECT_EQ(queue_->pending(), 0u);
}

TEST_F(Actions, a_full_queue_drops_what_comes_and_says_so) {
    open({2, 1h, 10});
    put("a");
    put("b");
    EXPECT_EQ(queue_->put(request("c"), now_), Queued::Full);
    EXPECT_EQ(queue_->pending(), 2u);
    const auto dropped = entries("action-dropped");
    ASSERT_EQ(dropped.size(), 1u);
    EXPECT_EQ(dropped[0].at("id"), "c");
    EXPECT_EQ(pass().done, 2u);
    EXPECT_EQ(queue_->put(request("c"), now_), Queued::Yes) << "there is room again";
}

TEST_F(Actions, ended_actions_are_remembered_within_a_bound) {
    open({100, 1h, 3});
    for (const char* id : {"a", "b", "c", "d", "e"}) {
        put(id);
        now_ += 1s;
        EXPECT_EQ(pass().done, 1u);
    }
    put("f");
    EXPECT_EQ(queue_->put(request("a"), now_), Queued::Yes) << "the oldest is forgotten";
    EXPECT_EQ(queue_->put(request("e"), now_), Queued::Known);
}

TEST_F(Actions, a_failed_try_is_made_again_later_with_the_same_id) {
    page_->answers = {ActionOutcome{ActionVerdict::Retry, "HTTP status 503", 30s}};
    put("a");
    EXPECT_EQ(pass().again, 1u);
    EXPECT_EQ(pass().taken, 0u) << "not before it is due";
    now_ += 29s;
    EXPECT_EQ(pass().taken, 0u);
    now_ += 2s;
    EXPECT_EQ(pass().done, 1u);
    ASSERT_EQ(page_->asked.size(), 2u);
    EXPECT_EQ(page_->asked[0].id, page_->asked[1].id);
    EXPECT_THAT(outcomes(), ElementsAre("retry", "done"));
}

TEST_F(Actions, what_is_refused_is_not_tried_again) {
    page_->answers = {ActionOutcome{ActionVerdict::Refused, "HTTP status 400"}};
    put("a");
    EXPECT_EQ(pass().ended, 1u);
    now_ += 24h;
    EXPECT_EQ(pass().taken, 0u);
    EXPECT_THAT(outcomes(), ElementsAre("refused"));
}

TEST_F(Actions, tries_come_to_an_end_and_the_journal_has_the_last_reason) {
    config_.retry.tries_max = 3;
    for (int i = 0; i < 5; ++i)
        page_->answers.push_back(base::fail(base::ErrorKind::Unavailable, "no secret in /etc/secret"));
    put("a");
    for (int i = 0; i < 5; ++i, now_ += 30min) pass();
    EXPECT_EQ(page_->asked.size(), 3u);
    EXPECT_THAT(outcomes(), ElementsAre("retry", "retry", "given up"));
    EXPECT_THAT(std::string(entries().back().at("text").as_string()), HasSubstr("no secret in /etc/secret"));
    EXPECT_EQ(queue_->pending(), 0u);
}

TEST_F(Actions, a_dead_receiver_is_tried_once_in_a_pass_and_holds_up_nobody_else) {
    for (int i = 0; i < 50; ++i) put("dead" + std::to_string(i), "page");
    now_ += 1s;
    put("live", "mail");
    for (int i = 0; i < 50; ++i) page_->answers.push_back(ActionOutcome{ActionVerdict::Retry, "nobody listens"});
    pass();
    EXPECT_EQ(page_->asked.size(), 1u);
    EXPECT_EQ(mail_->asked.size(), 1u);
    EXPECT_EQ(queue_->pending(), 50u);
    EXPECT_EQ(entries().size(), 2u) << "what was only put off is not journaled each time";
}

TEST_F(Actions, over_its_rate_an_action_waits_and_none_is_lost) {
    config_.rate_limit = {2, 1h};
    for (const char* id : {"a", "b", "c", "d"}) put(id);
    EXPECT_EQ(pass().done, 2u);
    now_ += 59min;
    EXPECT_EQ(pass().taken, 0u);
    now_ += 1min;
    EXPECT_EQ(pass().done, 2u);
    EXPECT_EQ(page_->asked.size(), 4u);
    EXPECT_THAT(outcomes(), ElementsAre("done", "done", "put off", "put off", "done", "done"));
}

TEST_F(Actions, a_dry_run_says_what_it_would_do) {
    config_.dry_run = true;
    put("a");
    EXPECT_EQ(pass().done, 1u);
    ASSERT_EQ(page_->asked.size(), 1u);
    EXPECT_TRUE(page_->asked[0].dry_run);
    EXPECT_THAT(outcomes(), ElementsAre("dry run"));
}

TEST_F(Actions, an_action_that_left_the_configuration_is_refused_with_that_reason) {
    put("a", "gone");
    EXPECT_EQ(pass().ended, 1u);
    EXPECT_THAT(std::string(entries().at(0).at("text").as_string()), HasSubstr("no action 'gone' any more"));
}

TEST_F(Actions, two_processes_do_not_run_one_action_at_the_same_time) {
    put("a");
    const std::string live = sqlite::lease_owner();
    ASSERT_EQ(queue_->take(live, now_, 5min, 10)->size(), 1u);
    EXPECT_EQ(queue_->take("another:process:0:0", now_, 5min, 10)->size(), 0u);
    EXPECT_FALSE(queue_->begin("a", "another:process:0:0", now_, 5min).value());
    const auto status = queue_->end("a", "another:process:0:0", {std::nullopt, "x"}, {});
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().kind, base::ErrorKind::Conflict);
    EXPECT_TRUE(queue_->begin("a", live, now_, 5min).value());
}

TEST_F(Actions, a_lease_ends_with_its_time_and_with_its_process) {
    put("a");
    ASSERT_EQ(queue_->take(sqlite::lease_owner(), now_, 5min, 10)->size(), 1u);
    EXPECT_EQ(queue_->take("b:c:0:0", now_ + 6min, 5min, 10)->size(), 1u) << "its time is over";

    put("d");
    // This process's lease, had it started at another time: it is gone.
    std::string gone = sqlite::lease_owner();
    gone.back() = gone.back() == '1' ? '2' : '1';
    ASSERT_EQ(queue_->take(gone, now_, 5min, 10)->size(), 1u);
    EXPECT_EQ(queue_->take("e:f:0:0", now_, 5min, 10)->size(), 1u) << "its process is gone";
}

TEST_F(Actions, a_try_that_ended_with_its_process_is_made_again_and_counts) {
    config_.retry.tries_max = 2;
    put("a");
    for (const char* owner : {"gone:1:1:1", "gone:2:2:2"}) {
        ASSERT_EQ(queue_->take(owner, now_, 1min, 10)->size(), 1u);
        ASSERT_TRUE(queue_->begin("a", owner, now_, 1min).value());
        now_ += 2min;
    }
    EXPECT_EQ(pass().ended, 1u);
    EXPECT_TRUE(page_->asked.empty()) << "what kills whoever tries it must not be tried for ever";
    EXPECT_THAT(outcomes(), ElementsAre("given up"));
}

class JobActions : public Actions {
  protected:
    JobActions() : runs_(sqlite::RunStore::open(database_).value()) {}
    ~JobActions() override { runs_.reset(); }
    JobActionPorts world() {
        return {*runs_,
                *runs_,
                [](const std::string& name) -> base::Result<jobs::Job> {
                    if (name != "compact") return base::fail(base::ErrorKind::NotFound, "there is no job '{}'", name);
                    jobs::Job job;
                    job.name = name;
                    job.command = {"true"};
                    return job;
                },
                [this] { return jobs::run_id(std::string(32, static_cast<char>('a' + ids_++))); },
                [](const std::string& id) { return "/tmp/" + id; },
                [this] { return now_; }};
    }
    ports::ActionRequest in_state(const std::string& state) {
        auto one = request("act_" + state, "hold");
        one.transition["state"] = state;
        one.transition["partition"] = "day=1";
        return one;
    }
    std::unique_ptr<sqlite::RunStore> runs_;
    int ids_ = 0;
};

TEST_F(JobActions, a_job_action_makes_one_run_however_often_it_is_tried) {
    JobRunner runner({"compact", {{"where", "{table}/{partition}"}}}, world());
    const auto first = runner.run(in_state("ALARM"));
    ASSERT_TRUE(first);
    EXPECT_EQ(first->verdict, ActionVerdict::Done);
    const auto again = runner.run(in_state("ALARM"));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->run, first->run);
    const auto runs = runs_->list({}).value();
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].arguments.at(0).second, "db.orders/day=1");
    EXPECT_EQ(JobRunner({"other", {}}, world()).run(in_state("ALARM"))->verdict, ActionVerdict::Refused);
}

TEST_F(JobActions, a_dry_run_of_a_job_or_a_pause_changes_nothing) {
    auto dry = in_state("ALARM");
    dry.dry_run = true;
    EXPECT_THAT(JobRunner({"compact", {}}, world()).run(dry)->text, HasSubstr("would start job 'compact'"));
    EXPECT_THAT(PauseRunner({"compact", false}, world()).run(dry)->text, HasSubstr("would pause job 'compact'"));
    EXPECT_TRUE(runs_->list({})->empty());
    EXPECT_TRUE(runs_->paused()->empty());
}

TEST_F(JobActions, a_paused_job_takes_no_run_unless_forced_and_says_who_and_why) {
    PauseRunner pause({"compact", true}, world());
    EXPECT_EQ(pause.run(in_state("ALARM"))->verdict, ActionVerdict::Done);
    const Submission submission{world().find("compact").value(), world().new_id(), "/tmp/x", {}, {}};
    const auto refused = submit_run(*runs_, submission, now_);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, base::ErrorKind::Conflict);
    EXPECT_THAT(refused.error().text(), HasSubstr("by action hold: alarm 'late' of db.orders: no commit for 2h"));
    EXPECT_EQ(JobRunner({"compact", {}}, world()).run(in_state("ALARM"))->verdict, ActionVerdict::Retry);
    Submission forced = submission;
    forced.force = true;
    EXPECT_TRUE(submit_run(*runs_, forced, now_));

    EXPECT_EQ(pause.run(in_state("OK"))->verdict, ActionVerdict::Done);
    EXPECT_FALSE(runs_->pause_of("compact").value());
    Submission later = submission;
    later.id = world().new_id();
    EXPECT_TRUE(submit_run(*runs_, later, now_));
    EXPECT_EQ(entries("job-paused").size(), 1u);
    EXPECT_EQ(entries("job-resumed").size(), 1u);
}

TEST_F(JobActions, an_action_does_not_end_the_pause_of_somebody_else) {
    ASSERT_TRUE(runs_->pause({"compact", "user ann", "the disk is full", now_}));
    PauseRunner pause({"compact", true}, world());
    EXPECT_THAT(pause.run(in_state("ALARM"))->text, HasSubstr("paused by user ann already"));
    EXPECT_TRUE(pause.run(in_state("OK")));
    ASSERT_TRUE(runs_->pause_of("compact").value());
    EXPECT_EQ(runs_->pause_of("compact").value()->reason, "the disk is full");
}

TEST_F(JobActions, a_run_that_its_key_has_made_before_is_returned_for_a_paused_job) {
    const Submission submission{world().find("compact").value(), world().new_id(), "/tmp/x", {}, "tuesday"};
    const auto first = submit_run(*runs_, submission, now_);
    ASSERT_TRUE(first);
    ASSERT_TRUE(runs_->pause({"compact", "user ann", "why", now_}));
    Submission again = submission;
    again.id = world().new_id();
    const auto same = submit_run(*runs_, again, now_);
    ASSERT_TRUE(same);
    EXPECT_FALSE(same->created);
    EXPECT_EQ(same->run.id, first->run.id);
}

}  // namespace
}  // namespace signalbox::engine
