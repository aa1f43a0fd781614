#pragma once
// MariaDB's global transaction ids ("domain-server-sequence", lists separated by commas) as sets that can be compared:
// https://mariadb.com/kb/en/gtid/. Under gtid_strict_mode the sequence only grows within a domain.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "lab/position.hpp"

namespace signalbox::lab {

// "" or "0-1-57,1-2-3": the last transaction of each domain. Errors: CorruptData.
base::Result<Position> parse_gtid_position(std::string_view text);

// A binlog state (@@gtid_binlog_state): the last transaction of each domain and server that wrote in it. Two servers
// with the same position can differ here: then each has transactions that the other lacks.
class GtidState {
  public:
    static base::Result<GtidState> parse(std::string_view text);
    // Everything that `other` holds is here, too.
    bool contains(const GtidState& other) const;

  private:
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> sequences_;
};

}  // namespace signalbox::lab
