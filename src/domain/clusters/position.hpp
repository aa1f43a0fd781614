#pragma once
// How far a member is, as a value of one algebra for all engines: what it has, what was confirmed, what is missing.
// docs/adr/0005-data-planes-and-engines.md says how the engines' own forms fit it.

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.hpp"
#include "domain/clusters/config.hpp"
#include "domain/clusters/evidence.hpp"
#include "domain/clusters/gtid.hpp"
#include "domain/clusters/gtid_set.hpp"
#include "domain/clusters/timelines.hpp"

namespace signalbox::clusters {

class Position {
  public:
    // The engine's text: a MariaDB GTID list, a MySQL GTID set, a PostgreSQL history of timelines. CorruptData for
    // anything else; the size is bounded. An empty text is the empty position of any engine.
    static base::Result<Position> parse(Engine engine, std::string_view text);

    bool empty() const;
    std::string text() const;
    bool contains(const Position& other) const { return !first_missing(other); }
    // The first part of `other` that this has not. Of another engine everything is missing.
    std::optional<Position> first_missing(const Position& other) const;
    // Of two histories this is the later one by what the database itself keeps: it contains the other, which does not
    // contain it; PostgreSQL: it was promoted from the other's timeline.
    bool newer_than(const Position& other) const;
    // What either has. Both are of one engine, or one is empty.
    void join(const Position& other);
    // As much as must be asked of a server to know that it has all: MariaDB the newest GTID per domain, MySQL the whole
    // set, PostgreSQL the last timeline and where it branched off.
    Position newest() const;
    // What the server that answered so wrote itself: under its own id, under its uuid, on the timeline that it is on.
    Position written_by(const Evidence& server) const;
    // What a replica that has this, and answered so, confirms of the writer's history: not what it wrote itself, and
    // nothing of a timeline that the writer is not on, unless it branched off the writer's: then the answer is newer.
    Position confirms(const Evidence& replica, const Position& writer) const;

    friend bool operator==(const Position& a, const Position& b);

  private:
    std::variant<GtidState, GtidSet, Timelines> value_;
};

}  // namespace signalbox::clusters
