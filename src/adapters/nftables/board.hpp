#pragma once
// The kernel's table as it should be and as it is, and the flows that run through it. Synchronous and without threads:
// KernelRoutes calls it from one thread at a time.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/nftables/conntrack.hpp"
#include "adapters/nftables/host.hpp"
#include "adapters/nftables/nft.hpp"
#include "adapters/nftables/plan.hpp"
#include "adapters/nftables/questions.hpp"
#include "adapters/nftables/table.hpp"
#include "base/error.hpp"
#include "ports/follow.hpp"

namespace signalbox::kernel {

class Board {
  public:
    using Report = std::function<void(std::string)>;
    // Takes over what an earlier process of the instance left: its doors admit nobody and their flows go on. Errors:
    // PermissionDenied, NotSupported, Unavailable.
    static base::Result<std::unique_ptr<Board>> open(std::string_view instance, Report report);

    // Adds a door, or takes over one with the same address, role and cluster, with its targets.
    base::Status open_door(Door door);
    // New settings for the door with this address.
    base::Status update_door(const Door& settings);
    // Ends its flows. The last one takes the table with it. After an error close_strangers() tries again.
    base::Status close_door(const Address& listen);
    // Closes what was taken over and never opened, and what could not be closed.
    base::Status close_strangers();
    // Before a normal end: doors whose lease runs out admit nobody any more; flows go on.
    void leave();

    base::Status hold(const std::string& cluster);
    // When it returns without an error, no flow of another epoch can send or receive a byte, and none is in conntrack.
    // `also` is a former writer's address that no door may know any more. After an error: call again.
    base::Result<ports::BarrierResult> fence(const std::string& cluster, std::uint64_t epoch,
                                             const std::optional<Address>& also);
    base::Status route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                       const Address& address);
    base::Status set_readers(const Address& listen, const std::vector<Reader>& readers);

    // Renews the leases, notices settings of the host that changed, and writes the table again if somebody removed it.
    base::Status renew();
    // Brings the doors' counts up to date.
    base::Status read_counts();
    // Asks the ends of some of the flows that were ended; true: of all.
    bool ask_ended();
    // Flows that a fence or a smaller set of readers ended, by door.
    std::uint64_t ended(const Address& listen) const;

    const Table& table() const { return table_; }
    const HostFacts& host() const { return host_; }

  private:
    Board(std::string_view instance, Nft nft, Conntrack conntrack, Report report);
    base::Status adopt();
    base::Status commit(std::vector<Door> after, bool whole);
    bool barred(const Door& door) const;
    base::Status end_flows(const std::string& cluster);
    void forget(const std::string& cluster);
    base::Status commit_and_end(const std::string& cluster, std::vector<Door> after);

    Nft nft_;
    Conntrack conntrack_;
    std::optional<Questions> questions_;
    Report report_;
    HostFacts host_;
    Table table_;
    Stamps stamps_;
    std::vector<Address> strangers_;  // taken over and not yet opened, or not closed for an error
    struct Former {
        std::string cluster;
        std::string member;
    };
    std::map<Stamp, Former> former_;  // stamps that were taken back, whose flows may still be there
    std::map<std::string, std::vector<Flow>> ended_flows_;  // by cluster, not yet told by a fence
    bool told_no_barrier_ = false;
    std::vector<Flow> to_ask_;
    std::map<Address, std::uint64_t> ended_;
};

}  // namespace signalbox::kernel
