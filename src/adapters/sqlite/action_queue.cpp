#include "adapters/sqlite/action_queue.hpp"

#include <algorithm>
#include <map>

#include "adapters/sqlite/run_store.hpp"

namespace signalbox::sqlite {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t id_size_max = 200;
constexpr std::size_t transition_size_max = 256 * 1024;
constexpr std::size_t take_max = 1000;

std::int64_t to_ns(base::WallTime time) { return time.time_since_epoch().count(); }

base::WallTime to_time(std::int64_t ns) { return base::WallTime(base::Duration(ns)); }

base::Result<ports::PendingAction> read_action(const Statement& statement) {
    ports::PendingAction found;
    found.request.id = statement.text(0);
    found.request.alarm = statement.text(1);
    found.request.table = statement.text(2);
    found.request.action = statement.text(3);
    found.request.dry_run = statement.integer(5) != 0;
    found.queued_at = to_time(statement.integer(6));
    found.due_at = to_time(statement.integer(7));
    found.tries = static_cast<int>(statement.integer(8));
    found.last = statement.text(9);
    SB_TRY(auto transition, base::parse_json(statement.text(4)));
    if (!transition.is_object())
        return fail(ErrorKind::CorruptData, "the queued action {} holds no object", found.request.id);
    found.request.transition = std::move(transition.as_object());
    return found;
}

}  // namespace

base::Result<std::unique_ptr<ActionQueue>> ActionQueue::open(std::shared_ptr<Database> database,
                                                             ActionQueueLimits limits) {
    SB_TRY(auto journal, JournalStore::open(database));
    SB_CHECK(database->execute(
        "CREATE TABLE IF NOT EXISTS actions (id TEXT PRIMARY KEY, alarm TEXT NOT NULL, subject TEXT NOT NULL,"
        " action TEXT NOT NULL, transition TEXT NOT NULL, dry_run INTEGER NOT NULL, queued_ns INTEGER NOT NULL,"
        " due_ns INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0, last TEXT NOT NULL DEFAULT '',"
        " begun_ns INTEGER, ended INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '',"
        " lease_ns INTEGER NOT NULL DEFAULT 0);"
        "CREATE INDEX IF NOT EXISTS actions_due ON actions (due_ns) WHERE ended = 0;"
        "CREATE INDEX IF NOT EXISTS actions_begun ON actions (action, begun_ns) WHERE begun_ns IS NOT NULL;"
        "CREATE INDEX IF NOT EXISTS actions_ended ON actions (queued_ns) WHERE ended = 1;"));
    return std::unique_ptr<ActionQueue>(new ActionQueue(std::move(database), std::move(journal), limits));
}

base::Result<std::int64_t> ActionQueue::number(const char* sql) {
    SB_TRY(auto statement, database_->prepare(sql));
    SB_TRY(const bool row, statement.step());
    return row ? statement.integer(0) : 0;
}

// Ended actions that are older than the memory, or more than it holds.
base::Status ActionQueue::forget(base::WallTime now) {
    SB_TRY(auto old, database_->prepare("DELETE FROM actions WHERE ended = 1 AND queued_ns < ?"));
    old.bind(1, to_ns(now - limits_.memory));
    SB_CHECK(old.run());
    SB_TRY(const std::int64_t ended, number("SELECT count(*) FROM actions WHERE ended = 1"));
    const std::int64_t excess = ended - static_cast<std::int64_t>(limits_.remembered_max);
    if (excess <= 0) return {};
    SB_TRY(auto more, database_->prepare("DELETE FROM actions WHERE id IN (SELECT id FROM actions WHERE ended = 1"
                                         " ORDER BY queued_ns LIMIT ?)"));
    more.bind(1, excess);
    return more.run();
}

