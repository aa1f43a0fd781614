// Pauses of jobs: a row while one stands.

#include "adapters/sqlite/run_store.hpp"

namespace signalbox::sqlite {
namespace {

ports::JobPause read_pause(const Statement& statement) {
    return {statement.text(0), statement.text(1), statement.text(2),
            base::WallTime(base::Duration(statement.integer(3)))};
}

}  // namespace

base::Result<std::optional<ports::JobPause>> RunStore::pause_of(const std::string& job) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT job, by, reason, at_ns FROM job_pauses WHERE job = ?"));
    statement.bind(1, job);
    SB_TRY(const bool row, statement.step());
    return row ? std::optional(read_pause(statement)) : std::nullopt;
}

base::Result<std::vector<ports::JobPause>> RunStore::paused() {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT job, by, reason, at_ns FROM job_pauses ORDER BY job"));
    std::vector<ports::JobPause> pauses;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) return pauses;
        pauses.push_back(read_pause(statement));
    }
}

base::Result<ports::JobPause> RunStore::pause(const ports::JobPause& pause) {
    ports::JobPause standing = pause;
    SB_CHECK(database_->transaction(true, [&]() -> base::Status {
        SB_TRY(const auto before, pause_of(pause.job));
        if (before) {
            standing = *before;
            return {};
        }
        SB_TRY(auto statement, database_->prepare("INSERT INTO job_pauses VALUES (?, ?, ?, ?)"));
        statement.bind(1, pause.job).bind(2, pause.by).bind(3, pause.reason);
        statement.bind(4, std::int64_t{pause.at.time_since_epoch().count()});
        SB_CHECK(statement.run());
        return journal({{0, pause.at, "job-paused", pause.job, 0, {}, {{"by", pause.by}, {"reason", pause.reason}}}});
    }));
    return standing;
}

base::Result<std::optional<ports::JobPause>> RunStore::resume(const std::string& job, const std::string& by,
                                                              base::WallTime now, const std::string& only_if_by) {
    std::optional<ports::JobPause> ended;
    SB_CHECK(database_->transaction(true, [&]() -> base::Status {
        SB_TRY(const auto before, pause_of(job));
        if (!before || (!only_if_by.empty() && before->by != only_if_by)) return {};
        SB_TRY(auto statement, database_->prepare("DELETE FROM job_pauses WHERE job = ?"));
        statement.bind(1, job);
        SB_CHECK(statement.run());
        ended = before;
        return journal({{0,
                         now,
                         "job-resumed",
                         job,
                         0,
                         {},
                         {{"by", by}, {"paused_by", before->by}, {"paused_at", base::format_time(before->at)}}}});
    }));
    return ended;
}

}  // namespace signalbox::sqlite
