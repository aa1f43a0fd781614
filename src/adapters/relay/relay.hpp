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
    // Called from a shard's thread; must not block, nor call the relay back.
    std::function<void(ports::BarrierDone)> on_barrier;
    std::function<void(ports::TrafficHint)> on_hint;  // at most one each 5 ms per shard and cluster
};

// What an endpoint did since it was opened.
struct EndpointStats {
    std::string endpoint;
    std::string cluster;
    std::string address;                // as bound: with port 0 in the configuration, the real one
    std::uint64_t sessions = 0;         // now, held ones included
    std::uint64_t held = 0;             // now
    std::uint64_t accepted = 0;         // in all
    std::uint64_t refused = 0;          // got an error packet in place of a greeting
    std::uint64_t fenced = 0;           // ended by a fence
    std::uint64_t left_while_held = 0;  // clients that did not wait
    std::uint64_t released = 0;         // held ones that got their writer
    double held_seconds = 0;            // of all that are held no more
    std::uint64_t bytes_to_server = 0;
    std::uint64_t bytes_to_client = 0;
};

// Thread-safe, but open, close and update from one thread.
class Relay final : public ports::WriterRoutes {
  public:
    explicit Relay(RelayOptions options);
    // Stops accepting, ends every session, joins the threads.
    ~Relay() override;
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    // Binds and starts to accept; until the first route, clients are held. An endpoint of the same name on another
    // address is closed once the new one is bound. Errors name the endpoint, the address and
    // the reason (in use, no such address, no permission). Returns the bound address.
    base::Result<std::string> open(const routing::EndpointConfig& config);
    // Stops accepting there and ends the endpoint's sessions.
    void close(const std::string& endpoint);
    // New limits for an endpoint with the same name, cluster and address; its sessions go on.
    void update(const routing::EndpointConfig& config);
    std::vector<EndpointStats> stats() const;

    void hold(const std::string& cluster, std::uint64_t epoch) override;
    void fence(const std::string& cluster, std::uint64_t epoch) override;
    void route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
               const base::HostPort& address) override;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace signalbox::relay