base::Result<ports::Queued> ActionQueue::insert(const ports::ActionRequest& request, base::WallTime now) {
    if (request.id.empty() || request.id.size() > id_size_max)
        return fail(ErrorKind::InvalidArgument, "an action's id has 1 to {} bytes, found {}", id_size_max,
                    request.id.size());
    const std::string transition = base::json::serialize(request.transition);
    if (transition.size() > transition_size_max)
        return fail(ErrorKind::InvalidArgument, "the transition of action {} has {} bytes; at most {} are kept",
                    request.id, transition.size(), transition_size_max);
    SB_TRY(auto known, database_->prepare("SELECT 1 FROM actions WHERE id = ?"));
    known.bind(1, request.id);
    SB_TRY(const bool exists, known.step());
    if (exists) return ports::Queued::Known;
    SB_TRY(const std::int64_t waiting, number("SELECT count(*) FROM actions WHERE ended = 0"));
    if (waiting >= static_cast<std::int64_t>(limits_.pending_max)) {
        SB_CHECK(journal_->insert({0,
                                   now,
                                   "action-dropped",
                                   request.table.empty() ? request.alarm : request.table,
                                   0,
                                   {},
                                   {{"id", request.id},
                                    {"alarm", request.alarm},
                                    {"action", request.action},
                                    {"reason", fmt::format("the queue holds {} actions already", waiting)}}}));
        return ports::Queued::Full;
    }
    SB_TRY(auto statement,
           database_->prepare("INSERT INTO actions (id, alarm, subject, action, transition, dry_run, queued_ns, due_ns)"
                              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)"));
    statement.bind(1, request.id).bind(2, request.alarm).bind(3, request.table).bind(4, request.action);
    statement.bind(5, transition).bind(6, std::int64_t{request.dry_run ? 1 : 0}).bind(7, to_ns(now));
    SB_CHECK(statement.run());
    SB_CHECK(forget(now));
    return ports::Queued::Yes;
}

base::Result<ports::Queued> ActionQueue::put(const ports::ActionRequest& request, base::WallTime now) {
    auto queued = ports::Queued::Yes;
    SB_CHECK(database_->transaction(true, [&]() -> base::Status {
        SB_TRY(queued, insert(request, now));
        return {};
    }));
    return queued;
}

base::Result<std::vector<ports::PendingAction>> ActionQueue::take(const std::string& owner, base::WallTime now,
                                                                  base::Duration lease_time, std::size_t limit) {
    std::vector<ports::PendingAction> taken;
    limit = std::min(limit, take_max);
    SB_CHECK(database_->transaction(false, [&]() -> base::Status {
        {
            SB_TRY(auto due, database_->prepare(
                                 "SELECT id, alarm, subject, action, transition, dry_run, queued_ns, due_ns, tries,"
                                 " last, owner, lease_ns FROM actions WHERE ended = 0 AND due_ns <= ?"
                                 " ORDER BY due_ns, id LIMIT ?"));
            // Those that others hold are among them.
            due.bind(1, to_ns(now)).bind(2, static_cast<std::int64_t>(limit + take_max));
            std::map<std::string, bool> lives;  // looked at once per owner
            while (taken.size() < limit) {
                SB_TRY(const bool row, due.step());
                if (!row) break;
                const std::string holder = due.text(10);
                if (!holder.empty() && holder != owner && due.integer(11) > to_ns(now)) {
                    const auto known = lives.find(holder);
                    const bool alive = known != lives.end() ? known->second : (lives[holder] = owner_may_live(holder));
                    if (alive) continue;
                }
                SB_TRY(taken.emplace_back(), read_action(due));
            }
        }
        SB_TRY(auto lease, database_->prepare("UPDATE actions SET owner = ?2, lease_ns = ?3 WHERE id = ?1"));
        for (const ports::PendingAction& action : taken) {
            lease.reset();
            lease.bind(1, action.request.id).bind(2, owner).bind(3, to_ns(now + lease_time));
            SB_CHECK(lease.run());
        }
        return {};
    }));
    return taken;
}

base::Result<bool> ActionQueue::begin(const std::string& id, const std::string& owner, base::WallTime now,
                                      base::Duration lease_time) {
    bool ours = false;
    SB_CHECK(database_->transaction(false, [&]() -> base::Status {
        SB_TRY(
            auto statement,
            database_->prepare("UPDATE actions SET lease_ns = ?3, begun_ns = coalesce(begun_ns, ?4), tries = tries + 1"
                               " WHERE id = ?1 AND owner = ?2 AND ended = 0 RETURNING 1"));
        statement.bind(1, id).bind(2, owner).bind(3, to_ns(now + lease_time)).bind(4, to_ns(now));
        SB_TRY(ours, statement.step());
        return ours ? statement.run() : base::Status();
    }));
    return ours;
}

base::Status ActionQueue::end(const std::string& id, const std::string& owner, const ports::ActionEnd& end,
                              const std::vector<ports::JournalEntry>& entries) {
    return database_->transaction(true, [&]() -> base::Status {
        bool ours = false;
        {
            SB_TRY(auto statement, database_->prepare("UPDATE actions SET owner = '', lease_ns = 0, last = ?3,"
                                                      " due_ns = coalesce(?4, due_ns), ended = ?5"
                                                      " WHERE id = ?1 AND owner = ?2 AND ended = 0 RETURNING 1"));
            statement.bind(1, id).bind(2, owner).bind(3, end.text);
            statement.bind_time(4, end.again_at).bind(5, std::int64_t{end.again_at ? 0 : 1});
            SB_TRY(ours, statement.step());
            if (ours) SB_CHECK(statement.run());
        }
        if (!ours) return fail(ErrorKind::Conflict, "action {} is in the hands of another process now", id);
        for (const ports::JournalEntry& entry : entries) SB_CHECK(journal_->insert(entry));
        return {};
    });
}

base::Result<std::vector<base::WallTime>> ActionQueue::begun(const std::string& action, base::WallTime since,
                                                             std::size_t limit) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT begun_ns FROM actions WHERE action = ? AND begun_ns >= ?"
                                              " ORDER BY begun_ns DESC LIMIT ?"));
    statement.bind(1, action).bind(2, to_ns(since)).bind(3, static_cast<std::int64_t>(limit));
    std::vector<base::WallTime> times;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) return times;
        times.push_back(to_time(statement.integer(0)));
    }
}

base::Result<std::size_t> ActionQueue::pending() {
    const auto guard = database_->lock();
    SB_TRY(const std::int64_t count, number("SELECT count(*) FROM actions WHERE ended = 0"));
    return static_cast<std::size_t>(count);
}

}  // namespace signalbox::sqlite
