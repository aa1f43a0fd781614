#pragma once
// What a channel must still know after a restart of the daemon: a restart of its thread that was under way, what a slot
// had, and what was lost and nobody has acknowledged yet.

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"

namespace signalbox::channels {

// Something that does not mend itself: data that will not be delivered, or was delivered and is no more.
struct Finding {
    std::string kind;  // the alarm: "slot-missing", "slot-recreated", "channel-diverged"
    std::uint64_t epoch = 0;
    std::uint64_t from_lsn = 0;  // the range at risk
    std::uint64_t to_lsn = 0;
    std::string text;
    friend bool operator==(const Finding&, const Finding&) = default;
};

struct Memory {
    // Replicas: a STOP was sent by us, and no START is known to have followed.
    bool restarting = false;
    // Slots: what was seen last, and where.
    std::uint64_t epoch = 0;  // 0: never seen
    std::string member;
    std::uint64_t timeline = 0;
    std::uint64_t restart_lsn = 0;
    std::uint64_t confirmed_lsn = 0;
    bool missing = false;           // seen missing since then
    std::vector<Finding> findings;  // at most findings_max, the oldest first
    friend bool operator==(const Memory&, const Memory&) = default;

    static constexpr std::size_t findings_max = 16;
};

base::json::object to_json(const Finding& finding);
base::json::object to_json(const Memory& memory);
// CorruptData for anything that to_json did not write.
base::Result<Memory> memory_from_json(const base::json::value& value);

}  // namespace signalbox::channels
