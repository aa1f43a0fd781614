#pragma once
// What our own runs' outcomes say of zones, subnets and connections. Samples are few (a handful of runs an hour), so a
// breaker weighs evidence that decays instead of counting within a window, and lets one run at a time probe what it has
// closed off. Pure: the state is a fold over recorded outcomes, so it can be replayed.

#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::jobs {

// How one attempt ended, as far as its place is concerned.
struct PlaceOutcome {
    base::WallTime at{};
    std::string run;  // the attempt's id
    std::string connection;
    std::string subnet;
    std::string zone;
    // Nothing: it succeeded. Transient and Permanent failures say nothing about the place and leave it as it is.
    std::optional<RetryClass> failure;
};

// An attempt that was started and has not ended: while one runs where a breaker is half open, no other probes it.
struct PlaceUse {
    std::string connection;
    std::string subnet;
    std::string zone;
    // When it started: one that was there before its place became half open is no probe. Not set: it may be one.
    base::WallTime since{};
};

struct BreakerConfig {
    base::Duration half_life = std::chrono::minutes(20);  // of evidence
    // It opens when its failures weigh so much more than its successes; success_max is less than two failures and more
    // than one minus this, so that one failure where runs succeeded just now does not open it and a second one does.
    double open_at = 0.9;
    double close_at = 0.1;    // an open one whose failures have decayed to this is closed
    double failure_max = 4;   // what failures and successes can weigh together: what is long past does
    double success_max = 1;   // not outweigh what happens now
    double zone_share = 0.5;  // of a connection's failure, for its zone, until another connection of it fails too
    double zone_failure = 2;  // the weight of a failure of class Zone
    base::Duration probe_after = std::chrono::minutes(5);       // from the last failure to the first probe; doubles …
    base::Duration probe_after_max = std::chrono::minutes(40);  // … up to this with each failed probe
};

enum class BreakerState {
    Closed,    // nothing speaks against it
    Open,      // not to be used while anything else is left
    HalfOpen,  // one run may try it
};
std::string_view to_string(BreakerState state);  // "closed"

struct BreakerView {
    BreakerState state = BreakerState::Closed;
    base::WallTime probe_at{};  // for Open: when it becomes half open
    double failures = 0;        // decayed weights at the time of the view
    double successes = 0;
    std::string text() const;  // "open: 2.0 recent failures against 0.1 successes; tried again at …"
};

// The worst of a candidate's three breakers, and which one it is.
struct Health {
    BreakerState state = BreakerState::Closed;
    double badness = 0;  // 0 (nothing known against it) … 1; orders candidates of one state
    std::string reason;  // empty when closed and nothing is against it
    friend bool operator==(const Health&, const Health&) = default;
};

class Breakers {
  public:
    explicit Breakers(BreakerConfig config = {}) : config_(config) {}
    // In the order of time. Evidence of a failure of class Zone counts against zone, subnet and connection; of class
    // Connection against connection and subnet fully, and against the zone with a share that becomes whole when
    // different connections or subnets of it fail. A success counts for all three, and closes what is half open.
    void record(const PlaceOutcome& outcome);
    static Breakers of(std::span<const PlaceOutcome> outcomes, BreakerConfig config = {});

    BreakerView zone(const std::string& id, base::WallTime now) const { return view(find(zones_, id), now); }
    BreakerView subnet(const std::string& id, base::WallTime now) const { return view(find(subnets_, id), now); }
    BreakerView connection(const std::string& name, base::WallTime now) const {
        return view(find(connections_, name), now);
    }
    // `in_use`: attempts under way; a half-open place that one of them is using counts as open.
    Health health(const Connection& connection, const std::string& zone, std::span<const PlaceUse> in_use,
                  base::WallTime now) const;

    // The same for many connections at one moment: what is true of a zone is found once. Refers to the breakers and the
    // attempts.
    class Moment {
      public:
        Moment(const Breakers& breakers, std::span<const PlaceUse> in_use, base::WallTime now)
            : breakers_(breakers), in_use_(in_use), now_(now) {}
        Health health(const Connection& connection, const std::string& zone);

      private:
        struct Place;
        Place look(const char* subject, const std::string& name, const BreakerView& view,
                   std::string PlaceUse::*used) const;

        const Breakers& breakers_;
        std::span<const PlaceUse> in_use_;
        base::WallTime now_;
        std::unordered_map<std::string, Health> zones_;
    };

  private:
    struct Evidence {
        double failures = 0;
        double successes = 0;
        base::WallTime at{};          // of the weights
        base::WallTime failed_at{};   // last
        bool opened = false;          // since it opened, neither a probe succeeded nor was enough forgotten
        int failed_probes = 0;        // in a row, after it opened
        double share_kept = 0;        // of a zone: what its failures would weigh more if another connection failed too
        std::string last_connection;  // that failed here, and its subnet: for a zone's share
        std::string last_subnet;
    };
    using Places = std::unordered_map<std::string, Evidence>;

    static const Evidence* find(const Places& places, const std::string& key);
    double decay(const Evidence& evidence, base::WallTime now) const;
    base::WallTime probe_at(const Evidence& evidence) const;
    BreakerView view(const Evidence* evidence, base::WallTime now) const;
    void settle(Evidence& evidence, base::WallTime now) const;
    void fail(Evidence& evidence, double weight, base::WallTime now) const;
    void succeed(Evidence& evidence, base::WallTime now) const;
    double zone_weight(Evidence& evidence, const PlaceOutcome& outcome) const;

    BreakerConfig config_;
    Places zones_;
    Places subnets_;
    Places connections_;
};

}  // namespace signalbox::jobs
