#pragma once
// The connection to one PostgreSQL server that probes and killers hold.

#include <map>

#include "adapters/postgres/client.hpp"
#include "adapters/postgres/probe.hpp"
#include "adapters/probing/member_link.hpp"

namespace signalbox::postgres {

class Link final : public probing::MemberLink {
  public:
    explicit Link(probing::Target target);

    // One round trip, but for a timeline that this connection has not met before: its history is read first.
    probing::Answer ask(probing::Clock::time_point until) override;
    base::Status keep_warm(probing::Clock::time_point until) override;
    probing::Ended end_sessions(const std::vector<clusters::ServerSession>& sessions,
                                probing::Clock::time_point until) override;
    int socket() const override { return client_.socket(); }
    void close() override { client_.close(); }
    void cancel() override;

  private:
    // Connects where needed, and finds out who is there and what we may ask.
    std::optional<clusters::ProbeFailure> greet(probing::Clock::time_point until);
    // And prepares the probe's statement.
    std::optional<clusters::ProbeFailure> prepare(probing::Clock::time_point until);
    std::variant<TimelineHistory, clusters::ProbeFailure> history_of(std::uint32_t timeline,
                                                                     probing::Clock::time_point until);
    std::variant<TimelineHistory, clusters::ProbeFailure> fetch_history(std::uint32_t timeline,
                                                                        probing::Clock::time_point until);

    const probing::Target target_;
    Client client_;
    Client replication_;
    // All of these are of this connection alone: behind the next one may be a server that was rebuilt.
    std::optional<Hello> hello_;
    Questions questions_;
    bool prepared_ = false;
    std::map<std::uint32_t, TimelineHistory> histories_;
    std::optional<WalPoint> reached_;
    // A history that could not be read is not asked for at each probe.
    std::optional<clusters::ProbeFailure> history_failure_;
    probing::Clock::time_point history_retry_{};
};

// The parameters with which we log in to a member.
ConnectParams connect_params(const probing::Target& target);

}  // namespace signalbox::postgres
