#pragma once
// The data plane of kernel endpoints: nftables rewrites the destination, the kernel forwards. Every flow carries the
// stamp of its epoch as its conntrack mark; a stamp that was taken back is reset at the flow's next packet.
// How it works: docs/adr/0007-kernel-endpoints.md.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "domain/routing/endpoint.hpp"
#include "ports/follow.hpp"

namespace signalbox::kernel {

struct KernelOptions {
    // Who owns the table: the same for every process on one store, another for every other store. Any text.
    std::string instance;
    // Called from this object's thread, or from fence() itself while no endpoint is open; must not block, nor call
    // back.
    std::function<void(ports::BarrierDone)> on_barrier;
    // What an operator should know, one line each ("renewing the leases failed: …"); also from open and close, same
    // rules. May be empty.
    std::function<void(std::string)> on_problem;
    // Endpoints that an earlier process left and that are not opened within this time are removed with their flows.
    base::Duration adopt_within = std::chrono::seconds(10);
};

// Thread-safe, but open, close and update from one thread. The kernel is touched by the first open() only: an object
// without endpoints needs no rights.
class KernelRoutes final : public ports::DataPlane {
  public:
    explicit KernelRoutes(KernelOptions options);
    // New flows are refused from now on (but for endpoints with on_daemon_loss static); running flows go on, and the
    // next process of the same instance adopts them. To end them as well, close() the endpoints first.
    ~KernelRoutes() override;
    KernelRoutes(const KernelRoutes&) = delete;
    KernelRoutes& operator=(const KernelRoutes&) = delete;

    // Until the first route, connects are refused: a kernel can't hold them. `listen` is one IP address of this host
    // (not 0.0.0.0 or ::); hold limits do not apply. Errors: PermissionDenied (names the capability), NotSupported (the
    // kernel's part that is missing), AlreadyExists (address in use), InvalidArgument.
    base::Result<std::string> open(const routing::EndpointConfig& config) override;
    void close(const std::string& endpoint) override;
    void update(const routing::EndpointConfig& config) override;
    // held, left_while_held, released are always 0. All is at most a second old.
    std::vector<ports::EndpointStats> stats() const override;

    void hold(const std::string& cluster, std::uint64_t epoch) override;
    // sessions_closed counts flows that did not end by themselves (what a client reset within
    // the last ten seconds counts too). server_sessions name flows by the address that
    // the server sees: ours after masquerading, else the client's.
    void fence(const std::string& cluster, std::uint64_t epoch) override;
    // The address must be an IP address of the endpoint's family; else the endpoint's note says so and it stays closed.
    void route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
               const base::HostPort& address) override;
    void set_readers(const std::string& cluster, const std::string& endpoint,
                     const std::vector<routing::ReaderTarget>& targets) override;
    // At most 50 ms old.
    std::uint64_t writer_sessions(const std::string& cluster) const override;

    // Removes what earlier processes of the instance left, flows included: for a configuration without kernel
    // endpoints. Nothing there: no effect, and no rights needed.
    static base::Status remove(std::string_view instance);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace signalbox::kernel
