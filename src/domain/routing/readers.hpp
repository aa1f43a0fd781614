#pragma once
// Which members a reader endpoint's clients may go to, and with what share: decided from what is known of the members
// and from what was decided before, so that a member at the edge of `max_lag` does not flap.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "base/time.hpp"
#include "domain/routing/endpoint.hpp"

namespace signalbox::routing {

enum class Presence {
    Away,     // silent, refused or reset: its sessions end
    Unsure,   // it answers, but not with what says its role: running sessions may stay
    Answers,  // with fresh evidence
};

// What is known of one member now.
struct ReaderFact {
    std::string member;
    base::HostPort address;
    Presence presence = Presence::Away;
    std::optional<Role> role;  // by its last evidence; Writer only for the one that is believed; none: neither
    std::optional<base::Duration> lag;
};

class ReaderPool {
  public:
    explicit ReaderPool(ReaderConfig config) : config_(config) {}
    void configure(const ReaderConfig& config) { config_ = config; }
    const ReaderConfig& config() const { return config_; }

    // The targets now, in the order of the facts. A reader behind by more than max_lag, or by nobody knows how much, is
    // draining until it is within four fifths of max_lag again. Shares grow from 10 to 100 in ten steps over
    // slow_start, from when a member became usable.
    std::vector<ReaderTarget> update(const std::vector<ReaderFact>& facts, base::MonoTime now);
    // When a share grows next if nothing else changes; none: never.
    std::optional<base::MonoTime> next_change() const { return next_change_; }

  private:
    struct Known {
        std::optional<base::MonoTime> usable_since;  // none: not usable
    };
    enum class Use { Out, Draining, Usable };
    Use use_of(const ReaderFact& fact, bool alone) const;
    ReaderTarget target(const ReaderFact& fact, Use use, base::MonoTime now);

    ReaderConfig config_;
    std::map<std::string, Known> known_;  // those that were targets at the last update
    std::optional<base::MonoTime> next_change_;
};

}  // namespace signalbox::routing
