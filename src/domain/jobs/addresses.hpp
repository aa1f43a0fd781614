#pragma once
// The ledger of addresses that the provider's count of free ones does not tell: those that starting runs have been
// promised, and those that ended runs' interfaces still hold. It is level-triggered: each look at the nodes and at the
// provider's interfaces brings every row up to date, whatever was missed before.
//
// A row's life: reserved with the decision (Starting) → its node's interface is among the facts (Held) → its node has
// ended, the interface is still there (Lingering) → gone.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::jobs {

enum class AddressKind {
    Starting,   // promised to a node: not available to others
    Held,       // by a node's interface, and so no longer counted as free by the provider
    Lingering,  // by the interface of a node that has ended; the subnet will get it back
};
std::string_view to_string(AddressKind kind);  // "starting"
std::optional<AddressKind> parse_address_kind(std::string_view text);

struct AddressRow {
    std::string token;  // of the node's launch: one row each
    std::string run;
    std::string subnet;
    AddressKind kind = AddressKind::Starting;
    base::WallTime since{};  // of this kind; for Lingering: when the node ended
    std::string address;     // empty until it is known
    friend bool operator==(const AddressRow&, const AddressRow&) = default;
};

// An interface among the provider's facts.
struct InterfaceSeen {
    std::string token;  // empty if the provider does not tell: then the address must do
    std::string address;
    std::string subnet;
};

// What is known of a row's node.
struct NodeSeen {
    std::string token;
    std::string address;   // empty if not known
    bool dropped = false;  // it was never started, and never will be
    std::optional<base::WallTime> started_at;
    std::optional<base::WallTime> ended_at;
};

// How long interfaces linger in a subnet, as ended nodes showed.
struct LingerView {
    base::Duration mean{};   // 0 where nothing is known
    base::Duration upper{};  // nine of ten were gone by then
};

// The last times per subnet, the newer ones weighing more. Bounded.
class LingerMemory {
  public:
    static constexpr std::size_t samples_max = 32;  // per subnet
    static constexpr base::Duration half_life = std::chrono::hours(6);
    static constexpr base::Duration linger_max = std::chrono::hours(2);  // longer ones count as this

    // An interface was gone `lasted` after its node's end. In the order of time.
    void learn(const std::string& subnet, base::Duration lasted, base::WallTime at);
    LingerView view(const std::string& subnet, base::WallTime now) const;

    base::json::object to_json() const;
    // CorruptData names the field.
    static base::Result<LingerMemory> parse(const base::json::value& value);
    friend bool operator==(const LingerMemory&, const LingerMemory&) = default;

  private:
    struct Sample {
        base::WallTime at{};
        base::Duration lasted{};
        friend bool operator==(const Sample&, const Sample&) = default;
    };
    std::map<std::string, std::vector<Sample>> subnets_;
};

struct ComingBack {
    std::uint64_t addresses = 0;
    std::optional<base::WallTime> at;  // when the first of them is expected; nothing: all are later than expected
};

class AddressLedger {
  public:
    AddressLedger() = default;
    AddressLedger(std::vector<AddressRow> rows, LingerMemory memory);

    // An address each for the tokens of a run that was decided. A token that has a row already keeps it.
    void reserve(const std::string& run, const std::string& subnet, std::span<const std::string> tokens,
                 base::WallTime now);
    // Nodes: those of all Starting and Held rows; a row whose node is missing is of one that nobody knows any more.
    // Interfaces: all of the provider's, as read at `facts_at`. Nothing is concluded from facts that are older than
    // what they are asked about: until then a row stays as it is, so an address is at worst counted twice. What another
    // process saw in newer facts is free in these, so it counts as promised.
    void settle(std::span<const NodeSeen> nodes, std::span<const InterfaceSeen> interfaces, base::WallTime facts_at);

    // Promised to starting runs, or taken since the facts of the last settle: to be taken off what these count as free.
    std::uint64_t reserved(const std::string& subnet) const;
    // Held by ended runs, and counted as taken by the provider.
    ComingBack coming_back(const std::string& subnet, base::WallTime now) const;

    const std::vector<AddressRow>& rows() const { return rows_; }
    const LingerMemory& memory() const { return memory_; }

  private:
    struct Totals {
        std::uint64_t reserved = 0;
        std::vector<base::WallTime> ended;  // of each lingering one
    };
    void add(const AddressRow& row);

    std::vector<AddressRow> rows_;
    LingerMemory memory_;
    base::WallTime facts_at_ = base::WallTime::max();  // of the last settle
    std::unordered_map<std::string, Totals> subnets_;  // of the rows
    std::unordered_set<std::string> tokens_;
};

}  // namespace signalbox::jobs
