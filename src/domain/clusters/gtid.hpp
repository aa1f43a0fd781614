#pragma once
// MariaDB's GTID lists as values: "domain-server-sequence,…". Two kinds of text share this form: a position (one GTID
// per domain, @@gtid_slave_pos) and a state (one per domain and server, @@gtid_binlog_state). Source: MariaDB manual,
// "Global Transaction ID".

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace signalbox::clusters {

struct Gtid {
    std::uint32_t domain = 0;
    std::uint32_t server = 0;
    std::uint64_t sequence = 0;
    std::string text() const;
    friend auto operator<=>(const Gtid&, const Gtid&) = default;  // NOLINT(modernize-use-nullptr): a false finding
};

// The last sequence per domain and server. Ordered by domain, then server; each pair at most once.
class GtidState {
  public:
    // CorruptData for anything else than a list of GTIDs (spaces and line breaks around them allowed, as the server
    // prints them; at most 4096 of them). An empty text is the empty state. Of a pair that occurs twice the larger
    // sequence counts.
    static base::Result<GtidState> parse(std::string_view text);

    bool empty() const { return last_.empty(); }
    const std::vector<Gtid>& list() const { return last_; }
    std::string text() const;
    // Sequence of this domain and server, 0 if there is none.
    std::uint64_t sequence(std::uint32_t domain, std::uint32_t server) const;
    // Every pair of `other` is here with a sequence at least as large.
    bool contains(const GtidState& other) const { return !first_missing(other); }
    // What `other` has and this has not: the first such GTID of `other`.
    std::optional<Gtid> first_missing(const GtidState& other) const;
    void add(const Gtid& gtid);
    // The maximum per domain and server.
    void join(const GtidState& other);
    // Per domain only the newest GTID (both, if two servers share the newest sequence: histories that went apart).
    // In one history sequences grow per domain, so whoever has the newest has what came before it.
    GtidState newest_per_domain() const;

    friend bool operator==(const GtidState&, const GtidState&) = default;

  private:
    std::vector<Gtid> last_;
};

}  // namespace signalbox::clusters
