#pragma once
// What our own runs' outcomes say of zones, subnets and connections. Samples are few (a handful of runs an hour), so a
// breaker weighs evidence that decays instead of counting within a window, and lets one run at a time probe what it has
// closed off. Pure: the state is a fold over recorded outcomes, so it can be replayed.

#include <map>
#include <optional>
#include <span>
#include <string>
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
};

struct BreakerConfig {
    base::Duration half_life = std::chrono::minutes(20);  // of evidence
    double open_at = 0.9;         // decayed failures weigh this much more than decayed successes
    base::Duration probe_after = std::chrono::minutes(5);   // from the last failure to the first probe; doubles …
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
    std::string text() const;   // "open: 2.0 recent failures against 0.1 successes; tried again at …"
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
    // different connections or subnets of it fail. A success counts for all three.
    void record(const PlaceOutcome& outcome);
    static Breakers of(std::span<const PlaceOutcome> outcomes, BreakerConfig config = {});

    BreakerView zone(const std::string& id, base::WallTime now) const;
    BreakerView subnet(const std::string& id, base::WallTime now) const;
    BreakerView connection(const std::string& name, base::WallTime now) const;
    // `in_use`: attempts under way; a half-open place that one of them is using counts as open.
    Health health(const Connection& connection, const std::string& zone, std::span<const PlaceUse> in_use,
                  base::WallTime now) const;

  private:
    struct Evidence {
        double failures = 0;
        double successes = 0;
        base::WallTime at{};         // of the weights
        base::WallTime failed_at{};  // last
        int failed_probes = 0;       // in a row, after it opened
        std::string last_connection; // that failed here: for a zone's share
    };
    BreakerView view(const std::map<std::string, Evidence>& all, const std::string& key, base::WallTime now) const;

    BreakerConfig config_;
    std::map<std::string, Evidence> zones_;
    std::map<std::string, Evidence> subnets_;
    std::map<std::string, Evidence> connections_;
};

}  // namespace signalbox::jobs
