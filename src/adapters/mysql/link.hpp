#pragma once
// The connection to one MariaDB or MySQL server that probes and killers hold.

#include "adapters/mysql/client.hpp"
#include "adapters/mysql/probe.hpp"
#include "adapters/probing/member_link.hpp"

namespace signalbox::mysql {

class Link final : public probing::MemberLink {
  public:
    explicit Link(probing::Target target);

    probing::Answer ask(probing::Clock::time_point until) override;
    base::Status keep_warm(probing::Clock::time_point until) override;
    probing::Ended end_sessions(const std::vector<clusters::ServerSession>& sessions,
                                probing::Clock::time_point until) override;
    int socket() const override { return client_.socket(); }
    void close() override { client_.close(); }
    void cancel() override { client_.cancel(); }

  private:
    base::Status connect(probing::Clock::time_point until);
    // Connects where needed, finds out who is there, and makes the text of its probes.
    std::optional<clusters::ProbeFailure> prepare(probing::Clock::time_point until);

    const probing::Target target_;
    Client client_;
    Questions questions_;
    std::string text_;  // empty: not prepared on this connection
    std::optional<bool> sees_all_;
};

// The parameters with which we log in to a member.
ConnectParams connect_params(const probing::Target& target);

}  // namespace signalbox::mysql
