#pragma once
// A backend of HAProxy (2.6 or newer) as a target group, over HAProxy's runtime API on a unix socket of level admin.
// The servers that it adds are named by their address and have no health check of HAProxy's own: who the writer is, is
// proven by probes that know the database.

#include <memory>
#include <string>

#include "adapters/haproxy/runtime_text.hpp"
#include "base/time.hpp"
#include "ports/router.hpp"

namespace signalbox::haproxy {

struct RouterOptions {
    std::string socket;                                        // a path, at most 107 bytes
    std::string backend;                                       // its name in HAProxy
    base::Duration deadline = std::chrono::milliseconds(500);  // of one call of the port, all its exchanges together
};

class Router final : public ports::Router {
  public:
    // Opens nothing yet. Errors: InvalidArgument for a path that is no unix socket's or a name that is no backend's.
    static base::Result<std::unique_ptr<ports::Router>> create(RouterOptions options);
    ~Router() override;
    Router(const Router&) = delete;
    Router& operator=(const Router&) = delete;

    base::Result<std::vector<ports::RegisteredTarget>> targets() override;
    base::Status register_target(const base::HostPort& address, std::uint32_t weight) override;
    base::Status drain_target(const base::HostPort& address) override;
    base::Status deregister_target(const base::HostPort& address) override;
    void cancel() override;
    std::string describe() const override;

  private:
    class Deadline;
    enum class Effect { Reads, Changes };

    Router(RouterOptions options, int wake);
    base::Result<std::string> exchange(const std::string& commands, Effect effect, const Deadline& deadline);
    base::Result<std::vector<Server>> servers(const Deadline& deadline);
    base::Result<Reply> change(const std::string& command, const Deadline& deadline);
    base::Status remove(const Server& server, const Deadline& deadline);
    base::Status take_into_use(const Server& server, std::uint32_t weight, const Deadline& deadline);
    base::Status add(const base::HostPort& address, std::uint32_t weight, const std::vector<Server>& known,
                     const Deadline& deadline);
    std::string path_of(const std::string& server) const { return options_.backend + "/" + server; }

    const RouterOptions options_;
    const int wake_;               // an eventfd that is readable once cancelled
    bool static_weights_ = false;  // seen: the backend knows no weights
};

}  // namespace signalbox::haproxy
