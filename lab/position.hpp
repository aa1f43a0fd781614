#pragma once
// How far a member's history reaches, in a form that every engine's positions fit in.

#include <cstdint>
#include <map>
#include <string>

#include "base/error.hpp"

namespace signalbox::lab {

struct Position {
    std::string text;                           // as the engine writes it
    std::map<std::string, std::uint64_t> last;  // of each stream (a domain, a server, the log) its last number

    // Nothing in `other` is later than this.
    bool covers(const Position& other) const;
    bool empty() const { return last.empty(); }
};

// A place in PostgreSQL's write-ahead log, "16/B374D848", as pg_lsn prints it. Errors: CorruptData.
base::Result<Position> parse_lsn(std::string_view text);

// MySQL's GTID set, "3e11fa47-…:1-57:60,…:tag:1-3": of each server (and tag) the last number. A lab's members write one
// after the other, so that sets have no gaps that would matter. Errors: CorruptData.
base::Result<Position> parse_gtid_set(std::string_view text);

}  // namespace signalbox::lab
