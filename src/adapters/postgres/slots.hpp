#pragma once
// Looks at a logical slot on the writer. It changes nothing there.

#include <memory>
#include <string>

#include "adapters/postgres/client.hpp"
#include "adapters/probing/channel_probes.hpp"

namespace signalbox::postgres {

// What one look asks: one row, also when there is no such slot. `slot` is a quoted literal. Sources: PostgreSQL 15
// manual, pg_replication_slots and pg_stat_replication.
std::string slot_text(const std::string& slot);
// How its answer becomes a status; a value that should be there and is not makes it a Failure.
std::variant<channels::SlotStatus, channels::Failure> read_slot(const std::string& name, const ResultSet& answer);

class SlotLink final : public probing::ChannelLink {
  public:
    explicit SlotLink(const channels::ChannelConfig& config);
    probing::ChannelAnswer look(probing::Clock::time_point until) override;
    void aim(const base::HostPort& address) override;
    // A slot's reader is not ours to restart.
    probing::RestartAnswer restart(bool resume, probing::Clock::time_point until) override;
    void cancel() override { client_.cancel(); }

  private:
    const std::string slot_;
    ConnectParams params_;
    Client client_;
};

}  // namespace signalbox::postgres
