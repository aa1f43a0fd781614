#include "adapters/targetgroup/target_groups.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <map>
#include <mutex>
#include <utility>

#include "adapters/targetgroup/barriers.hpp"
#include "adapters/targetgroup/group.hpp"

namespace signalbox::targetgroup {
namespace {

using base::ErrorKind;
using base::fail;
using routing::Role;

base::MonoTime mono_now() { return base::MonoTime(std::chrono::steady_clock::now().time_since_epoch()); }

// As the balancer lists it: an IPv6 address has one short form.
base::HostPort as_listed(base::HostPort address) {
    in6_addr binary{};
    char text[INET6_ADDRSTRLEN];
    if (::inet_pton(AF_INET6, address.host.c_str(), &binary) == 1 &&
        ::inet_ntop(AF_INET6, &binary, text, sizeof text) != nullptr)
        address.host = text;
    return address;
}

enum class Traffic { Unknown, Fenced, Routed, Held };

// Of a cluster's writer endpoints, for groups that are opened later, too.
struct ClusterState {
    std::uint64_t newest = 0;  // epoch seen
    Traffic traffic = Traffic::Unknown;
    std::string member;
    base::HostPort address;                // where writers were routed to last
    std::optional<base::HostPort> fenced;  // from a fence to the next route: where they were
};

struct Opened {
    routing::EndpointConfig config;
    std::unique_ptr<Group> group;
};

using Readers = std::optional<std::vector<routing::WantedTarget>>;

Goal writer_goal(const ClusterState& cluster) {
    Goal goal;
    goal.epoch = cluster.newest;
    switch (cluster.traffic) {
        case Traffic::Unknown:
            break;
        case Traffic::Fenced:
            goal.wanted.emplace();
            break;
        case Traffic::Routed:
            goal.wanted = {{cluster.address}};
            goal.member = cluster.member;
            break;
        case Traffic::Held:
            goal.wanted = {{cluster.address, 100, true}};
            goal.watch = true;
            break;
    }
    return goal;
}

Goal reader_goal(const ClusterState& cluster, const Readers& readers) {
    Goal goal;
    goal.wanted = readers;
    goal.without = cluster.fenced;
    goal.epoch = cluster.newest;
    return goal;
}

}  // namespace

struct TargetGroups::Impl {
    explicit Impl(TargetGroupOptions given) : options(std::move(given)), barriers(options.on_barrier) {}

    // Null for an epoch older than one seen before. Under the mutex.
    ClusterState* advance(const std::string& cluster, std::uint64_t epoch);
    Goal goal_of(const Opened& opened);
    // Gives the group its goal; the goal's number.
    std::uint64_t pursue(const Opened& one);
    void pursue_all(const std::string& cluster, Role role);
    GroupEvents events_of(const routing::EndpointConfig& config);

