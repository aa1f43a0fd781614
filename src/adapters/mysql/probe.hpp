#pragma once
// Probes of cluster members: a thread and a warm connection for each, so that a member that hangs delays nobody else.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "adapters/mysql/client.hpp"
#include "domain/clusters/config.hpp"
#include "domain/clusters/evidence.hpp"
#include "ports/follow.hpp"

namespace signalbox::mysql {

// What one round trip asks, and how its answer becomes evidence. With uid, the server has @@server_uid (MariaDB since
// 10.11.4; others do not know the variable).
std::string probe_text(bool uid);
// Strict: a row, column or value that should be there and is not, or a form that we do not know, makes it Incomplete.
std::variant<clusters::Evidence, clusters::ProbeFailure> read_evidence(const std::vector<ResultSet>& results);
// The failure that an error of Client stands for; `late`: we were not given the processor in time ourselves.
clusters::ProbeFailure to_failure(const base::Error& error, bool late);

class Probes final : public ports::MemberProbes {
  public:
    // Called from the probes' threads.
    explicit Probes(std::function<void(clusters::Observation)> on_observation);
    // Stops and joins; a probe under way is cancelled.
    ~Probes() override;

    // Members that changed keep their cadence.
    void configure(const clusters::ClusterConfig& config) override;
    void remove(const std::string& cluster);

    void set_cadence(const std::string& cluster, const std::string& member, base::Duration interval,
                     base::Duration deadline) override;
    void wake(const std::string& cluster) override;

  private:
    class Member;
    using Members = std::map<std::string, std::unique_ptr<Member>>;
    std::function<void(clusters::Observation)> on_observation_;
    std::mutex mutex_;
    std::map<std::string, Members> clusters_;
};

// The parameters with which we log in to a member.
ConnectParams connect_params(const clusters::ClusterConfig& cluster, const clusters::MemberConfig& member);

}  // namespace signalbox::mysql
