#pragma once
// The data plane of stream endpoints: a TCP relay that knows epochs. One thread per shard; a connection is handed to
// the shards in turn and never changes its thread, so that a fence is one message to each shard and one answer from it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "domain/routing/endpoint.hpp"
#include "ports/follow.hpp"

namespace signalbox::relay {

struct RelayOptions {
    std::size_t shards = 0;  // threads; 0: one per core
    base::Duration connect_timeout = std::chrono::seconds(1);
    std::size_t connecting_max = 64;  // connects to a member under way at once, per shard and cluster
    // How long a shard that had something to do looks for more before it sleeps; 0: it sleeps at once.
    base::Duration spin_max = std::chrono::microseconds(60);
    // Called from a shard's thread; must not block, nor call the relay back.
    std::function<void(ports::BarrierDone)> on_barrier;
    std::function<void(ports::TrafficHint)> on_hint;  // at most one each 5 ms per shard and cluster
};

// Thread-safe, but open, close and update from one thread.
class Relay final : public ports::DataPlane {
  public:
    explicit Relay(RelayOptions options);
    // Stops accepting, ends every session, joins the threads.
    ~Relay() override;
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    base::Result<std::string> open(const routing::EndpointConfig& config) override;
    void close(const std::string& endpoint) override;
    void update(const routing::EndpointConfig& config) override;
    std::vector<ports::EndpointStats> stats() const override;

    void hold(const std::string& cluster, std::uint64_t epoch) override;
    void fence(const std::string& cluster, std::uint64_t epoch) override;
    void route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
               const base::HostPort& address) override;
    void set_readers(const std::string& cluster, const std::string& endpoint,
                     const std::vector<routing::ReaderTarget>& targets) override;
    std::uint64_t writer_sessions(const std::string& cluster) const override;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace signalbox::relay
