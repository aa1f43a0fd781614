#pragma once
// The follower at work: the engine's one thread with a loop per cluster, and around it the relay, the probes and the
// killer, whose events it takes from one bounded queue.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "adapters/probing/killer.hpp"
#include "adapters/probing/probes.hpp"
#include "adapters/process/promote_hook.hpp"
#include "adapters/prometheus/text.hpp"
#include "app/config.hpp"
#include "app/serve_planes.hpp"
#include "engine/cluster_loop.hpp"

namespace signalbox::app {

// How the probes of one member went.
struct ProbeFigures {
    prometheus_text::Histogram latency_s{{0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1}};
    std::map<std::string, std::uint64_t> failures;  // by kind
    std::string last_failure;                       // empty: the last probe succeeded
};

struct ClusterFigures {
    std::uint64_t epoch = 0;
    bool held = true;
    std::string writer;
    std::uint64_t failovers = 0;
    std::uint64_t alarms = 0;
    std::map<std::string, ProbeFigures> probes;
};

// An endpoint that is open.
struct EndpointView {
    routing::EndpointConfig config;
    ports::EndpointStats stats;
    std::vector<routing::ReaderTarget> readers;  // of a reader endpoint
};

// Immutable once published: the API reads it without stopping the engine.
struct Snapshot {
    base::json::array clusters;
    std::map<std::string, ClusterFigures> figures;
};

class Follower {
  public:
    // instance: the same for every daemon on this store, another for every other store; what a daemon leaves in the
    // kernel carries it. journal and epochs outlive the follower.
    Follower(std::size_t shards, const std::string& instance, ports::Journal& journal, ports::EpochStore& epochs);
    // Ends every session and joins all threads.
    ~Follower();
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;

    // Makes what is followed and offered that of the configuration; from one thread. Endpoints that did not change keep
    // their sessions. Errors, one for each endpoint that could not be opened: the others work; retry() tries again.
    std::vector<base::Error> apply(const std::vector<clusters::ClusterConfig>& clusters,
                                   const std::vector<routing::EndpointConfig>& endpoints);
    // Endpoints that are still not open.
    std::vector<base::Error> retry();

    // Called by the engine's thread after each of its steps, for each cluster; returns soon.
    void on_step(std::function<void(const engine::ClusterLoop&)> told);

    // What somebody says of a cluster reaches its loop as a hint. False: there is no such cluster.
    bool tell(const ports::ExternalEvent& event);
    // Errors: NotFound (no such cluster), those of engine::ClusterLoop::switchover().
    base::Status switchover(const ports::SwitchoverRequest& request);

    std::shared_ptr<const Snapshot> snapshot() const;
    std::vector<EndpointView> endpoints() const;
    // Why endpoints are not open, by name.
    std::map<std::string, std::string> unopened() const;

    static constexpr std::size_t queue_max = 100'000;

  private:
    using Task = std::function<void()>;
    void post(engine::ClusterEvent event);
    // Runs in the engine's thread; returns when it has run.
    void call(const Task& task);
    // The same without waiting, at most queue_max of them; from any thread.
    void later(Task task);
    void make_planes(std::size_t shards);
    // A configuration without kernel endpoints leaves nothing of an earlier one in the kernel.
    void clear_kernel(const std::vector<routing::EndpointConfig>& endpoints);
    void journal(const std::string& kind, const std::string& cluster, std::uint64_t epoch, base::json::object data);
    void run();
    void handle(const engine::ClusterEvent& event);
    void note(const clusters::Observation& observation);
    void publish(base::MonoTime now);
    void forget_observations(const std::string& cluster);
    void apply_clusters(const std::vector<clusters::ClusterConfig>& clusters,
                        const std::vector<routing::EndpointConfig>& endpoints);
    std::optional<base::Error> open(const routing::EndpointConfig& endpoint);
    void close(const std::string& endpoint);

    class Members;

    const std::string instance_;
    ports::Journal& journal_;
    ports::EpochStore& epochs_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<engine::ClusterEvent> events_;
    std::vector<Task> tasks_;
    bool stopping_ = false;
    std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<Snapshot>();
    std::map<std::string, std::string> unopened_;

    std::map<std::string, routing::EndpointConfig> opened_;  // changed by the configuring thread alone

    std::map<std::string, routing::EndpointConfig> wanted_;  // of the configuring thread

    // Of the engine's thread.
    std::map<std::string, std::unique_ptr<engine::ClusterLoop>> loops_;
    std::function<void(const engine::ClusterLoop&)> on_step_;
    std::map<std::string, ClusterFigures> figures_;
    base::MonoTime published_{};
    std::string published_state_;

    std::unique_ptr<Planes> planes_;
    std::unique_ptr<probing::Probes> probes_;
    std::unique_ptr<probing::Killer> killer_;
    std::unique_ptr<Members> members_;
    std::unique_ptr<process::PromoteHook> promote_;
    std::thread thread_;
};

}  // namespace signalbox::app
