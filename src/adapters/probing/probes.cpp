#include "adapters/probing/probes.hpp"

#include <algorithm>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

#include "adapters/probing/waker.hpp"
#include "base/assert.hpp"

namespace signalbox::probing {
namespace {

using clusters::Observation;
using clusters::ProbeFailure;
using clusters::ProbeFailureKind;

base::MonoTime mono(Clock::time_point time) { return base::MonoTime(time.time_since_epoch()); }

// Time that the calling thread was ready to run and had no processor (proc(5), schedstat); 0 where the kernel does not
// tell.
class StarvationGauge {
  public:
    StarvationGauge() : fd_(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}
    ~StarvationGauge() {
        if (fd_ >= 0) ::close(fd_);
    }
    StarvationGauge(const StarvationGauge&) = delete;
    StarvationGauge& operator=(const StarvationGauge&) = delete;
    base::Duration waited() const {
        char text[96];
        const ssize_t size = fd_ < 0 ? 0 : ::pread(fd_, text, sizeof text, 0);
        const auto parts = base::split({text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))}, ' ');
        return parts.size() < 2 ? base::Duration(0)
                                : base::Duration(static_cast<std::int64_t>(base::parse_uint(parts[1]).value_or(0)));
    }

  private:
    int fd_;
};

bool is_failure(const Answer& answer, ProbeFailureKind kind) {
    const auto* failure = std::get_if<ProbeFailure>(&answer);
    return failure != nullptr && failure->kind == kind;
}

// A warm connection that ended tells little: somebody may have ended just this one. A second look, on a connection of
// its own and within the same deadline, tells more; but only what is decisive takes the place of the end that was seen.
Answer ask_twice_at_most(MemberLink& link, Clock::time_point until) {
    const bool warm = link.socket() >= 0;
    Answer answer = link.ask(until);
    if (!warm || !is_failure(answer, ProbeFailureKind::Reset)) return answer;
    Answer second = link.ask(until);
    const bool decisive =
        std::holds_alternative<clusters::Evidence>(second) || is_failure(second, ProbeFailureKind::Refused);
    return decisive ? second : answer;
}

}  // namespace

class Probes::Member {
  public:
    Member(std::string cluster, std::string name, Target target, std::unique_ptr<MemberLink> link,
           const std::function<void(Observation)>& on_observation)
        : cluster_(std::move(cluster)),
          name_(std::move(name)),
          target_(std::move(target)),
          on_observation_(on_observation),
          link_(std::move(link)),
          thread_([this] { run(); }) {}

    ~Member() {
        {
            const std::lock_guard guard(mutex_);
            stopping_ = true;
        }
        waker_.wake();
        link_->cancel();
        thread_.join();
    }

    const Target& target() const { return target_; }

    void set_cadence(base::Duration interval, base::Duration deadline) {
        {
            const std::lock_guard guard(mutex_);
            interval_ = interval;
            deadline_ = deadline;
        }
        waker_.wake();
    }

    void pass_cadence(Member& successor) {
        const std::lock_guard guard(mutex_);
        successor.set_cadence(interval_, deadline_);
    }

    void wake() {
        {
            const std::lock_guard guard(mutex_);
            woken_ = true;
        }
        waker_.wake();
    }

  private:
    // Waits for the next probe's time; its deadline, or nothing at the end.
    std::optional<base::Duration> wait_for_turn(std::optional<Clock::time_point> last) {
        for (;;) {
            std::optional<Clock::time_point> due;
            {
                const std::lock_guard guard(mutex_);
                if (stopping_) return std::nullopt;
                if (deadline_ > base::Duration(0)) {
                    // Without a probe before it the first is due at once, however young the clock of this machine is.
                    due = last ? *last + interval_ : Clock::now();
                    if (woken_ || Clock::now() >= *due) {
                        woken_ = false;
                        return deadline_;
                    }
                }
            }
            const bool watched = due.has_value() && !noisy_;
            if (waker_.wait(due, watched ? link_->socket() : -1) == Waker::Reason::Socket) {
                const std::lock_guard guard(mutex_);
                by_socket_ = true;
                woken_ = true;
            }
        }
    }

