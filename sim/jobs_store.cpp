#include "sim/jobs_store.hpp"

#include <algorithm>

#include "domain/jobs/attempts.hpp"

namespace signalbox::sim {

using base::ErrorKind;
using base::fail;
using jobs::Run;
using jobs::RunState;

base::Status JobStore::failed(const char* call) const {
    return fail(ErrorKind::Unavailable, "the store refused: database or disk is full ({})", call);
}

base::Result<ports::Inserted> JobStore::insert(const Run& run, const std::vector<ports::JournalEntry>& entries,
                                               const ports::IdempotencyKey& key, ports::IfPaused /*no job is*/) {
    if (!fault_("insert", false)) return tl::unexpected<base::Error>(failed("insert").error());
    const std::string known = run.job.name + "/" + key.key;
    if (const auto found = keys_.find(known); !key.key.empty() && found != keys_.end()) {
        if (found->second.second != key.fingerprint) return fail(ErrorKind::Conflict, "another body");
        return ports::Inserted{found->second.first, false};
    }
    if (!runs_.emplace(run.id, run).second) return fail(ErrorKind::AlreadyExists, "there is a run {}", run.id);
    if (!key.key.empty()) keys_[known] = {run.id, key.fingerprint};
    journal_.insert(journal_.end(), entries.begin(), entries.end());
    fault_("insert", true);
    return ports::Inserted{run.id, true};
}

// What must hold between what was stored and what is to be.
void JobStore::judge(const Run& before, const Run& after, const ports::Beside& beside) {
    const auto say = [&](const char* what) { note(fmt::format("{}: {}", after.id, what)); };
    if (jobs::is_final(before.state)) say("what is final has moved");
    // One step can stop a run and find that nothing of it is left.
    const bool by_stopping =
        jobs::allowed(before.state, RunState::Stopping) && jobs::allowed(RunState::Stopping, after.state);
    if (before.state != after.state && !jobs::allowed(before.state, after.state) && !by_stopping)
        say("no such transition");
    if (before.outcome && after.outcome != before.outcome) say("the outcome has changed");
    if (before.state == RunState::Waiting && before.stop_requested && after.state == RunState::Starting)
        say("it was started although it was asked to stop");
    for (std::size_t i = 0; i < before.nodes.size(); ++i) {
        const bool had_started = before.nodes[i].stage == jobs::NodeStage::Started;
        const jobs::NodeStage now = after.nodes[i].stage;
        if (had_started && now != jobs::NodeStage::Started && now != jobs::NodeStage::Ended)
            say("what had started is to be started again");
    }
    const bool failed_now = jobs::is_final(after.state) && jobs::is_failure(after.state);
    if (beside.next != nullptr && (!failed_now || after.stop_requested)) say("it is tried again and should not be");
    if (beside.next != nullptr && (runs_.contains(beside.next->id) || after.next != beside.next->id))
        say("its next attempt is there twice");
    if (beside.next == nullptr && !after.next.empty()) say("its next attempt was not stored with it");
    std::size_t under_way = 0;
    for (const auto& [id, other] : runs_)
        under_way += other.job.name == after.job.name && id != after.id && !jobs::is_final(other.state) &&
                     other.state != RunState::Waiting;
    if (before.state == RunState::Waiting && after.state == RunState::Starting &&
        under_way >= static_cast<std::size_t>(after.job.max_concurrent_runs))
        say("more runs of its job than may be");
    if (on_save) on_save(before, after);
}

base::Status JobStore::save(Run& run, const ports::Beside& beside, ports::Durability) {
    if (!fault_("save", false)) return failed("save");
    const auto found = runs_.find(run.id);
    if (found == runs_.end()) return fail(ErrorKind::NotFound, "there is no run {}", run.id);
    if (found->second.version != run.version) return fail(ErrorKind::Conflict, "run {} was moved", run.id);
    judge(found->second, run, beside);
    found->second = run;
    found->second.version = run.version + 1;
    if (beside.next != nullptr) runs_.emplace(beside.next->id, *beside.next);
    if (beside.outcome != nullptr) outcomes_.push_back(*beside.outcome);
    if (beside.ledger != nullptr) put(*beside.ledger);
    journal_.insert(journal_.end(), beside.entries.begin(), beside.entries.end());
    fault_("save", true);
    ++run.version;
    return {};
}

base::Result<Run> JobStore::load(const std::string& id) {
    if (!fault_("load", false)) return tl::unexpected<base::Error>(failed("load").error());
    const auto found = runs_.find(id);
    if (found == runs_.end()) return fail(ErrorKind::NotFound, "there is no run {}", id);
    return found->second;
}

base::Result<std::vector<Run>> JobStore::list(const ports::RunQuery& query) {
    std::vector<Run> found;
    for (const auto& [id, run] : runs_) {
        if (query.active_only && jobs::is_final(run.state)) continue;
        if (!query.job.empty() && run.job.name != query.job) continue;
        if (id.starts_with(query.id_prefix)) found.push_back(run);
    }
    std::sort(found.begin(), found.end(), [](const Run& a, const Run& b) {
        return std::pair(a.submitted_at, a.id) > std::pair(b.submitted_at, b.id);
    });
    if (!query.active_only && found.size() > query.limit) found.resize(query.limit);
    return found;
}

base::Result<std::vector<std::string>> JobStore::active() {
    std::vector<std::pair<base::WallTime, std::string>> found;
    for (const auto& [id, run] : runs_)
        if (!jobs::is_final(run.state)) found.emplace_back(run.first_submitted_at, id);
    std::sort(found.begin(), found.end());
    std::vector<std::string> ids;
    for (const auto& [at, id] : found) ids.push_back(id);
    return ids;
}

base::Result<std::vector<std::string>> JobStore::ahead_of(const Run& run, base::WallTime now) {
    std::vector<std::string> ids;
    for (const auto& [id, other] : runs_) {
        if (other.job.name != run.job.name || jobs::is_final(other.state) || id == run.id) continue;
        const bool earlier = std::pair(other.first_submitted_at, id) < std::pair(run.first_submitted_at, run.id);
        const bool due = !other.not_before || *other.not_before <= now;
        if (other.state != RunState::Waiting || (due && earlier)) ids.push_back(id);
    }
    return ids;
}

base::Result<std::vector<jobs::PlaceUse>> JobStore::uses() {
    std::vector<jobs::PlaceUse> uses;
    for (const auto& [id, run] : runs_) {
        if (jobs::is_final(run.state) || !run.connection) continue;
        uses.push_back(
            {run.connection->name, run.connection->subnet, run.zone, run.starting_at.value_or(base::WallTime{})});
    }
    return uses;
}

base::Result<std::vector<jobs::PlaceOutcome>> JobStore::outcomes(base::WallTime since, std::size_t) {
    std::vector<jobs::PlaceOutcome> found;
    std::copy_if(outcomes_.begin(), outcomes_.end(), std::back_inserter(found),
                 [&](const jobs::PlaceOutcome& outcome) { return outcome.at >= since; });
    return found;
}

base::Result<jobs::RetryHistory> JobStore::retry_history(const std::string& job, base::WallTime since) {
    jobs::RetryHistory history;
    for (const auto& [id, run] : runs_) {
        if (run.job.name != job || run.submitted_at < since) continue;
        ++(run.attempt == 0 ? history.runs : history.retries);
    }
    return history;
}

void JobStore::put(const ports::LedgerChange& change) {
    for (const jobs::AddressRow& row : change.put) ledger_[row.token] = row;
    for (const std::string& token : change.gone) ledger_.erase(token);
    if (change.memory) memory_ = *change.memory;
}

base::Result<ports::LedgerState> JobStore::ledger() {
    ports::LedgerState state;
    state.memory = memory_;
    for (const auto& [token, row] : ledger_) state.rows.push_back(row);
    for (const auto& [id, run] : runs_) {
        for (const jobs::Node& node : run.nodes) {
            const auto row = ledger_.find(node.token);
            if (row == ledger_.end() || row->second.kind == jobs::AddressKind::Lingering) continue;
            state.nodes.push_back(
                {node.token, node.address, node.stage == jobs::NodeStage::Dropped, node.started_at, node.ended_at});
        }
    }
    return state;
}

base::Status JobStore::save_ledger(const ports::LedgerChange& change) {
    if (!fault_("save_ledger", false)) return failed("save_ledger");
    put(change);
    return {};
}

base::Result<bool> JobStore::acquire(const std::string& thing, const std::string& owner, base::WallTime now,
                                     base::Duration time) {
    if (!fault_("acquire", false)) return tl::unexpected<base::Error>(failed("acquire").error());
    Lease& lease = leases_[thing];
    if (!lease.owner.empty() && lease.owner != owner && lease.until > now) return false;
    lease = {owner, now + time};
    fault_("acquire", true);
    return true;
}

base::Status JobStore::release(const std::string& thing, const std::string& owner) {
    if (!fault_("release", false)) return failed("release");
    if (const auto found = leases_.find(thing); found != leases_.end() && found->second.owner == owner)
        leases_.erase(found);
    return {};
}

void JobStore::bury(const std::string& owner) {
    std::erase_if(leases_, [&](const auto& lease) { return lease.second.owner == owner; });
}

}  // namespace signalbox::sim
