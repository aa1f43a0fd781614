#pragma once
// A target group: a cloud's network load balancer, played by an HAProxy on a node of its own. What it has for targets
// is asked of HAProxy each time, so that targets which somebody put there over its runtime socket are seen, too.
// Changes are accepted at once and carried out later, as a cloud does: docs/reference/lab-api.md.

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/json.hpp"
#include "base/text.hpp"
#include "lab/log.hpp"
#include "lab/network.hpp"
#include "lab/spec.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {

// One server of HAProxy's backend, as `show servers state` tells it.
struct BalancerServer {
    std::string name;
    base::HostPort address;
    std::string state;  // initial, healthy, unhealthy, draining, unused
    std::string reason;
};
// Errors: CorruptData, when the columns are not those of HAProxy 2.x.
base::Result<std::vector<BalancerServer>> parse_servers_state(std::string_view text);

// Safe from several threads.
class TargetGroup {
  public:
    // directory: for its configuration. socket: where its runtime API shall be.
    TargetGroup(const TargetGroupSpec& spec, NodeInfo node, std::string directory, std::string socket, Reaper& reaper,
                Log& log);
    ~TargetGroup();
    TargetGroup(const TargetGroup&) = delete;
    TargetGroup& operator=(const TargetGroup&) = delete;

    // Starts HAProxy and waits until it answers. Once.
    base::Status bring_up(base::Duration timeout);

    const std::string& name() const { return spec_.name; }
    base::json::value describe() const;
    base::Result<base::json::array> targets() const;
    // The bodies of the API's calls. Errors: InvalidArgument, Unavailable (too many targets).
    base::Status register_targets(const base::json::value& body);
    base::Status deregister_targets(const base::json::value& body);

    static constexpr std::size_t targets_max = 1000;
    static constexpr std::size_t targets_per_call_max = 100;

  private:
    enum class Change { Add, Remove };
    struct Pending {
        base::HostPort address;
        Change change = Change::Add;
        Clock::time_point due;
        Clock::time_point give_up;
    };
    base::Status start();
    void loop();
    // Whether the change is done, or hopeless.
    bool carry_out(const Pending& pending);
    base::Result<std::vector<BalancerServer>> servers() const;
    // One line of HAProxy's runtime API; what it answered.
    base::Result<std::string> ask(const std::string& line) const;
    // Also when HAProxy answers with anything but `expected` (or nothing).
    base::Status command(const std::string& line, std::string_view expected = {}) const;

    const TargetGroupSpec spec_;
    const NodeInfo node_;
    const std::string directory_;
    const std::string socket_;
    Reaper& reaper_;
    Log& log_;
    struct Process {
        std::atomic<bool> alive = false;
    };
    std::shared_ptr<Process> process_ = std::make_shared<Process>();
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, Pending> pending_;  // by "ADDRESS:PORT"
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace signalbox::lab
