#pragma once
// Looks at channels of every kind: a thread and a warm connection for each, so that a replica that hangs delays nobody
// else. The same thread restarts a receiving thread, so that no look comes between the stop and the start.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <variant>

#include "adapters/probing/member_link.hpp"
#include "ports/channels.hpp"

namespace signalbox::probing {

using ChannelAnswer = std::variant<channels::ReplicaStatus, channels::SlotStatus, channels::Failure>;

struct RestartAnswer {
    channels::RestartOutcome outcome = channels::RestartOutcome::Unknown;
    std::string text;  // why not
};

// A warm connection to one channel's server. One thread at a time, but for cancel(). Every call ends at its deadline.
class ChannelLink {
  public:
    virtual ~ChannelLink() = default;
    // One look; connects first where there is no connection.
    virtual ChannelAnswer look(Clock::time_point until) = 0;
    // Another server is meant from now on.
    virtual void aim(const base::HostPort& address) = 0;
    virtual RestartAnswer restart(bool resume, Clock::time_point until) = 0;
    // Makes a running call and all later ones end soon. From any thread, for good.
    virtual void cancel() = 0;
};

using ChannelConnector = std::function<std::unique_ptr<ChannelLink>(const channels::ChannelConfig&)>;
// What each kind's links are made by.
using ChannelKinds = std::map<channels::Kind, ChannelConnector>;

class ChannelProbes final : public ports::ChannelProbes {
  public:
    using OnSeen = std::function<void(channels::Observation)>;
    using OnRestarted = std::function<void(ports::ChannelRestarted)>;
    // Both are called from the channels' threads.
    ChannelProbes(OnSeen on_seen, OnRestarted on_restarted, ChannelKinds kinds);
    // Stops and joins; what runs is cancelled.
    ~ChannelProbes() override;

    void configure(const channels::ChannelConfig& channel) override;
    void remove(const std::string& channel) override;
    void set_cadence(const std::string& channel, base::Duration interval, base::Duration deadline) override;
    void wake(const std::string& channel) override;
    void aim(const std::string& channel, const std::string& member, const base::HostPort& address) override;
    void restart(const std::string& channel, std::uint64_t serial, bool resume, base::Duration deadline) override;

  private:
    class Channel;
    const OnSeen on_seen_;
    const OnRestarted on_restarted_;
    const ChannelKinds kinds_;
    std::mutex mutex_;
    std::map<std::string, std::unique_ptr<Channel>> channels_;
};

}  // namespace signalbox::probing
