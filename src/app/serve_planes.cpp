#include "app/serve_planes.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace signalbox::app {

void merge(ports::BarrierResult& total, ports::BarrierResult part) {
    total.sessions_closed += part.sessions_closed;
    for (auto& found : part.server_sessions) {
        const auto same = std::find_if(total.server_sessions.begin(), total.server_sessions.end(),
                                       [&](const auto& known) { return known.member == found.member; });
        if (same == total.server_sessions.end()) {
            total.server_sessions.push_back(std::move(found));
        } else {
            same->sessions.insert(same->sessions.end(), found.sessions.begin(), found.sessions.end());
        }
    }
    total.unfenced.insert(total.unfenced.end(), part.unfenced.begin(), part.unfenced.end());
}

Planes::~Planes() = default;

void Planes::add(routing::Mode mode, std::unique_ptr<ports::DataPlane> plane) { planes_[mode] = std::move(plane); }

void Planes::stop() { planes_.clear(); }

ports::DataPlane& Planes::plane(routing::Mode mode) const {
    const auto found = planes_.find(mode);
    SB_ASSERT(found != planes_.end(), "every mode that a configuration may name has a plane");
    return *found->second;
}

base::Result<std::string> Planes::open(const routing::EndpointConfig& config) {
    return plane(config.mode).open(config);
}

void Planes::close(const routing::EndpointConfig& config) { plane(config.mode).close(config.name); }

void Planes::update(const routing::EndpointConfig& config) { plane(config.mode).update(config); }

std::vector<ports::EndpointStats> Planes::stats() const {
    std::vector<ports::EndpointStats> all;
    for (const auto& [mode, plane] : planes_) {
        auto part = plane->stats();
        std::move(part.begin(), part.end(), std::back_inserter(all));
    }
    return all;
}

void Planes::hold(const std::string& cluster, std::uint64_t epoch) {
    for (const auto& [mode, plane] : planes_) plane->hold(cluster, epoch);
}

void Planes::fence(const std::string& cluster, std::uint64_t epoch) {
    {
        const std::lock_guard guard(mutex_);
        // Of fences that were overtaken some planes may never speak again.
        std::erase_if(barriers_, [&](const auto& entry) {
            return entry.first.first == cluster && entry.first.second + 100 < epoch;
        });
        barriers_[{cluster, epoch}].remaining = planes_.size();
    }
    for (const auto& [mode, plane] : planes_) plane->fence(cluster, epoch);
}

void Planes::acknowledged(ports::BarrierDone part) {
    ports::BarrierDone done{part.cluster, part.epoch, {}};
    {
        const std::lock_guard guard(mutex_);
        const auto found = barriers_.find({part.cluster, part.epoch});
        if (found == barriers_.end()) return;
        merge(found->second.result, std::move(part.result));
        if (--found->second.remaining != 0) return;
        done.result = std::move(found->second.result);
        barriers_.erase(found);
    }
    on_barrier_(std::move(done));
}

void Planes::route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                   const base::HostPort& address) {
    for (const auto& [mode, plane] : planes_) plane->route(cluster, epoch, member, address);
}

void Planes::set_readers(const std::string& cluster, const std::string& endpoint,
                         const std::vector<routing::ReaderTarget>& targets) {
    {
        const std::lock_guard guard(mutex_);
        readers_[endpoint] = targets;
    }
    for (const auto& [mode, plane] : planes_) plane->set_readers(cluster, endpoint, targets);
}

std::vector<routing::ReaderTarget> Planes::readers(const std::string& endpoint) const {
    const std::lock_guard guard(mutex_);
    const auto found = readers_.find(endpoint);
    return found == readers_.end() ? std::vector<routing::ReaderTarget>{} : found->second;
}

std::uint64_t Planes::writer_sessions(const std::string& cluster) const {
    std::uint64_t count = 0;
    for (const auto& [mode, plane] : planes_) count += plane->writer_sessions(cluster);
    return count;
}

}  // namespace signalbox::app
