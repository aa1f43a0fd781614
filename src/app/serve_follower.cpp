#include "app/serve_follower.hpp"

#include <algorithm>
#include <future>
#include <spdlog/spdlog.h>

#include "app/engines.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;

constexpr auto publish_interval = 100ms;
constexpr auto idle_wait = 1s;

base::MonoTime mono_now() { return base::MonoTime(std::chrono::steady_clock::now().time_since_epoch()); }
base::WallTime wall_now() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

bool same_place(const routing::EndpointConfig& a, const routing::EndpointConfig& b) {
    return a.cluster == b.cluster && a.role == b.role && a.mode == b.mode && a.listen == b.listen && a.dns == b.dns &&
           a.target_group == b.target_group;
}

}  // namespace

// What a loop says of its members (those that it found, too) reaches all who hold connections to them.
class Follower::Members final : public ports::MemberProbes {
  public:
    Members(probing::Probes& probes, probing::Killer& killer) : probes_(probes), killer_(killer) {}
    void configure(const clusters::ClusterConfig& cluster) override {
        probes_.configure(cluster);
        killer_.configure(cluster);
    }
    void set_cadence(const std::string& cluster, const std::string& member, base::Duration interval,
                     base::Duration deadline) override {
        probes_.set_cadence(cluster, member, interval, deadline);
    }
    void wake(const std::string& cluster) override { probes_.wake(cluster); }

  private:
    probing::Probes& probes_;
    probing::Killer& killer_;
};

Follower::Follower(std::size_t shards, const std::string& instance, ports::Journal& journal, ports::EpochStore& epochs)
    : instance_(instance), journal_(journal), epochs_(epochs) {
    make_planes(shards);
    probes_ =
        std::make_unique<probing::Probes>([this](clusters::Observation seen) { post(std::move(seen)); }, engines());
    killer_ =
        std::make_unique<probing::Killer>([this](ports::SessionsKilled killed) { post(std::move(killed)); }, engines());
    members_ = std::make_unique<Members>(*probes_, *killer_);
    promote_ = std::make_unique<process::PromoteHook>([this](ports::PromoteDone done) { post(std::move(done)); });
    thread_ = std::thread([this] { run(); });
}