    Observation probe(base::Duration deadline, const StarvationGauge& gauge) {
        Observation observation;
        observation.cluster = cluster_;
        observation.member = name_;
        observation.sequence = ++sequence_;
        const auto starved_before = gauge.waited();
        const auto sent = Clock::now();
        Answer answer = ask_twice_at_most(*link_, sent + deadline);
        const auto completed = Clock::now();
        observation.sent_at = mono(sent);
        observation.completed_at = mono(completed);
        auto* failure = std::get_if<ProbeFailure>(&answer);
        if (failure != nullptr && failure->kind == ProbeFailureKind::TimedOut && failure->code == 0) {
            // Woken much later than asked (stopped, or no processor to be had): the silence may be ours.
            const base::Duration overslept = completed - (sent + deadline);
            const base::Duration allowed = std::max<base::Duration>(deadline / 4, std::chrono::milliseconds(10));
            const bool late = overslept > allowed || gauge.waited() - starved_before > allowed;
            if (late) failure->kind = ProbeFailureKind::OurOwnDelay;
        }
        // A connection that spoke up, and answers all the same, is not listened to until the next turn: no busy loop.
        noisy_ = by_socket_ && failure == nullptr;
        by_socket_ = false;
        std::visit([&](auto&& value) { observation.result = std::forward<decltype(value)>(value); }, std::move(answer));
        return observation;
    }

    void run() {
        const StarvationGauge gauge;
        std::optional<Clock::time_point> last;
        while (const auto deadline = wait_for_turn(last)) {
            Observation observation = probe(*deadline, gauge);
            last = Clock::now();
            {
                const std::lock_guard guard(mutex_);
                if (stopping_) return;
            }
            on_observation_(std::move(observation));
        }
    }

    const std::string cluster_;
    const std::string name_;
    const Target target_;
    const std::function<void(Observation)>& on_observation_;
    const std::unique_ptr<MemberLink> link_;
    Waker waker_;
    // Starts at the time, so that the probes of a member that is configured anew go on where the former ones ended.
    std::uint64_t sequence_ = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
    bool by_socket_ = false;
    bool noisy_ = false;
    std::mutex mutex_;
    base::Duration interval_{0};
    base::Duration deadline_{0};  // 0: no cadence yet
    bool woken_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

Probes::Probes(std::function<void(Observation)> on_observation, Engines engines)
    : on_observation_(std::move(on_observation)), engines_(std::move(engines)) {}

Probes::~Probes() = default;

void Probes::configure(const clusters::ClusterConfig& config) {
    const auto engine = engines_.find(config.engine);
    SB_ASSERT(engine != engines_.end(), "every engine that can be configured has links");
    const std::lock_guard guard(mutex_);
    Members& members = clusters_[config.name];
    Members kept;
    for (const auto& member : config.members) {
        Target target = target_of(config, member);
        const auto found = members.find(member.name);
        if (found != members.end() && found->second->target() == target) {
            kept[member.name] = std::move(found->second);
        } else {
            auto link = engine->second(target);
            auto fresh =
                std::make_unique<Member>(config.name, member.name, std::move(target), std::move(link), on_observation_);
            if (found != members.end()) {
                found->second->pass_cadence(*fresh);
                found->second.reset();
            }
            kept[member.name] = std::move(fresh);
        }
    }
    std::erase_if(members, [](const auto& entry) { return entry.second == nullptr; });
    members.swap(kept);
}

void Probes::remove(const std::string& cluster) {
    const std::lock_guard guard(mutex_);
    clusters_.erase(cluster);
}

void Probes::set_cadence(const std::string& cluster, const std::string& member, base::Duration interval,
                         base::Duration deadline) {
    const std::lock_guard guard(mutex_);
    const auto members = clusters_.find(cluster);
    if (members == clusters_.end()) return;
    const auto found = members->second.find(member);
    if (found != members->second.end()) found->second->set_cadence(interval, deadline);
}

void Probes::wake(const std::string& cluster) {
    const std::lock_guard guard(mutex_);
    const auto members = clusters_.find(cluster);
    if (members == clusters_.end()) return;
    for (auto& [name, member] : members->second) member->wake();
}

}  // namespace signalbox::probing
