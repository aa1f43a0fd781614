#include "adapters/dns/dns_endpoints.hpp"

#include <algorithm>
#include <map>
#include <mutex>

#include "adapters/dns/server.hpp"
#include "domain/routing/traffic.hpp"

namespace signalbox::dns {
namespace {

using base::ErrorKind;
using base::fail;
using routing::Role;
using routing::WriterTraffic;

struct Opened {
    routing::EndpointConfig config;
    std::string name;     // in lower case
    std::string address;  // as bound
};

std::string lower(std::string text) {
    for (auto& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

std::uint32_t whole_seconds(base::Duration ttl) {
    constexpr std::int64_t ttl_max = 0x7fffffff;  // RFC 2181, 8
    return static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(ttl).count(), 0, ttl_max));
}

}  // namespace

struct DnsEndpoints::Impl {
    std::vector<Target> targets_of(const Opened& one);
    // Makes the answers of the cluster's endpoints those of now.
    void publish(const Opened& one);
    void publish_all(const std::string& cluster);
    void drop(const Opened& one);

    DnsOptions options;
    mutable std::mutex mutex;
    std::map<std::string, WriterTraffic> traffic;  // by cluster
    std::map<std::string, Opened> opened;          // by endpoint
    // By cluster and endpoint. Kept when one is closed: a set is told when it changes, not when an endpoint opens.
    std::map<std::pair<std::string, std::string>, std::vector<routing::ReaderTarget>> readers;
    Server server;  // last: its thread ends before what its tasks use
};

std::vector<Target> DnsEndpoints::Impl::targets_of(const Opened& one) {
    const WriterTraffic& now = traffic[one.config.cluster];
    std::vector<Target> targets;
    if (one.config.role == Role::Writer) {
        if (now.state() == WriterTraffic::State::Routed) targets.push_back({now.address().host, 100});
        return targets;
    }
    for (const auto& reader : readers[{one.config.cluster, one.config.name}]) {
        if (!reader.draining && reader.address != now.fenced()) targets.push_back({reader.address.host, reader.weight});
    }
    return targets;
}

void DnsEndpoints::Impl::publish(const Opened& one) {
    const auto targets = targets_of(one);
    const auto epoch = static_cast<std::uint32_t>(traffic[one.config.cluster].epoch());
    server.change(one.address, [&](Zone& zone) {
        Name& name = zone.names[one.name];
        name.ttl_s = whole_seconds(one.config.dns.ttl);
        name.serial = epoch;
        name.targets = targets;
    });
}

void DnsEndpoints::Impl::publish_all(const std::string& cluster) {
    for (const auto& [endpoint, one] : opened) {
        if (one.config.cluster == cluster) publish(one);
    }
}

void DnsEndpoints::Impl::drop(const Opened& one) {
    bool last = false;
    server.change(one.address, [&](Zone& zone) {
        zone.names.erase(one.name);
        last = zone.names.empty();
    });
    if (last) server.close(one.address);
}

DnsEndpoints::DnsEndpoints(DnsOptions options) : impl_(std::make_unique<Impl>()) {
    impl_->options = std::move(options);
}

DnsEndpoints::~DnsEndpoints() = default;

base::Result<std::string> DnsEndpoints::open(const routing::EndpointConfig& config) {
    Opened one{config, lower(config.dns.name), {}};
    if (!is_domain_name(one.name))
        return fail(ErrorKind::InvalidConfig,
                    "endpoint '{}': '{}' is no domain name: expected labels of letters, digits, - and _ between dots, "
                    "without a final one",
                    config.name, config.dns.name);
    const std::lock_guard guard(impl_->mutex);
    for (const auto& [endpoint, other] : impl_->opened) {
        if (endpoint == config.name || other.config.listen != config.listen) continue;
        if (other.name == one.name)
            return fail(ErrorKind::AlreadyExists, "endpoint '{}': endpoint '{}' has the name {} on {} already",
                        config.name, endpoint, one.name, config.listen.text());
        one.address = other.address;
    }
    const auto former = impl_->opened.find(config.name);
    if (former != impl_->opened.end() && former->second.config.listen == config.listen)
        one.address = former->second.address;
    if (one.address.empty()) {
        auto bound = impl_->server.listen(config.listen);
        if (!bound) return base::in_context(bound.error(), fmt::format("endpoint '{}'", config.name));
        one.address = std::move(*bound);
    }
    impl_->publish(one);
    if (former != impl_->opened.end() && (former->second.address != one.address || former->second.name != one.name))
        impl_->drop(former->second);
    impl_->opened[config.name] = one;
    return one.address;
}

void DnsEndpoints::close(const std::string& endpoint) {
    const std::lock_guard guard(impl_->mutex);
    const auto found = impl_->opened.find(endpoint);
    if (found == impl_->opened.end()) return;
    impl_->drop(found->second);
    impl_->opened.erase(found);
}

void DnsEndpoints::update(const routing::EndpointConfig& config) {
    const std::lock_guard guard(impl_->mutex);
    const auto found = impl_->opened.find(config.name);
    if (found == impl_->opened.end()) return;
    // The name is a part of the address: another one is open()'s business.
    const std::string name = found->second.config.dns.name;
    found->second.config = config;
    found->second.config.dns.name = name;
    impl_->publish(found->second);
}

std::vector<ports::EndpointStats> DnsEndpoints::stats() const {
    const std::lock_guard guard(impl_->mutex);
    std::vector<ports::EndpointStats> all;
    for (const auto& [endpoint, one] : impl_->opened) {
        ports::EndpointStats& stats = all.emplace_back();
        stats.endpoint = endpoint;
        stats.cluster = one.config.cluster;
        stats.address = one.address;
        // clang 14 captures no names of a structured binding.
        const std::string& known_as = one.name;
        impl_->server.look(one.address, [&](const Zone& zone) {
            const Name& name = zone.names.at(known_as);
            stats.accepted = name.queries;
            if (name.targets.empty()) stats.note = known_as + " has no address at present";
        });
    }
    return all;
}

void DnsEndpoints::hold(const std::string& cluster, std::uint64_t epoch) {
    const std::lock_guard guard(impl_->mutex);
    if (impl_->traffic[cluster].hold(epoch)) impl_->publish_all(cluster);
}

void DnsEndpoints::fence(const std::string& cluster, std::uint64_t epoch) {
    const std::lock_guard guard(impl_->mutex);
    if (!impl_->traffic[cluster].fence(epoch)) return;
    impl_->publish_all(cluster);
    impl_->server.post([impl = impl_.get(), cluster, epoch] {
        if (impl->options.on_barrier) impl->options.on_barrier({cluster, epoch, {}});
    });
}

void DnsEndpoints::route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                         const base::HostPort& address) {
    const std::lock_guard guard(impl_->mutex);
    if (impl_->traffic[cluster].route(epoch, member, address)) impl_->publish_all(cluster);
}

void DnsEndpoints::set_readers(const std::string& cluster, const std::string& endpoint,
                               const std::vector<routing::ReaderTarget>& targets) {
    const std::lock_guard guard(impl_->mutex);
    impl_->readers[{cluster, endpoint}] = targets;
    const auto found = impl_->opened.find(endpoint);
    if (found != impl_->opened.end() && found->second.config.cluster == cluster) impl_->publish(found->second);
}

std::uint64_t DnsEndpoints::writer_sessions(const std::string&) const { return 0; }

}  // namespace signalbox::dns
