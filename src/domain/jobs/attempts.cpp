#include "domain/jobs/attempts.hpp"

#include "base/assert.hpp"

namespace signalbox::jobs {
namespace {

// Beside the first attempt's folder, under the attempt's own id.
std::string directory_of(const Run& run, const std::string& id) {
    if (!run.directory.ends_with(run.id)) return run.directory;
    return run.directory.substr(0, run.directory.size() - run.id.size()) + id;
}

Run next_attempt(const Run& run, const RetryPlan& plan, base::WallTime now) {
    Run next;
    next.attempt = run.attempt + 1;
    next.id = attempt_id(first_attempt_id(run.id), next.attempt);
    next.previous = run.id;
    next.job = run.job;
    next.arguments = run.arguments;
    next.directory = directory_of(run, next.id);
    next.tried = run.tried;
    if (run.connection)
        next.tried.push_back({run.connection->name, run.connection->subnet, run.zone, run.verdict->retry});
    next.first_submitted_at = run.first_submitted_at;
    next.submitted_at = now;
    next.not_before = plan.not_before;
    next.reason = fmt::format("attempt {} of at most {}, not before {}", next.attempt + 1, run.job.retry.attempts_max,
                              base::format_time(plan.not_before));
    return next;
}

}  // namespace

bool is_failure(RunState state) {
    return state == RunState::Failed || state == RunState::Timeout || state == RunState::Error;
}

Conclusion conclude(Step& step, const FailureFacts& facts, const RetryHistory& history, base::WallTime now,
                    Rules rules) {
    Run& run = step.run;
    SB_ASSERT(is_final(run.state), "only what is final has an end to be judged");
    Conclusion conclusion;
    if (run.connection && (run.state == RunState::Succeeded || is_failure(run.state)))
        conclusion.outcome =
            PlaceOutcome{now, run.id, run.connection->name, run.connection->subnet, run.zone, std::nullopt};
    if (is_failure(run.state)) {
        run.verdict = classify(run, facts);
        if (conclusion.outcome) conclusion.outcome->failure = run.verdict->retry;
    }
    const Verdict verdict = run.verdict.value_or(Verdict{RetryClass::Transient, "it did not fail"});
    RetryPlan plan;
    if (run.next.empty() || !rules.on(Guard::NextOnce)) plan = plan_retry(run, verdict, history, now, rules);
    if (is_failure(run.state)) run.retry_reason = plan.reason;
    if (plan.again) {
        run.verdict = verdict;
        conclusion.next = next_attempt(run, plan, now);
        run.next = conclusion.next->id;
    }
    if (run.verdict) {
        step.notes.push_back({"run-verdict",
                              {{"class", to_string(run.verdict->retry)},
                               {"reason", run.verdict->reason},
                               {"retry", run.retry_reason},
                               {"next", run.next}}});
    }
    step.changed = true;
    return conclusion;
}

}  // namespace signalbox::jobs
