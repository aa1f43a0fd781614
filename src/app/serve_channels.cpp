#include "app/serve_channels.hpp"

#include <algorithm>
#include <future>

#include "adapters/mysql/channel.hpp"
#include "adapters/postgres/slots.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using channels::ChannelConfig;
using channels::ClusterFacts;

constexpr auto publish_interval = 100ms;
constexpr auto idle_wait = 1s;

base::MonoTime mono_now() { return base::MonoTime(std::chrono::steady_clock::now().time_since_epoch()); }
base::WallTime wall_now() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

probing::ChannelKinds kinds() {
    return {{channels::Kind::Replica,
             [](const ChannelConfig& config) { return std::make_unique<mysql::ReplicaLink>(config); }},
            {channels::Kind::Slot,
             [](const ChannelConfig& config) { return std::make_unique<postgres::SlotLink>(config); }}};
}

// Everything that a channel's loop and its connection are made of.
std::string signature(const ChannelConfig& c, clusters::Engine engine) {
    return fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", c.cluster,
                       static_cast<int>(c.kind), static_cast<int>(engine), c.user, c.password, c.database,
                       c.tls_ca_file, c.tls_verify_host, c.heartbeat.count(), c.address.text(), c.connection,
                       c.endpoint, c.source.text(), c.slot, c.probe.calm.count(), c.probe.fast.count(),
                       c.probe.deadline.count(), c.probe.restart.count());
}

}  // namespace

ClusterFacts facts_of(const engine::ClusterLoop& loop) {
    ClusterFacts facts;
    facts.epoch = loop.epoch();
    facts.writer = loop.writer();
    facts.routed = !loop.held() && !facts.writer.empty();
    for (const clusters::MemberView& member : loop.machine().members()) {
        if (member.config.name != facts.writer || !member.evidence) continue;
        facts.address = member.config.address;
        facts.history = member.history.text();
        facts.history_at = member.sent_at;
    }
    if (!loop.failovers().empty() && loop.failovers().back().epoch == facts.epoch) {
        facts.routed_at = loop.failovers().back().routed;
        facts.ended_at = loop.failovers().back().fenced;
    }
    return facts;
}

Channels::Channels(ports::Journal& journal, ports::ChannelStore& store) : journal_(journal), store_(store) {
    probes_ = std::make_unique<probing::ChannelProbes>(
        [this](channels::Observation seen) { post(std::move(seen)); },
        [this](ports::ChannelRestarted restarted) { post(std::move(restarted)); }, kinds());
    thread_ = std::thread([this] { run(); });
}

