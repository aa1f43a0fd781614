#include "adapters/targetgroup/target_groups.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <map>
#include <mutex>
#include <utility>

#include "adapters/targetgroup/barriers.hpp"
#include "adapters/targetgroup/group.hpp"
#include "domain/routing/traffic.hpp"

namespace signalbox::targetgroup {
namespace {

using base::ErrorKind;
using routing::Role;
using routing::WriterTraffic;

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

struct Opened {
    routing::EndpointConfig config;
    std::unique_ptr<Group> group;
};

using Readers = std::optional<std::vector<routing::WantedTarget>>;

Goal writer_goal(const WriterTraffic& traffic) {
    Goal goal;
    goal.epoch = traffic.epoch();
    switch (traffic.state()) {
        case WriterTraffic::State::Unknown:
            break;
        case WriterTraffic::State::Fenced:
            goal.wanted.emplace();
            break;
        case WriterTraffic::State::Routed:
            goal.wanted = {{traffic.address()}};
            goal.member = traffic.member();
            break;
        case WriterTraffic::State::Held:
            goal.wanted = {{traffic.address(), 100, true}};
            goal.watch = true;
            break;
    }
    return goal;
}

Goal reader_goal(const WriterTraffic& traffic, const Readers& readers) {
    Goal goal;
    goal.wanted = readers;
    goal.without = traffic.fenced();
    goal.epoch = traffic.epoch();
    return goal;
}

}  // namespace

struct TargetGroups::Impl {
    explicit Impl(TargetGroupOptions given) : options(std::move(given)), barriers(options.on_barrier) {}

    Goal goal_of(const Opened& opened);
    // Gives the group its goal; the goal's number.
    std::uint64_t pursue(const Opened& one);
    void pursue_all(const std::string& cluster, Role role);
    GroupEvents events_of(const routing::EndpointConfig& config);

    const TargetGroupOptions options;
    Barriers barriers;  // outlives the groups, which report to it
    mutable std::mutex mutex;
    std::uint64_t generation = 0;                  // of goals, over all groups
    std::map<std::string, WriterTraffic> traffic;  // by cluster, for groups that are opened later, too
    std::map<std::string, Opened> opened;
    // By cluster and endpoint. Kept when one is closed: a set is told when it changes, not when an endpoint opens.
    std::map<std::pair<std::string, std::string>, Readers> readers;
};

Goal TargetGroups::Impl::goal_of(const Opened& one) {
    const WriterTraffic& cluster = traffic[one.config.cluster];
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
    if (impl_->traffic[cluster].hold(epoch)) impl_->pursue_all(cluster, Role::Writer);
}

void TargetGroups::fence(const std::string& cluster, std::uint64_t epoch) {
    const std::lock_guard guard(impl_->mutex);
    if (!impl_->traffic[cluster].fence(epoch)) return;
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
    WriterTraffic& traffic = impl_->traffic[cluster];
    const bool was_fenced = traffic.fenced().has_value();
    if (!traffic.route(epoch, member, as_listed(address))) return;
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
