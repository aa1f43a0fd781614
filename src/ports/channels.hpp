#pragma once
// The world as channels need it: looks at replicas and slots, restarts of a receiving thread, and a memory that
// outlives the process. Calls to probes return at once; what comes of them reaches the loop later as events.

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "domain/channels/config.hpp"
#include "domain/channels/machine.hpp"
#include "domain/channels/memory.hpp"
#include "domain/channels/observation.hpp"
#include "ports/journal.hpp"

namespace signalbox::ports {

// A warm connection for each channel. Every look ends in exactly one channels::Observation, every restart in exactly
// one ChannelRestarted.
class ChannelProbes {
  public:
    virtual ~ChannelProbes() = default;
    // A channel of that name is taken over with its new configuration. It rests until it is given a cadence.
    virtual void configure(const channels::ChannelConfig& channel) = 0;
    virtual void remove(const std::string& channel) = 0;
    // The next look comes `interval` after the last one ended; `deadline` bounds one.
    virtual void set_cadence(const std::string& channel, base::Duration interval, base::Duration deadline) = 0;
    // Looks now.
    virtual void wake(const std::string& channel) = 0;
    // Slots: the writer to ask; an empty member: nobody. Replicas are asked at their own address.
    virtual void aim(const std::string& channel, const std::string& member, const base::HostPort& address) = 0;
    // Replicas: stops and starts the receiving thread. A thread that is found stopped is left alone (Refused), unless
    // `resume` says that we stopped it ourselves.
    virtual void restart(const std::string& channel, std::uint64_t serial, bool resume, base::Duration deadline) = 0;
};

struct ChannelRestarted {
    std::string channel;
    std::uint64_t serial = 0;
    channels::RestartOutcome outcome = channels::RestartOutcome::Unknown;
    std::string text;  // why not, for people
};

class ChannelStore {
  public:
    virtual ~ChannelStore() = default;
    // Nothing, if the channel was never stored.
    virtual base::Result<std::optional<channels::Memory>> load(const std::string& channel) = 0;
    virtual base::Status store(const std::string& channel, const channels::Memory& memory, Durability durability) = 0;
    // Of a channel that is configured no more.
    virtual base::Status forget(const std::string& channel) = 0;
};

}  // namespace signalbox::ports
