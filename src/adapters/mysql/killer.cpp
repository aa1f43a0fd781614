#include "adapters/mysql/killer.hpp"

#include <algorithm>

#include "adapters/mysql/probe.hpp"

namespace signalbox::mysql {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int code_no_such_thread = 1094;
constexpr auto round_pause = std::chrono::milliseconds(2);

}  // namespace

std::uint64_t kill_connections(const ConnectParams& params, std::vector<std::uint64_t> ids, base::Duration deadline) {
    const auto until = Clock::now() + deadline;
    const auto left = [until] { return std::max(base::Duration(0), base::Duration(until - Clock::now())); };
    const std::size_t asked = ids.size();
    Client client;
    if (!client.connect(params, left())) return 0;
    // KILL only marks: a connection is asked to end, round after round, until the server has never heard of it.
    while (!ids.empty() && Clock::now() < until && client.connected()) {
        std::vector<std::uint64_t> remaining;
        for (const std::uint64_t id : ids) {
            const auto killed = client.query(fmt::format("KILL CONNECTION {}", id), left());
            if (killed || killed.error().code != code_no_such_thread) remaining.push_back(id);
        }
        ids.swap(remaining);
        if (!ids.empty()) std::this_thread::sleep_for(std::min<base::Duration>(round_pause, left()));
    }
    return asked - ids.size();
}

Killer::Killer(std::function<void(ports::SessionsKilled)> on_killed) : on_killed_(std::move(on_killed)) {}

Killer::~Killer() {
    for (Job& job : jobs_) job.thread.join();
}

void Killer::configure(const clusters::ClusterConfig& config) {
    const std::lock_guard guard(mutex_);
    clusters_[config.name] = config;
}

void Killer::reap() {
    for (auto job = jobs_.begin(); job != jobs_.end();) {
        if (job->done) {
            job->thread.join();
            job = jobs_.erase(job);
        } else {
            ++job;
        }
    }
}

void Killer::kill(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                  const std::vector<clusters::ServerSession>& sessions, base::Duration deadline) {
    const std::lock_guard guard(mutex_);
    reap();
    ports::SessionsKilled outcome{cluster, epoch, member, 0, sessions.size()};
    const auto found = clusters_.find(cluster);
    const clusters::MemberConfig* target = nullptr;
    if (found != clusters_.end()) {
        for (const auto& candidate : found->second.members) {
            if (candidate.name == member) target = &candidate;
        }
    }
    if (target == nullptr || jobs_.size() >= kills_max) {
        on_killed_(std::move(outcome));
        return;
    }
    std::vector<std::uint64_t> known;
    for (const clusters::ServerSession& session : sessions) {
        if (session.connection_id != 0) known.push_back(session.connection_id);
    }
    Job& job = jobs_.emplace_back();
    job.thread = std::thread([this, &job, outcome, deadline, ids = std::move(known),
                              params = connect_params(found->second, *target)]() mutable {
        outcome.killed = kill_connections(params, std::move(ids), deadline);
        outcome.failed -= outcome.killed;
        on_killed_(std::move(outcome));
        const std::lock_guard done(mutex_);
        job.done = true;
    });
}

}  // namespace signalbox::mysql
