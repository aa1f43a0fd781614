#pragma once
// The data plane of DNS endpoints: a name server answers a writer's or reader's name with the members' addresses of the
// same epoch. What a name can't do (hold, or fence who has resolved it before): docs/reference/dns.md.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ports/follow.hpp"

namespace signalbox::dns {

struct DnsOptions {
    // From the server's thread; must not call the plane back.
    std::function<void(ports::BarrierDone)> on_barrier;
};

// Endpoints with one listen address share its server; each is a name there.
class DnsEndpoints final : public ports::DataPlane {
  public:
    explicit DnsEndpoints(DnsOptions options);
    ~DnsEndpoints() override;
    DnsEndpoints(const DnsEndpoints&) = delete;
    DnsEndpoints& operator=(const DnsEndpoints&) = delete;

    // Errors, each with the endpoint's name: InvalidConfig (the name), AlreadyExists (another endpoint has that name
    // there), those of Server::listen.
    base::Result<std::string> open(const routing::EndpointConfig& config) override;
    void close(const std::string& endpoint) override;
    void update(const routing::EndpointConfig& config) override;
    std::vector<ports::EndpointStats> stats() const override;

    // A hold and a fence both take the writer's address out of the answers; a fence is acknowledged when none with it
    // is sent any more. Clients that resolved before are beyond reach.
    void hold(const std::string& cluster, std::uint64_t epoch) override;
    void fence(const std::string& cluster, std::uint64_t epoch) override;
    void route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
               const base::HostPort& address) override;
    void set_readers(const std::string& cluster, const std::string& endpoint,
                     const std::vector<routing::ReaderTarget>& targets) override;
    // A name has no sessions.
    std::uint64_t writer_sessions(const std::string& cluster) const override;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace signalbox::dns
