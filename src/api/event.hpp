#pragma once
// What others may tell of a cluster (POST /v1/events): read leniently, since it decides nothing, and bounded.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/time.hpp"
#include "ports/follow.hpp"

namespace signalbox::api {

inline constexpr std::size_t event_body_max_bytes = 16 << 10;

// Reads {"cluster", "id"?, "kind"?, "text"?, "source"?}, or an event of Amazon RDS as EventBridge delivers it
// ("detail-type", "detail": {"SourceIdentifier", "EventID", "Message"}; Amazon RDS User Guide, "Overview of events").
// `cluster`, if not empty, is taken in place of what the body says. Longer texts are cut, control characters become
// spaces; the source is "webhook" with what the body calls itself behind it. Errors: InvalidArgument.
base::Result<ports::ExternalEvent> read_event(std::string_view body, const std::string& cluster);

// So many events of each source per second, and as many at once; of all sources together four times that. Sources past
// the most that are told apart share one share.
class EventLimit {
  public:
    static constexpr std::uint64_t per_second = 50;
    static constexpr std::size_t sources_max = 64;

    bool allow(const std::string& source, base::MonoTime now);

  private:
    struct Bucket {
        double tokens = 0;
        base::MonoTime filled{};
    };
    static bool take(Bucket& bucket, double rate, base::MonoTime now);

    std::map<std::string, Bucket> buckets_;
    Bucket all_{4.0 * per_second, {}};
};

}  // namespace signalbox::api
