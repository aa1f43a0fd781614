#pragma once
// The table in the kernel as values, and as the text that nft reads. Pure: what the rules say can be tested without a
// kernel. The chains are explained in docs/adr/0007-kernel-endpoints.md.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/nftables/address.hpp"
#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/routing/endpoint.hpp"

namespace signalbox::kernel {

// The conntrack mark of a flow: who stamped it, and for which (endpoint, epoch, address).
using Stamp = std::uint32_t;
constexpr Stamp stamp_number_mask = 0x000f'ffff;
constexpr Stamp stamp_owner_mask = 0xfff0'0000;

// Where flows of an endpoint go, or still may go.
struct Target {
    Stamp stamp = 0;
    std::uint64_t epoch = 0;  // of readers: 0
    std::string member;       // a name (base::is_name), or empty
    Address address;
    std::uint32_t weight = 100;
    bool admits = true;  // new flows too
    friend bool operator==(const Target&, const Target&) = default;
};

struct Counts {
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;
    std::uint64_t bytes_to_server = 0;  // with their IP headers
    std::uint64_t bytes_to_client = 0;
    friend bool operator==(const Counts&, const Counts&) = default;
};

// One endpoint as the kernel serves it.
struct Door {
    Address listen;
    routing::Role role = routing::Role::Writer;
    std::string cluster;
    bool masquerade = true;
    base::Duration lease = std::chrono::seconds(5);  // 0: it lasts (on_daemon_loss static)
    std::uint64_t flows_max = 20'000;
    bool barred = false;    // clients of other hosts are refused: this host does not forward
    bool admitted = false;  // the lease is there: new flows are taken
    std::vector<Target> targets;
    Counts counts;  // where the kernel's counters start when the table is written whole

    std::string id() const;  // of its chains and counters; the same for the same address
    friend bool operator==(const Door&, const Door&) = default;
};

struct Table {
    std::string name;
    Stamp owner = 0;           // its bits of stamp_owner_mask
    bool drop_invalid = true;  // false: reset what conntrack cannot place (nf_conntrack_tcp_loose is 0)
    std::vector<Door> doors;
};

// The table's name and stamps for an instance.
std::string table_name(std::string_view instance);
Stamp owner_of(std::string_view instance);
// The packet mark (not the flow's) of our own questions to silent peers: these are not tracked.
Stamp question_mark(const Table& table);

// A transaction that puts the whole table in place of what is there.
std::string whole_text(const Table& table);
// A transaction that turns `before` into `after` (same address, role, cluster, lease and limits): its targets, and
// whether new flows are taken.
std::string change_text(const Table& table, const Door& before, const Door& after);
// A transaction that gives every admitted door its whole lease again; empty if there is none that runs out.
std::string renewal_text(const Table& table);

// What `nft -j list table` printed: the doors with their targets (admitting none) and counts, admitted if the lease was
// there. Errors: CorruptData.
base::Result<std::vector<Door>> parse_table(std::string_view json);
// What `nft -j list counters table` printed, by Door::id(). Errors: CorruptData.
base::Result<std::map<std::string, Counts>> parse_counts(std::string_view json);

}  // namespace signalbox::kernel
