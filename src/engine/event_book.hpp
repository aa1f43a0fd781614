#pragma once
// What others said had happened in a cluster: each is journaled with what it led to, and does no more than wake the
// probes. Bounded, so that a flood of them costs a counter each.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"
#include "ports/follow.hpp"

namespace signalbox::engine {

class EventBook {
  public:
    // Events that are journaled per second; of the rest only the number is.
    static constexpr std::uint64_t per_second_max = 20;
    static constexpr base::Duration settle_max = std::chrono::seconds(1);
    static constexpr std::size_t text_max = 500;  // bytes of each text that are kept

    // What a cluster is like, for comparison.
    struct Sight {
        std::string state;
        std::uint64_t epoch = 0;
        std::string writer;
        bool held = true;
        friend bool operator==(const Sight&, const Sight&) = default;
    };
    struct Entry {
        std::string kind;  // "event", "event-outcome", "events-not-recorded"
        base::json::object data;
    };

    // Takes the event; true if the probes are to be woken. Entries for the journal come from due().
    bool take(const ports::ExternalEvent& event, const Sight& sight, base::MonoTime now);
    // A probe of this member, sent then, has ended.
    void probed(const std::string& member, base::MonoTime sent_at);
    // What is to be journaled now; every member of `members` must have been probed since an event, or a second passed.
    std::vector<Entry> due(const std::vector<std::string>& members, const Sight& sight, base::MonoTime now);
    // When due() is to be asked at the latest; MonoTime::max() if nothing waits.
    base::MonoTime next_deadline() const;
    bool idle() const { return open_.empty() && entries_.empty() && uncounted_ == 0; }

  private:
    struct Open {
        base::MonoTime at{};
        base::json::object which;  // source, id, kind
        Sight before;
    };
    std::deque<Open> open_;  // at most per_second_max: what is older than settle_max is settled
    std::vector<Entry> entries_;
    std::map<std::string, base::MonoTime> asked_;  // sent_at of each member's newest probe
    base::MonoTime second_{};
    std::uint64_t in_second_ = 0;
    std::uint64_t uncounted_ = 0;  // events of this second beyond the bound
};

}  // namespace signalbox::engine