    const TargetGroupOptions options;
    Barriers barriers;  // outlives the groups, which report to it
    mutable std::mutex mutex;
    std::uint64_t generation = 0;  // of goals, over all groups
    std::map<std::string, ClusterState> clusters;
    std::map<std::string, Opened> opened;
    std::map<std::pair<std::string, std::string>, Readers> readers;  // by cluster and endpoint
};

ClusterState* TargetGroups::Impl::advance(const std::string& cluster, std::uint64_t epoch) {
    ClusterState& state = clusters[cluster];
    if (epoch < state.newest) return nullptr;
    state.newest = epoch;
    return &state;
}

Goal TargetGroups::Impl::goal_of(const Opened& one) {
    const ClusterState& cluster = clusters[one.config.cluster];
    if (one.config.role == Role::Writer) return writer_goal(cluster);
    return reader_goal(cluster, readers[{one.config.cluster, one.config.name}]);
}

std::uint64_t TargetGroups::Impl::pursue(const Opened& one) {
    one.group->pursue(goal_of(one), ++generation);
    return generation;
}

void TargetGroups::Impl::pursue_all(const std::string& cluster, Role role) {
    for (const auto& [name, one] : opened) {
        if (one.config.cluster == cluster && one.config.role == role) pursue(one);
    }
}

GroupEvents TargetGroups::Impl::events_of(const routing::EndpointConfig& config) {
    const std::string cluster = config.cluster;
    const std::string endpoint = config.name;
    GroupEvents events;
    events.on_cleared = [this, endpoint](std::uint64_t generation, std::uint64_t ended) {
        barriers.cleared(endpoint, generation, ended);
    };
    events.on_verified = [this, cluster, endpoint](const Goal& goal, base::MonoTime at, base::Duration after) {
        if (options.on_verified) options.on_verified({cluster, endpoint, goal.epoch, goal.member, at, after});
    };
    events.on_step = [this, cluster, endpoint](const routing::TargetStep& step, bool foreign) {
        if (options.on_step) options.on_step({cluster, endpoint, step, foreign});
    };
    events.on_problem = [this, cluster, endpoint](const std::string& text) {
        barriers.trouble(endpoint, text);
        if (options.on_problem) options.on_problem(cluster, endpoint, text);
    };
    return events;
}

TargetGroups::TargetGroups(TargetGroupOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

TargetGroups::~TargetGroups() = default;

base::Result<std::string> TargetGroups::open(const routing::EndpointConfig& config) {
    const auto in_endpoint = [&](const base::Error& error) {
        return base::in_context(error, fmt::format("endpoint '{}'", config.name));
    };
    auto router = impl_->options.make_router(config.target_group);
    if (!router) return in_endpoint(router.error());
    const std::string description = (*router)->describe();
    const std::lock_guard guard(impl_->mutex);
    for (const auto& [name, other] : impl_->opened) {
        if (name != config.name && other.group->describe() == description)
            return in_endpoint({ErrorKind::AlreadyExists,
                                fmt::format("{} is the group of endpoint '{}' already", description, name),
                                {},
                                0});
    }
    Opened& one = impl_->opened[config.name];
    // The former's thread ends first: two must not work on one group.
    one.group.reset();
    one.config = config;
    one.group = std::make_unique<Group>(config, std::move(*router), impl_->events_of(config));
    impl_->pursue(one);
    return description;
}

void TargetGroups::close(const std::string& endpoint) {
    std::unique_ptr<Group> group;
    {
        const std::lock_guard guard(impl_->mutex);
        const auto found = impl_->opened.find(endpoint);
        if (found == impl_->opened.end()) return;
        group = std::move(found->second.group);
        impl_->readers.erase({found->second.config.cluster, endpoint});
        impl_->opened.erase(found);
    }
    group.reset();
    impl_->barriers.forget(endpoint);
}

void TargetGroups::update(const routing::EndpointConfig& config) {
    const std::lock_guard guard(impl_->mutex);
    const auto found = impl_->opened.find(config.name);
    if (found == impl_->opened.end()) return;
    found->second.config = config;
    found->second.group->set_interval(config.target_group.reconcile);
}

std::vector<ports::EndpointStats> TargetGroups::stats() const {
    const std::lock_guard guard(impl_->mutex);
    std::vector<ports::EndpointStats> all;
    for (const auto& [name, one] : impl_->opened) {
        ports::EndpointStats& stats = all.emplace_back();
        stats.endpoint = name;
        stats.cluster = one.config.cluster;
        stats.address = one.group->describe();
        stats.sessions = one.group->sessions();
        stats.fenced = one.group->sessions_ended();
        stats.note = one.group->problem();
    }
    return all;
}

void TargetGroups::hold(const std::string& cluster, std::uint64_t epoch) {
    const std::lock_guard guard(impl_->mutex);
    ClusterState* state = impl_->advance(cluster, epoch);
    // Before the first route nothing is known of the group, and an empty one stays empty.
    if (state == nullptr || state->traffic != Traffic::Routed) return;
    state->traffic = Traffic::Held;
    impl_->pursue_all(cluster, Role::Writer);
}

void TargetGroups::fence(const std::string& cluster, std::uint64_t epoch) {
    const std::lock_guard guard(impl_->mutex);
    ClusterState* state = impl_->advance(cluster, epoch);
    if (state == nullptr) return;
    if (state->traffic == Traffic::Routed || state->traffic == Traffic::Held) state->fenced = state->address;
    state->traffic = Traffic::Fenced;
    std::vector<Barriers::Waiting> waiting;
    for (const auto& [name, one] : impl_->opened) {
        if (one.config.cluster != cluster) continue;
        const base::Duration deadline = one.config.target_group.deadline;
        waiting.push_back({name, impl_->pursue(one), mono_now() + deadline, deadline});
    }
    impl_->barriers.add(cluster, epoch, std::move(waiting));
}

void TargetGroups::route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                         const base::HostPort& address) {
    const std::lock_guard guard(impl_->mutex);
    ClusterState* state = impl_->advance(cluster, epoch);
    if (state == nullptr) return;
    state->traffic = Traffic::Routed;
    state->member = member;
    state->address = as_listed(address);
    const bool was_fenced = std::exchange(state->fenced, std::nullopt).has_value();
    impl_->pursue_all(cluster, Role::Writer);
    if (was_fenced) impl_->pursue_all(cluster, Role::Reader);
}

void TargetGroups::set_readers(const std::string& cluster, const std::string& endpoint,
                               const std::vector<routing::ReaderTarget>& targets) {
    std::vector<routing::WantedTarget> wanted;
    for (const auto& target : targets) wanted.push_back({as_listed(target.address), target.weight, target.draining});
    const std::lock_guard guard(impl_->mutex);
    impl_->readers[{cluster, endpoint}] = std::move(wanted);
    const auto found = impl_->opened.find(endpoint);
    if (found == impl_->opened.end() || found->second.config.cluster != cluster) return;
    impl_->pursue(found->second);
}

std::uint64_t TargetGroups::writer_sessions(const std::string& cluster) const {
    const std::lock_guard guard(impl_->mutex);
    std::uint64_t count = 0;
    for (const auto& [name, one] : impl_->opened) {
        if (one.config.cluster == cluster && one.config.role == Role::Writer) count += one.group->sessions();
    }
    return count;
}

}  // namespace signalbox::targetgroup
