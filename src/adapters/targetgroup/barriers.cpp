#include "adapters/targetgroup/barriers.hpp"

#include <algorithm>
#include <utility>

namespace signalbox::targetgroup {
namespace {

base::MonoTime mono_now() { return base::MonoTime(std::chrono::steady_clock::now().time_since_epoch()); }

}  // namespace

Barriers::Barriers(std::function<void(ports::BarrierDone)> on_barrier)
    : on_barrier_(std::move(on_barrier)), thread_([this] { run(); }) {}

Barriers::~Barriers() {
    {
        const std::lock_guard guard(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

void Barriers::add(const std::string& cluster, std::uint64_t epoch, std::vector<Waiting> waiting) {
    {
        const std::lock_guard guard(mutex_);
        // A quick group may have told it before this.
        std::erase_if(waiting, [&](const auto& one) {
            const auto newest = cleared_.find(one.endpoint);
            return newest != cleared_.end() && newest->second >= one.generation;
        });
        barriers_.push_back({{cluster, epoch, {}}, std::move(waiting)});
    }
    changed_.notify_one();
}

void Barriers::release(const std::string& endpoint, std::uint64_t generation, std::uint64_t sessions_ended) {
    for (auto& barrier : barriers_) {
        const auto count = std::erase_if(barrier.waiting, [&](const auto& waiting) {
            return waiting.endpoint == endpoint && waiting.generation <= generation;
        });
        // Counted once: for the fence that ended them.
        if (count != 0) barrier.done.result.sessions_closed += std::exchange(sessions_ended, 0);
    }
}

void Barriers::cleared(const std::string& endpoint, std::uint64_t generation, std::uint64_t sessions_ended) {
    {
        const std::lock_guard guard(mutex_);
        cleared_[endpoint] = generation;
        release(endpoint, generation, sessions_ended);
    }
    changed_.notify_one();
}

void Barriers::trouble(const std::string& endpoint, const std::string& text) {
    const std::lock_guard guard(mutex_);
    trouble_[endpoint] = text;
}

void Barriers::forget(const std::string& endpoint) {
    {
        const std::lock_guard guard(mutex_);
        cleared_.erase(endpoint);
        trouble_.erase(endpoint);
        release(endpoint, UINT64_MAX, 0);
    }
    changed_.notify_one();
}

void Barriers::expire(base::MonoTime now) {
    for (auto& barrier : barriers_) {
        std::erase_if(barrier.waiting, [&](const auto& waiting) {
            if (waiting.deadline > now) return false;
            const std::string& why = trouble_[waiting.endpoint];
            barrier.done.result.unfenced.push_back(
                fmt::format("target group of endpoint '{}', not verified within {}: {}", waiting.endpoint,
                            base::format_duration(waiting.patience), why.empty() ? "no answer yet" : why));
            return true;
        });
    }
}

void Barriers::run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        expire(mono_now());
        const auto done = std::find_if(barriers_.begin(), barriers_.end(),
                                       [](const auto& barrier) { return barrier.waiting.empty(); });
        if (done != barriers_.end()) {
            const ports::BarrierDone result = std::move(done->done);
            barriers_.erase(done);
            lock.unlock();
            if (on_barrier_) on_barrier_(result);
            lock.lock();
            continue;
        }
        auto next = base::MonoTime::max();
        for (const auto& barrier : barriers_) {
            for (const auto& waiting : barrier.waiting) next = std::min(next, waiting.deadline);
        }
        if (next == base::MonoTime::max()) {
            changed_.wait(lock);
        } else {
            changed_.wait_until(lock, std::chrono::steady_clock::time_point(next.time_since_epoch()));
        }
    }
}

}  // namespace signalbox::targetgroup
