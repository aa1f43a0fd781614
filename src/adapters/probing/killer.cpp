#include "adapters/probing/killer.hpp"

#include <deque>
#include <thread>

#include "adapters/probing/waker.hpp"
#include "base/assert.hpp"

namespace signalbox::probing {
namespace {

// How often an idle connection is shown to work, and a lost one is opened again.
constexpr auto keep_warm_interval = std::chrono::seconds(1);
constexpr auto keep_warm_deadline = std::chrono::milliseconds(500);

}  // namespace

class Killer::Worker {
  public:
    struct Job {
        ports::SessionsKilled outcome;  // as it is if nothing can be ended
        std::vector<clusters::ServerSession> sessions;
        Clock::time_point until;
    };

    Worker(Target target, std::unique_ptr<MemberLink> link, const std::function<void(ports::SessionsKilled)>& on_killed)
        : target_(std::move(target)), on_killed_(on_killed), link_(std::move(link)), thread_([this] { run(); }) {}

    ~Worker() {
        {
            const std::lock_guard guard(mutex_);
            stopping_ = true;
        }
        waker_.wake();
        link_->cancel();
        thread_.join();
    }

    const Target& target() const { return target_; }

    // False: there are too many already.
    bool add(Job job) {
        {
            const std::lock_guard guard(mutex_);
            if (jobs_.size() >= kills_max) return false;
            jobs_.push_back(std::move(job));
        }
        waker_.wake();
        return true;
    }

  private:
    std::optional<Job> next_job(bool& stopping) {
        const std::lock_guard guard(mutex_);
        stopping = stopping_;
        if (jobs_.empty()) return std::nullopt;
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        return job;
    }

    void work(Job& job) {
        const Ended ended = link_->end_sessions(job.sessions, job.until);
        SB_ASSERT(ended.count <= job.sessions.size(), "no more sessions end than were to");
        job.outcome.killed = ended.count;
        job.outcome.failed = job.sessions.size() - ended.count;
        job.outcome.text = ended.text;
        on_killed_(std::move(job.outcome));
    }

    void run() {
        auto warm_at = Clock::now();
        for (;;) {
            bool stopping = false;
            auto job = next_job(stopping);
            if (job) {
                work(*job);
                continue;
            }
            if (stopping) return;
            if (Clock::now() >= warm_at) {
                // Whatever is wrong with it, the next try says the same; a kill tells its own failure.
                (void)link_->keep_warm(Clock::now() + keep_warm_deadline);
                warm_at = Clock::now() + keep_warm_interval;
            }
            // A server that ends the idle connection is not to be found out at the next kill.
            if (waker_.wait(warm_at, link_->socket()) == Waker::Reason::Socket) link_->close();
        }
    }

    const Target target_;
    const std::function<void(ports::SessionsKilled)>& on_killed_;
    const std::unique_ptr<MemberLink> link_;
    Waker waker_;
    std::mutex mutex_;
    std::deque<Job> jobs_;
    bool stopping_ = false;
    std::thread thread_;
};

Killer::Killer(std::function<void(ports::SessionsKilled)> on_killed, Engines engines)
    : on_killed_(std::move(on_killed)), engines_(std::move(engines)) {}

Killer::~Killer() = default;

void Killer::configure(const clusters::ClusterConfig& config) {
    const auto engine = engines_.find(config.engine);
    SB_ASSERT(engine != engines_.end(), "every engine that can be configured has links");
    const std::lock_guard guard(mutex_);
    Workers& workers = clusters_[config.name];
    Workers kept;
    for (const auto& member : config.members) {
        Target target = target_of(config, member);
        const auto found = workers.find(member.name);
        if (found != workers.end() && found->second->target() == target) {
            kept[member.name] = std::move(found->second);
        } else {
            auto link = engine->second(target);
            kept[member.name] = std::make_unique<Worker>(std::move(target), std::move(link), on_killed_);
        }
    }
    std::erase_if(workers, [](const auto& entry) { return entry.second == nullptr; });
    workers.swap(kept);
}

void Killer::remove(const std::string& cluster) {
    const std::lock_guard guard(mutex_);
    clusters_.erase(cluster);
}

void Killer::kill(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                  const std::vector<clusters::ServerSession>& sessions, base::Duration deadline) {
    ports::SessionsKilled outcome{cluster, epoch, member, 0, sessions.size(), {}};
    {
        const std::lock_guard guard(mutex_);
        const auto workers = clusters_.find(cluster);
        if (workers == clusters_.end() || !workers->second.contains(member)) {
            outcome.text = fmt::format("'{}' is no member of '{}'", member, cluster);
        } else if (workers->second.at(member)->add({outcome, sessions, Clock::now() + deadline})) {
            return;
        } else {
            outcome.text = fmt::format("{} kills on '{}' are under way already", kills_max, member);
        }
    }
    on_killed_(std::move(outcome));
}

}  // namespace signalbox::probing
