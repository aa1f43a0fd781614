#pragma once
// Channels at work: a thread of their own with a loop per channel, and the adapters that look at them. Apart from the
// follower's thread, so that nothing here can delay a switch.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "adapters/probing/channel_probes.hpp"
#include "adapters/prometheus/text.hpp"
#include "domain/channels/config.hpp"
#include "domain/clusters/config.hpp"
#include "engine/channel_loop.hpp"
#include "engine/cluster_loop.hpp"

namespace signalbox::app {

// What a channel needs to know of its cluster, from the loop that follows it. routed_at is left out (the time's zero)
// when the epoch was active before this process.
channels::ClusterFacts facts_of(const engine::ClusterLoop& loop);

class Channels {
  public:
    // journal and store outlive it; they are called from a thread of its own.
    Channels(ports::Journal& journal, ports::ChannelStore& store);
    ~Channels();
    Channels(const Channels&) = delete;
    Channels& operator=(const Channels&) = delete;

    // Makes the watched channels those of the configuration. Channels that did not change go on. From one thread.
    void apply(const std::vector<channels::ChannelConfig>& channels,
               const std::vector<clusters::ClusterConfig>& clusters);
    // What a cluster's loop knows now; cheap when nobody reads from it. Called by the follower's thread after each
    // step.
    void on_loop(const engine::ClusterLoop& loop);
    // The same with facts made by somebody else.
    void on_cluster(const std::string& cluster, channels::ClusterFacts facts);
    // Ends the alarms about what was lost. NotFound for a channel that there is not.
    base::Status acknowledge(const std::string& channel);

    // Of all channels, as docs/reference/channels.md has it; at most 100 ms old.
    base::json::array status() const;
    void add_metrics(prometheus_text::Page& page) const;

    static constexpr std::size_t queue_max = 10'000;

  private:
    using Task = std::function<void()>;
    struct Figures {
        std::string cluster;
        bool following = false;
        std::uint64_t alarms = 0;
        std::uint64_t restarts = 0;
        std::uint64_t resumes = 0;
        std::optional<base::Duration> last_resume;
    };
    struct Snapshot {
        base::json::array status;
        std::map<std::string, Figures> figures;
    };

    void post(engine::ChannelEvent event);
    void call(const Task& task);
    void run();
    void take_facts(std::map<std::string, channels::ClusterFacts>&& fresh);
    void apply_loops(const std::vector<channels::ChannelConfig>& channels,
                     const std::vector<clusters::ClusterConfig>& clusters);
    void publish(base::MonoTime now);

    ports::Journal& journal_;
    ports::ChannelStore& store_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<engine::ChannelEvent> events_;
    std::vector<Task> tasks_;
    std::map<std::string, channels::ClusterFacts> fresh_facts_;  // the newest of each cluster, not taken yet
    std::set<std::string> watched_;                              // clusters with channels
    bool stopping_ = false;
    std::shared_ptr<const Snapshot> snapshot_ = std::make_shared<Snapshot>();

    // Of the thread.
    std::map<std::string, std::unique_ptr<engine::ChannelLoop>> loops_;
    std::map<std::string, std::string> signatures_;  // what each was configured with
    std::map<std::string, channels::ClusterFacts> facts_;
    base::MonoTime published_{};

    std::unique_ptr<probing::ChannelProbes> probes_;
    std::thread thread_;
};

}  // namespace signalbox::app
