#pragma once
// The data planes of all endpoint modes as one: calls go to each of them, and a fence is done when all have done it.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "ports/follow.hpp"

namespace signalbox::app {

class Planes final : public ports::WriterRoutes {
  public:
    using OnBarrier = std::function<void(ports::BarrierDone)>;
    // Called from a plane's thread when the last plane has acknowledged a fence.
    explicit Planes(OnBarrier on_barrier) : on_barrier_(std::move(on_barrier)) {}
    ~Planes() override;
    Planes(const Planes&) = delete;
    Planes& operator=(const Planes&) = delete;

    // Before the first call. The plane's own barriers are to be given to acknowledged().
    void add(routing::Mode mode, std::unique_ptr<ports::DataPlane> plane);
    // A plane has done its part of a fence. From any thread.
    void acknowledged(ports::BarrierDone part);
    // Ends all planes: their threads are joined.
    void stop();

    // As ports::DataPlane, for the endpoint's mode; from one thread.
    base::Result<std::string> open(const routing::EndpointConfig& config);
    void close(const routing::EndpointConfig& config);
    void update(const routing::EndpointConfig& config);
    std::vector<ports::EndpointStats> stats() const;
    // What a reader endpoint was last told to lead to; empty before that.
    std::vector<routing::ReaderTarget> readers(const std::string& endpoint) const;

    void hold(const std::string& cluster, std::uint64_t epoch) override;
    void fence(const std::string& cluster, std::uint64_t epoch) override;
    void route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
               const base::HostPort& address) override;
    void set_readers(const std::string& cluster, const std::string& endpoint,
                     const std::vector<routing::ReaderTarget>& targets) override;
    std::uint64_t writer_sessions(const std::string& cluster) const override;

  private:
    struct Barrier {
        std::size_t remaining = 0;
        ports::BarrierResult result;
    };
    ports::DataPlane& plane(routing::Mode mode) const;

    OnBarrier on_barrier_;
    std::map<routing::Mode, std::unique_ptr<ports::DataPlane>> planes_;
    mutable std::mutex mutex_;
    std::map<std::pair<std::string, std::uint64_t>, Barrier> barriers_;  // not done yet
    std::map<std::string, std::vector<routing::ReaderTarget>> readers_;  // by endpoint
};

// Adds what the sessions of `part` may still run to `total`, per member.
void merge(ports::BarrierResult& total, ports::BarrierResult part);

}  // namespace signalbox::app
