#pragma once
// What the downtime meter recorded: one sample per operation, and the recording that holds them with the names that
// they refer to. Values only; the arithmetic on them is in outage.hpp, analysis.hpp and ledger.hpp.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"

namespace signalbox::meter {

using base::Duration;
using base::MonoTime;

enum class Kind : std::uint8_t { Write, Read, Role, Dns };
// Unknown: the statement was sent and may have been executed, and nobody said so.
enum class Outcome : std::uint8_t { Ok, Failed, Unknown };

std::string_view to_string(Kind kind);
std::string_view to_string(Outcome outcome);

// One operation of one worker on one path.
struct Sample {
    MonoTime sent_at{};
    MonoTime completed_at{};
    // Write: the row's number in its path's ledger, from 1; 0 when no statement was sent. Read: the highest number
    // seen.
    std::uint64_t number = 0;
    // The server's or client library's error code; negative: getaddrinfo's; 0 with a bad outcome: no answer in time.
    int code = 0;
    std::uint32_t server = 0;  // index into Recording::texts: which server answered; 0 = nobody
    std::uint32_t text = 0;    // index into Recording::texts: Role "writer" or "reader", Dns the answer
    std::uint16_t path = 0;    // index into Recording::paths
    Kind kind = Kind::Write;
    Outcome outcome = Outcome::Ok;
};

struct PathInfo {
    std::string name;
    std::string group;    // the name without "-N"; the paths to the members of one cluster form one group
    bool member = false;  // the name ends in "-N": it leads to one server and to no other
    bool writes = true;   // false: a reader endpoint, which is only read from
    bool named = false;   // its host is a name that DNS answers for
};

// Splits "direct-2" into the group "direct" and true; "dns" into "dns" and false.
PathInfo describe_path(std::string_view name);

struct Event {
    MonoTime at{};
    std::string kind;  // "failover-started", "failover-completed"
    std::string message;
};

// A row that was in a member's table at some time, committed or not (read uncommitted).
struct RowId {
    std::uint16_t path = 0;
    std::uint64_t number = 0;
    friend auto operator<=>(const RowId&, const RowId&) = default;  // NOLINT(modernize-use-nullptr): a false finding
};

struct Recording {
    std::vector<PathInfo> paths;
    std::vector<std::string> texts{std::string()};  // texts[0] is ""
    std::vector<Sample> samples;                    // in any order
    std::vector<Event> events;
    std::vector<RowId> seen_rows;  // sorted, each once
    MonoTime started_at{};
    MonoTime ended_at{};
    base::WallTime started_at_wall{};
    Duration interval{};
    std::optional<MonoTime> fault_at;  // when the caller knows it
    std::uint64_t ticks_skipped = 0;   // an operation was still under way at its worker's next tick
    std::uint64_t ticks_late = 0;      // our own worker woke more than an interval too late
    Duration lag_max{};                // the latest wake-up of all
};

// 1290, 1792, 1836: the server answers and takes no writes.
bool is_read_only_refusal(int code);
// The outcome of a write that ended with an error: a server's own refusal is Failed, but errors that a server gives
// while a commit may be under way (shutdown, killed, interrupted, error during commit) leave it Unknown, as does a
// client library's code (2000–2999) or silence once the statement was sent.
Outcome write_outcome(bool statement_sent, int code);
// How a code is named in tables and JSON: "1290", "timeout" for 0, "dns -3" for getaddrinfo's.
std::string code_name(int code);

}  // namespace signalbox::meter