Channels::~Channels() {
    {
        const std::lock_guard guard(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
    // What the adapters still report falls into a queue that nobody reads.
    probes_.reset();
}

void Channels::post(engine::ChannelEvent event) {
    {
        const std::lock_guard guard(mutex_);
        // A look that is dropped comes again; a restart's end does not.
        const bool repeatable = std::holds_alternative<channels::Observation>(event);
        if (repeatable && events_.size() >= queue_max) return;
        events_.push_back(std::move(event));
    }
    changed_.notify_one();
}

void Channels::call(const Task& task) {
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

void Channels::on_loop(const engine::ClusterLoop& loop) {
    {
        const std::lock_guard guard(mutex_);
        if (!watched_.contains(loop.config().name)) return;
    }
    on_cluster(loop.config().name, facts_of(loop));
}

void Channels::on_cluster(const std::string& cluster, ClusterFacts facts) {
    {
        const std::lock_guard guard(mutex_);
        fresh_facts_[cluster] = std::move(facts);
    }
    changed_.notify_one();
}

void Channels::take_facts(std::map<std::string, ClusterFacts>&& fresh) {
    const auto now = mono_now();
    for (auto& [cluster, facts] : fresh) {
        ClusterFacts& known = facts_[cluster];
        if (facts.routed && facts.routed_at == base::MonoTime{}) {
            // Active since before this process: as far as we know, since we first saw it routed.
            const bool same = known.epoch == facts.epoch && known.routed_at != base::MonoTime{};
            facts.routed_at = facts.ended_at = same ? known.routed_at : now;
        }
        // While it is held the epoch goes on, and what is known of its beginning stays.
        if (!facts.routed && known.epoch == facts.epoch && facts.routed_at == base::MonoTime{}) {
            facts.routed_at = known.routed_at;
            facts.ended_at = known.ended_at;
        }
        // The same facts again tell nothing: a loop is stepped when they changed.
        const bool same = known.epoch == facts.epoch && known.routed == facts.routed && known.writer == facts.writer &&
                          known.address == facts.address && known.history_at == facts.history_at;
        known = facts;
        if (same) continue;
        for (auto& [name, loop] : loops_) {
            if (loop->config().cluster == cluster) loop->on_cluster(facts, now, wall_now());
        }
    }
}

void Channels::run() {
    std::vector<engine::ChannelEvent> events;
    std::vector<Task> tasks;
    std::map<std::string, ClusterFacts> facts;
    for (;;) {
        auto due = mono_now() + idle_wait;
        for (const auto& [name, loop] : loops_) due = std::min(due, loop->next_deadline());
        {
            std::unique_lock lock(mutex_);
            changed_.wait_until(lock, std::chrono::steady_clock::time_point(due.time_since_epoch()), [this] {
                return stopping_ || !events_.empty() || !tasks_.empty() || !fresh_facts_.empty();
            });
            if (stopping_) return;
            events.swap(events_);
            tasks.swap(tasks_);
            facts.swap(fresh_facts_);
        }
        take_facts(std::exchange(facts, {}));
        for (const auto& event : events) {
            const auto loop = loops_.find(engine::channel_of(event));
            if (loop != loops_.end()) loop->second->handle(event, mono_now(), wall_now());
        }
        for (const auto& task : tasks) task();
        const bool published = !events.empty() || !tasks.empty();
        events.clear();
        tasks.clear();
        const auto now = mono_now();
        for (const auto& [name, loop] : loops_) {
            if (loop->next_deadline() <= now) loop->tick(now, wall_now());
        }
        if (published || now - published_ >= publish_interval) publish(now);
    }
}

void Channels::apply(const std::vector<ChannelConfig>& channels, const std::vector<clusters::ClusterConfig>& clusters) {
    {
        const std::lock_guard guard(mutex_);
        watched_.clear();
        for (const ChannelConfig& channel : channels) watched_.insert(channel.cluster);
    }
    call([&] { apply_loops(channels, clusters); });
}

void Channels::apply_loops(const std::vector<ChannelConfig>& channels,
                           const std::vector<clusters::ClusterConfig>& clusters) {
    std::erase_if(loops_, [&](const auto& entry) {
        const bool gone = std::none_of(channels.begin(), channels.end(),
                                       [&](const ChannelConfig& config) { return config.name == entry.first; });
        if (gone) {
            probes_->remove(entry.first);
            signatures_.erase(entry.first);
            // Should it come back, it is a new one; a memory that could not be dropped is harmless.
            (void)store_.forget(entry.first);
        }
        return gone;
    });
    for (const ChannelConfig& config : channels) {
        const auto cluster =
            std::find_if(clusters.begin(), clusters.end(), [&](const auto& one) { return one.name == config.cluster; });
        if (cluster == clusters.end()) continue;
        std::string wanted = signature(config, cluster->engine);
        if (signatures_[config.name] == wanted) continue;
        signatures_[config.name] = std::move(wanted);
        auto loop = std::make_unique<engine::ChannelLoop>(config, cluster->engine,
                                                          engine::ChannelPorts{store_, journal_, *probes_});
        loop->start(mono_now(), wall_now());
        const auto facts = facts_.find(config.cluster);
        if (facts != facts_.end()) loop->on_cluster(facts->second, mono_now(), wall_now());
        loops_[config.name] = std::move(loop);
    }
}

base::Status Channels::acknowledge(const std::string& channel) {
    bool found = false;
    call([&] {
        const auto loop = loops_.find(channel);
        found = loop != loops_.end();
        if (found) loop->second->acknowledge(mono_now(), wall_now());
    });
    if (found) return {};
    return base::fail(base::ErrorKind::NotFound, "there is no channel '{}'", channel);
}

void Channels::publish(base::MonoTime now) {
    published_ = now;
    auto next = std::make_shared<Snapshot>();
    for (const auto& [name, loop] : loops_) {
        next->status.push_back(loop->status(now));
        const channels::Machine& machine = loop->machine();
        next->figures[name] = {loop->config().cluster,  machine.state() == channels::State::Following,
                               machine.alarms().size(), machine.restarts(),
                               machine.resumes(),       machine.last_resume()};
    }
    const std::lock_guard guard(mutex_);
    snapshot_ = std::move(next);
}

base::json::array Channels::status() const {
    const std::lock_guard guard(mutex_);
    return snapshot_->status;
}

void Channels::add_metrics(prometheus_text::Page& page) const {
    std::shared_ptr<const Snapshot> snapshot;
    {
        const std::lock_guard guard(mutex_);
        snapshot = snapshot_;
    }
    for (const auto& [name, figures] : snapshot->figures) {
        const prometheus_text::Labels labels{{"channel", name}, {"cluster", figures.cluster}};
        page.gauge("signalbox_channel_following", "1 if it is seen to read from the writer", labels,
                   figures.following ? 1 : 0);
        page.gauge("signalbox_channel_alarms", "Alarms now", labels, static_cast<double>(figures.alarms));
        page.counter("signalbox_channel_restarts_total", "Restarts of its receiving thread", labels,
                     static_cast<double>(figures.restarts));
        page.counter("signalbox_channel_resumes_total", "Times that it was seen to read again", labels,
                     static_cast<double>(figures.resumes));
        if (figures.last_resume) {
            page.gauge("signalbox_channel_last_resume_seconds",
                       "From the route to the last moved writer to the first proof that it reads", labels,
                       base::to_ms(*figures.last_resume) / 1000);
        }
    }
}

}  // namespace signalbox::app
