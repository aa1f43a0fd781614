#include "adapters/probing/channel_probes.hpp"

#include <optional>
#include <thread>

#include "adapters/probing/waker.hpp"
#include "base/assert.hpp"

namespace signalbox::probing {
namespace {

base::MonoTime mono(Clock::time_point time) { return base::MonoTime(time.time_since_epoch()); }

}  // namespace

class ChannelProbes::Channel {
  public:
    Channel(const ChannelProbes& owner, channels::ChannelConfig config, std::unique_ptr<ChannelLink> link)
        : owner_(owner), config_(std::move(config)), link_(std::move(link)), thread_([this] { run(); }) {}

    ~Channel() {
        {
            const std::lock_guard guard(mutex_);
            wanted_.stopping = true;
        }
        waker_.wake();
        link_->cancel();
        thread_.join();
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    void set_cadence(base::Duration interval, base::Duration deadline) {
        change([&](Wanted& wanted) {
            wanted.interval = interval;
            wanted.deadline = deadline;
        });
    }
    void look() {
        change([](Wanted& wanted) { wanted.look = true; });
    }
    void aim(const std::string& member, const base::HostPort& address) {
        change([&](Wanted& wanted) {
            wanted.member = member;
            wanted.address = address;
            ++wanted.aimed;
            wanted.look = true;
        });
    }
    void restart(std::uint64_t serial, bool resume, base::Duration deadline) {
        change([&](Wanted& wanted) { wanted.restart = Restart{serial, resume, deadline}; });
    }

  private:
    struct Restart {
        std::uint64_t serial = 0;
        bool resume = false;
        base::Duration deadline{0};
    };
    struct Wanted {
        base::Duration interval{0};
        base::Duration deadline{0};  // 0: no cadence yet
        bool look = false;
        std::optional<Restart> restart;
        std::string member;
        base::HostPort address;
        std::uint64_t aimed = 0;
        bool stopping = false;
    };

    template <typename Change>
    void change(const Change& apply) {
        {
            const std::lock_guard guard(mutex_);
            apply(wanted_);
        }
        waker_.wake();
    }

    // What is to be done now; waits until there is something. `last`: of the looks, if there was one: the first is due.
    Wanted next(std::optional<Clock::time_point> last) {
        for (;;) {
            std::optional<Clock::time_point> due;
            {
                const std::lock_guard guard(mutex_);
                const bool resting = wanted_.deadline <= base::Duration(0) ||
                                     (config_.kind == channels::Kind::Slot && wanted_.member.empty());
                if (!resting) due = last ? *last + wanted_.interval : Clock::now();
                const bool look = !resting && (wanted_.look || Clock::now() >= *due);
                if (wanted_.stopping || wanted_.restart || look) {
                    Wanted now = wanted_;
                    now.look = look;
                    if (look) wanted_.look = false;
                    wanted_.restart.reset();
                    return now;
                }
            }
            waker_.wait(due, -1);
        }
    }

    bool stopping() {
        const std::lock_guard guard(mutex_);
        return wanted_.stopping;
    }

    void run() {
        std::optional<Clock::time_point> last;
        std::uint64_t aimed = 0;
        for (;;) {
            const Wanted wanted = next(last);
            if (wanted.stopping) return;
            if (wanted.aimed != aimed) {
                aimed = wanted.aimed;
                link_->aim(wanted.address);
            }
            if (wanted.restart) {
                const auto answer = link_->restart(wanted.restart->resume, Clock::now() + wanted.restart->deadline);
                if (stopping()) return;
                owner_.on_restarted_({config_.name, wanted.restart->serial, answer.outcome, answer.text});
            }
            if (!wanted.look) continue;
            channels::Observation seen;
            seen.channel = config_.name;
            seen.member = wanted.member;
            const auto sent = Clock::now();
            auto answer = link_->look(sent + wanted.deadline);
            last = Clock::now();
            seen.sent_at = mono(sent);
            seen.completed_at = mono(*last);
            std::visit([&](auto&& value) { seen.result = std::forward<decltype(value)>(value); }, std::move(answer));
            if (stopping()) return;
            owner_.on_seen_(std::move(seen));
        }
    }

    const ChannelProbes& owner_;
    const channels::ChannelConfig config_;
    const std::unique_ptr<ChannelLink> link_;
    Waker waker_;
    std::mutex mutex_;
    Wanted wanted_;
    std::thread thread_;
};

ChannelProbes::ChannelProbes(OnSeen on_seen, OnRestarted on_restarted, ChannelKinds kinds)
    : on_seen_(std::move(on_seen)), on_restarted_(std::move(on_restarted)), kinds_(std::move(kinds)) {}

ChannelProbes::~ChannelProbes() = default;

void ChannelProbes::configure(const channels::ChannelConfig& channel) {
    const auto connect = kinds_.find(channel.kind);
    SB_ASSERT(connect != kinds_.end(), "every kind of channel that can be configured has an adapter");
    const std::lock_guard guard(mutex_);
    channels_.erase(channel.name);
    channels_[channel.name] = std::make_unique<Channel>(*this, channel, connect->second(channel));
}

void ChannelProbes::remove(const std::string& channel) {
    const std::lock_guard guard(mutex_);
    channels_.erase(channel);
}

void ChannelProbes::set_cadence(const std::string& channel, base::Duration interval, base::Duration deadline) {
    const std::lock_guard guard(mutex_);
    const auto found = channels_.find(channel);
    if (found != channels_.end()) found->second->set_cadence(interval, deadline);
}

void ChannelProbes::wake(const std::string& channel) {
    const std::lock_guard guard(mutex_);
    const auto found = channels_.find(channel);
    if (found != channels_.end()) found->second->look();
}

void ChannelProbes::aim(const std::string& channel, const std::string& member, const base::HostPort& address) {
    const std::lock_guard guard(mutex_);
    const auto found = channels_.find(channel);
    if (found != channels_.end()) found->second->aim(member, address);
}

void ChannelProbes::restart(const std::string& channel, std::uint64_t serial, bool resume, base::Duration deadline) {
    const std::lock_guard guard(mutex_);
    const auto found = channels_.find(channel);
    if (found != channels_.end()) found->second->restart(serial, resume, deadline);
}

}  // namespace signalbox::probing
