#pragma once
// Looks at a MariaDB or MySQL replica outside the cluster and restarts its receiving thread.

#include <memory>
#include <string>

#include "adapters/mysql/client.hpp"
#include "adapters/probing/channel_probes.hpp"

namespace signalbox::mysql {

// What one look asks, and how its answer becomes a status. A row, column or value that should be there and is not is a
// Failure of kind Incomplete. Sources: MariaDB manual, "SHOW REPLICA STATUS"; MySQL 8.4 manual, the same, and
// performance_schema.replication_connection_status.
std::string replica_text(bool mariadb);
std::variant<channels::ReplicaStatus, channels::Failure> read_replica(bool mariadb, const std::string& connection,
                                                                      const std::vector<ResultSet>& results);
// STOP and START of the receiving thread as one text, so that nothing of ours can come between them. `connection` is
// already escaped.
std::string restart_text(bool mariadb, const std::string& connection);

class ReplicaLink final : public probing::ChannelLink {
  public:
    explicit ReplicaLink(const channels::ChannelConfig& config);
    probing::ChannelAnswer look(probing::Clock::time_point until) override;
    void aim(const base::HostPort&) override {}  // it is where it is
    probing::RestartAnswer restart(bool resume, probing::Clock::time_point until) override;
    void cancel() override { client_.cancel(); }

  private:
    base::Result<std::vector<ResultSet>> ask(probing::Clock::time_point until);

    const std::string connection_;
    ConnectParams params_;
    Client client_;
    bool mariadb_ = true;
};

}  // namespace signalbox::mysql
