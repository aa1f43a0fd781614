// Which adapter serves which endpoint mode, and what of its doings stands in the journal and the log.

#include <spdlog/spdlog.h>

#include "adapters/dns/dns_endpoints.hpp"
#include "adapters/haproxy/router.hpp"
#include "adapters/nftables/kernel_routes.hpp"
#include "adapters/relay/relay.hpp"
#include "adapters/targetgroup/target_groups.hpp"
#include "app/serve_follower.hpp"

namespace signalbox::app {

void Follower::make_planes(std::size_t shards) {
    planes_ = std::make_unique<Planes>([this](ports::BarrierDone done) { post(std::move(done)); });
    const auto acknowledge = [this](ports::BarrierDone part) { planes_->acknowledged(std::move(part)); };

    relay::RelayOptions stream;
    stream.shards = shards;
    stream.on_barrier = acknowledge;
    stream.on_hint = [this](ports::TrafficHint hint) { post(std::move(hint)); };
    planes_->add(routing::Mode::Stream, std::make_unique<relay::Relay>(std::move(stream)));

    kernel::KernelOptions kernel;
    kernel.instance = instance_;
    kernel.on_barrier = acknowledge;
    kernel.on_problem = [](const std::string& text) { spdlog::warn("kernel endpoints: {}", text); };
    planes_->add(routing::Mode::Kernel, std::make_unique<kernel::KernelRoutes>(std::move(kernel)));

    planes_->add(routing::Mode::Dns, std::make_unique<dns::DnsEndpoints>(dns::DnsOptions{acknowledge}));

    targetgroup::TargetGroupOptions groups;
    groups.make_router = [](const routing::TargetGroupConfig& config) {
        return haproxy::Router::create({config.socket, config.backend});
    };
    groups.on_barrier = acknowledge;
    groups.on_verified = [this](const targetgroup::Verified& seen) {
        later([this, seen] {
            journal("target-group-verified", seen.cluster, seen.epoch,
                    {{"endpoint", seen.endpoint}, {"member", seen.member}, {"after_ms", base::to_ms(seen.after)}});
        });
    };
    groups.on_step = [this](const targetgroup::StepTaken& taken) {
        later([this, taken] {
            journal("target-group-step", taken.cluster, 0,
                    {{"endpoint", taken.endpoint},
                     {"step", routing::to_string(taken.step.action)},
                     {"target", taken.step.address.text()},
                     {"foreign", taken.foreign}});
        });
    };
    groups.on_problem = [](const std::string& cluster, const std::string& endpoint, const std::string& text) {
        if (text.empty()) {
            spdlog::info("cluster {}: target group of endpoint {} is right again", cluster, endpoint);
        } else {
            spdlog::warn("cluster {}: target group of endpoint {}: {}", cluster, endpoint, text);
        }
    };
    planes_->add(routing::Mode::TargetGroup, std::make_unique<targetgroup::TargetGroups>(std::move(groups)));
}

void Follower::clear_kernel(const std::vector<routing::EndpointConfig>& endpoints) {
    for (const auto& endpoint : endpoints) {
        if (endpoint.mode == routing::Mode::Kernel) return;
    }
    if (const auto removed = kernel::KernelRoutes::remove(instance_); !removed) {
        spdlog::warn("kernel endpoints of an earlier configuration may still be there: {}", removed.error().text());
    }
}

void Follower::journal(const std::string& kind, const std::string& cluster, std::uint64_t epoch,
                       base::json::object data) {
    ports::JournalEntry entry;
    entry.at = std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now());
    entry.kind = kind;
    entry.subject = cluster;
    entry.epoch = epoch;
    entry.data = std::move(data);
    // The log says it if this fails; no decision depends on it.
    [[maybe_unused]] const auto sequence = journal_.append(entry, ports::Durability::Relaxed);
}

}  // namespace signalbox::app