Follower::~Follower() {
    {
        const std::lock_guard guard(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
    // The engine is silent from here on; what the others still report falls into a queue that nobody reads.
    probes_.reset();
    killer_.reset();
    promote_.reset();
    planes_->stop();
}

void Follower::post(engine::ClusterEvent event) {
    {
        const std::lock_guard guard(mutex_);
        // Observations come at most one at a time from each member, so a full queue means that the engine is stuck in
        // its store; what is dropped is observed again. A barrier's end is never dropped: nobody would repeat it.
        const bool repeatable = std::holds_alternative<clusters::Observation>(event) ||
                                std::holds_alternative<ports::TrafficHint>(event) ||
                                std::holds_alternative<ports::ExternalEvent>(event);
        if (repeatable && events_.size() >= queue_max) return;
        events_.push_back(std::move(event));
    }
    changed_.notify_one();
}

void Follower::call(const Task& task) {
    std::promise<void> done;
    {
        const std::lock_guard guard(mutex_);
        tasks_.emplace_back([&] {
            task();
            done.set_value();
        });
    }
    changed_.notify_one();
    done.get_future().wait();
}

void Follower::later(Task task) {
    {
        const std::lock_guard guard(mutex_);
        if (tasks_.size() >= queue_max) return;
        tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
}

bool Follower::tell(const ports::ExternalEvent& event) {
    if (!snapshot()->figures.contains(event.cluster)) return false;
    post(event);
    return true;
}

base::Status Follower::switchover(const ports::SwitchoverRequest& request) {
    base::Status outcome;
    call([&] {
        const auto loop = loops_.find(request.cluster);
        outcome = loop == loops_.end() ? base::Status(base::fail(base::ErrorKind::NotFound,
                                                                 "the daemon follows no cluster '{}'", request.cluster))
                                       : loop->second->switchover(request, mono_now(), wall_now());
    });
    return outcome;
}

void Follower::run() {
    std::vector<engine::ClusterEvent> events;
    std::vector<Task> tasks;
    for (;;) {
        auto due = mono_now() + idle_wait;
        for (const auto& [name, loop] : loops_) due = std::min(due, loop->next_deadline());
        {
            std::unique_lock lock(mutex_);
            changed_.wait_until(lock, std::chrono::steady_clock::time_point(due.time_since_epoch()),
                                [this] { return stopping_ || !events_.empty() || !tasks_.empty(); });
            if (stopping_) return;
            events.swap(events_);
            tasks.swap(tasks_);
        }
        for (const auto& event : events) handle(event);
        for (const auto& task : tasks) task();
        events.clear();
        tasks.clear();
        const auto now = mono_now();
        for (const auto& [name, loop] : loops_) {
            if (loop->next_deadline() <= now) loop->handle(engine::Tick{}, now, wall_now());
        }
        if (on_step_) {
            for (const auto& [name, loop] : loops_) on_step_(*loop);
        }
        publish(now);
    }
}

void Follower::on_step(std::function<void(const engine::ClusterLoop&)> told) {
    call([&] { on_step_ = std::move(told); });
}

void Follower::handle(const engine::ClusterEvent& event) {
    if (const auto* observation = std::get_if<clusters::Observation>(&event)) note(*observation);
    const auto loop = loops_.find(engine::cluster_of(event));
    if (loop != loops_.end()) loop->second->handle(event, mono_now(), wall_now());
}

void Follower::note(const clusters::Observation& observation) {
    const auto cluster = figures_.find(observation.cluster);
    if (cluster == figures_.end()) return;
    ProbeFigures& figures = cluster->second.probes[observation.member];
    figures.latency_s.observe(base::to_ms(observation.completed_at - observation.sent_at) / 1000);
    const auto* failure = std::get_if<clusters::ProbeFailure>(&observation.result);
    const std::string text = failure == nullptr ? std::string() : failure->text;
    if (failure != nullptr) ++figures.failures[std::string(clusters::to_string(failure->kind))];
    // Said when it changes, not at each probe.
    if (text == figures.last_failure) return;
    if (failure == nullptr) {
        spdlog::info("cluster {}: member {} answers", observation.cluster, observation.member);
    } else {
        spdlog::warn("cluster {}: member {}: {}", observation.cluster, observation.member, text);
    }
    figures.last_failure = text;
}

void Follower::publish(base::MonoTime now) {
    std::string state;
    for (auto& [name, loop] : loops_) {
        state += fmt::format("{} {} {} {} {};", name, loop->epoch(), loop->held(), loop->writer(), loop->alarm_count());
    }
    if (state == published_state_ && now - published_ < publish_interval) return;
    published_ = now;
    published_state_ = std::move(state);
    auto next = std::make_shared<Snapshot>();
    for (auto& [name, loop] : loops_) {
        ClusterFigures& figures = figures_[name];
        figures.epoch = loop->epoch();
        figures.held = loop->held();
        figures.writer = loop->writer();
        figures.failovers = loop->failover_count();
        figures.alarms = loop->alarm_count();
        next->clusters.push_back(loop->status(now, wall_now()));
    }
    next->figures = figures_;
    const std::lock_guard guard(mutex_);
    snapshot_ = std::move(next);
}

std::shared_ptr<const Snapshot> Follower::snapshot() const {
    const std::lock_guard guard(mutex_);
    return snapshot_;
}

std::map<std::string, std::string> Follower::unopened() const {
    const std::lock_guard guard(mutex_);
    return unopened_;
}

void Follower::forget_observations(const std::string& cluster) {
    const std::lock_guard guard(mutex_);
    std::erase_if(events_, [&](const auto& event) {
        const auto* observation = std::get_if<clusters::Observation>(&event);
        return observation != nullptr && observation->cluster == cluster;
    });
}

void Follower::apply_clusters(const std::vector<clusters::ClusterConfig>& clusters,
                              const std::vector<routing::EndpointConfig>& endpoints) {
    for (const auto& config : clusters) {
        members_->configure(config);
        promote_->configure(config);
        // The probes before these have ended: what they said may be of an address that is another member's now.
        forget_observations(config.name);
        const auto known = loops_.find(config.name);
        if (known != loops_.end()) {
            known->second->reconfigure(config, mono_now(), wall_now());
            known->second->set_endpoints(endpoints, mono_now());
            continue;
        }
        figures_[config.name];
        auto loop = std::make_unique<engine::ClusterLoop>(
            config, engine::ClusterPorts{epochs_, journal_, *members_, *planes_, *killer_, promote_.get()});
        loop->start(mono_now(), wall_now());
        loop->set_endpoints(endpoints, mono_now());
        loops_[config.name] = std::move(loop);
    }
    std::erase_if(loops_, [&](const auto& entry) {
        const bool gone = std::none_of(clusters.begin(), clusters.end(),
                                       [&](const auto& config) { return config.name == entry.first; });
        if (gone) {
            // Should the cluster come back, its clients wait until its writer is proven anew.
            planes_->hold(entry.first, entry.second->epoch());
            probes_->remove(entry.first);
            killer_->remove(entry.first);
            figures_.erase(entry.first);
        }
        return gone;
    });
}

std::vector<EndpointView> Follower::endpoints() const {
    std::vector<EndpointView> views;
    for (auto& stats : planes_->stats()) {
        const std::lock_guard guard(mutex_);
        const auto opened = opened_.find(stats.endpoint);
        if (opened != opened_.end()) {
            auto readers = planes_->readers(opened->first);
            views.push_back({opened->second, std::move(stats), std::move(readers)});
        }
    }
    return views;
}

void Follower::close(const std::string& endpoint) {
    planes_->close(opened_.at(endpoint));
    const std::lock_guard guard(mutex_);
    opened_.erase(endpoint);
}

std::optional<base::Error> Follower::open(const routing::EndpointConfig& endpoint) {
    const auto opened = opened_.find(endpoint.name);
    if (opened != opened_.end() && same_place(opened->second, endpoint)) {
        planes_->update(endpoint);
        const std::lock_guard guard(mutex_);
        opened->second = endpoint;
        return std::nullopt;
    }
    // On the same address, or in another mode, the old one has to make room first.
    if (opened != opened_.end() && (opened->second.listen == endpoint.listen || opened->second.mode != endpoint.mode)) {
        close(endpoint.name);
    }
    const auto address = planes_->open(endpoint);
    const std::lock_guard guard(mutex_);
    if (!address) {
        unopened_[endpoint.name] = address.error().text();
        return address.error();
    }
    unopened_.erase(endpoint.name);
    opened_[endpoint.name] = endpoint;
    return std::nullopt;
}

std::vector<base::Error> Follower::apply(const std::vector<clusters::ClusterConfig>& clusters,
                                         const std::vector<routing::EndpointConfig>& endpoints) {
    wanted_.clear();
    for (const auto& endpoint : endpoints) wanted_[endpoint.name] = endpoint;
    // What goes away makes room for what comes; and no endpoint may outlive its cluster.
    std::vector<std::string> gone;
    for (const auto& [name, opened] : opened_) {
        const auto wanted = wanted_.find(name);
        bool leaves = wanted == wanted_.end() || wanted->second.cluster != opened.cluster;
        for (const auto& [other_name, other] : wanted_) {
            const bool same_listen = other.listen.port != 0 && other.listen == opened.listen;
            const bool shared = other.mode == routing::Mode::Dns && opened.mode == routing::Mode::Dns;
            leaves = leaves || (other_name != name && same_listen && !shared);
        }
        if (leaves) gone.push_back(name);
    }
    for (const std::string& name : gone) close(name);
    {
        const std::lock_guard guard(mutex_);
        std::erase_if(unopened_, [&](const auto& entry) { return !wanted_.contains(entry.first); });
    }
    if (opened_.empty()) clear_kernel(endpoints);
    call([&] { apply_clusters(clusters, endpoints); });
    std::vector<base::Error> errors;
    for (const auto& [name, endpoint] : wanted_) {
        if (auto error = open(endpoint)) errors.push_back(std::move(*error));
    }
    return errors;
}

std::vector<base::Error> Follower::retry() {
    std::vector<base::Error> errors;
    for (const auto& [name, reason] : unopened()) {
        if (auto error = open(wanted_.at(name))) errors.push_back(std::move(*error));
    }
    return errors;
}

}  // namespace signalbox::app
