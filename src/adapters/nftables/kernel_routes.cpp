#include "adapters/nftables/kernel_routes.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <fmt/format.h>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "adapters/nftables/board.hpp"

namespace signalbox::kernel {
namespace {

using base::ErrorKind;
using base::fail;
using Clock = std::chrono::steady_clock;

constexpr auto renew_every_max = std::chrono::milliseconds(1000);
constexpr auto retry_first = std::chrono::milliseconds(20);
constexpr auto retry_max = std::chrono::milliseconds(1000);
constexpr auto drain_fresh = std::chrono::milliseconds(50);
constexpr auto stats_fresh = std::chrono::milliseconds(1000);
constexpr std::uint64_t flows_max_limit = 1'000'000;

// What the engine wants of a cluster and the kernel does not have yet. Newer wishes replace older ones, so it stays
// small however fast they come.
struct Wish {
    std::optional<std::uint64_t> fence;
    bool acknowledged = false;  // the fence was already, when no endpoint was open; it is due for what is adopted
    bool hold = false;
    bool route = false;
    std::map<std::string, std::vector<routing::ReaderTarget>> readers;  // by endpoint
    bool empty() const { return !fence && !hold && !route && readers.empty(); }
};

struct Route {
    std::uint64_t epoch = 0;
    std::string member;
    base::HostPort address;
};

struct Cluster {
    std::uint64_t seen = 0;                                             // the newest epoch of any call
    std::optional<Route> route;                                         // to be served now
    std::optional<base::HostPort> last;                                 // where writers were sent last
    std::map<std::string, std::vector<routing::ReaderTarget>> readers;  // as last said, by endpoint
    Wish wish;
};

struct Endpoint {
    routing::EndpointConfig config;
    Reservation reservation;
    Counts base;  // the kernel's counters when it was opened
    std::string note;
};

Door door_of(const routing::EndpointConfig& config, const Address& listen) {
    Door door;
    door.listen = listen;
    door.role = config.role;
    door.cluster = config.cluster;
    door.masquerade = config.kernel.masquerade;
    door.lease =
        config.kernel.on_daemon_loss == routing::OnDaemonLoss::Static ? base::Duration::zero() : config.kernel.lease;
    door.flows_max = std::clamp<std::uint64_t>(config.sessions_max, 1, flows_max_limit);
    return door;
}

}  // namespace

struct KernelRoutes::Impl {
    explicit Impl(KernelOptions given) : options(std::move(given)) {}

    base::Status start();
    void run();
    bool work();
    bool serve(const std::string& cluster, Wish& wish);
    bool fence(const std::string& cluster, Wish& wish);
    bool route(const std::string& cluster);
    bool readers(const std::string& cluster, Wish& wish);
    bool done(const base::Status& status, const std::string& doing);
    void renew();
    void publish();
    void close(std::map<std::string, Endpoint>::iterator endpoint);
    void settle(Endpoint& endpoint, const routing::EndpointConfig& config);
    void problem(const std::string& text) const {
        if (options.on_problem) options.on_problem(text);
    }
    void wish(const std::string& cluster, std::uint64_t epoch, const std::function<void(Cluster&)>& change);
    std::vector<Flow> running_flows(Clock::duration fresh) const;
    ports::EndpointStats stats_of(const Endpoint& endpoint) const;

    const KernelOptions options;

    // Of wishes and of what the engine said last; held for moments only.
    mutable std::mutex wishes_mutex;
    std::condition_variable wished;
    std::map<std::string, Cluster> clusters;
    bool stopping = false;
    bool renew_now = false;  // settings changed: the next renewal was planned for others

    // Of the board and the endpoints; held while the kernel is spoken to. Taken before wishes_mutex, if both.
    mutable std::mutex board_mutex;
    std::unique_ptr<Board> board;
    std::map<std::string, Endpoint> endpoints;
    Clock::time_point renew_at{};
    Clock::time_point strangers_until{};
    std::map<std::string, std::string> failures;  // what fails now, so that it is said once

    // A picture of the board for those who must not wait for it.
    mutable std::mutex picture_mutex;
    std::vector<Door> picture;
    std::vector<ports::EndpointStats> picture_stats;  // but for their sessions
    Stamp picture_owner = 0;

    // Counting flows has a socket of its own.
    mutable std::mutex count_mutex;
    mutable std::optional<Conntrack> counting;
    mutable std::vector<Flow> counted;
    mutable Clock::time_point counted_at{};

    std::thread thread;
};

base::Status KernelRoutes::Impl::start() {
    if (board) return {};
    SB_TRY(board, Board::open(options.instance, [this](const std::string& text) { problem(text); }));
    strangers_until = Clock::now() + options.adopt_within;
    renew_at = Clock::now();
    publish();
    thread = std::thread([this] { run(); });
    return {};
}

void KernelRoutes::Impl::publish() {
    std::vector<ports::EndpointStats> stats;
    for (const auto& [name, endpoint] : endpoints) stats.push_back(stats_of(endpoint));
    const std::lock_guard guard(picture_mutex);
    picture = board->table().doors;
    picture_stats = std::move(stats);
    picture_owner = board->table().owner;
}

ports::EndpointStats KernelRoutes::Impl::stats_of(const Endpoint& endpoint) const {
    const Address& listen = endpoint.reservation.address();
    ports::EndpointStats stats;
    stats.endpoint = endpoint.config.name;
    stats.cluster = endpoint.config.cluster;
    stats.address = listen.text();
    stats.fenced = board->ended(listen);
    stats.note = endpoint.note;
    for (const Door& door : board->table().doors) {
        if (door.listen != listen) continue;
        stats.accepted = door.counts.accepted - endpoint.base.accepted;
        stats.refused = door.counts.refused - endpoint.base.refused;
        stats.bytes_to_server = door.counts.bytes_to_server - endpoint.base.bytes_to_server;
        stats.bytes_to_client = door.counts.bytes_to_client - endpoint.base.bytes_to_client;
        if (door.barred && stats.note.empty()) {
            stats.note = fmt::format("clients of other hosts are refused: this host does not forward (set {} to 1)",
                                     listen.v6 ? "net.ipv6.conf.all.forwarding" : "net.ipv4.ip_forward");
        }
    }
    if (!failures.empty()) {
        const auto& [doing, text] = *failures.begin();
        stats.note = fmt::format("{} fails and is tried again: {}", doing, text);
    }
    return stats;
}

void KernelRoutes::Impl::run() {
    auto retry = retry_first;
    bool asked = true;
    std::unique_lock lock(wishes_mutex);
    while (!stopping) {
        const bool idle =
            std::all_of(clusters.begin(), clusters.end(), [](const auto& one) { return one.second.wish.empty(); });
        if (idle && asked && !renew_now) wished.wait_until(lock, renew_at);
        if (stopping) break;
        const bool renewing = std::exchange(renew_now, false) || Clock::now() >= renew_at;
        lock.unlock();
        bool all_done = false;
        {
            const std::lock_guard guard(board_mutex);
            all_done = work();
            if (renewing) renew();
            publish();
            asked = board->ask_ended();
        }
        lock.lock();
        if (all_done) {
            retry = retry_first;
        } else if (!stopping) {
            wished.wait_until(lock, std::min(Clock::now() + retry, renew_at));
            retry = std::min(retry * 2, retry_max);
        }
    }
}

// Takes the wishes and does them; what fails goes back, unless something newer came meanwhile. False: something failed.
bool KernelRoutes::Impl::work() {
    std::map<std::string, Wish> taken;
    {
        const std::lock_guard guard(wishes_mutex);
        for (auto& [name, cluster] : clusters) {
            if (!cluster.wish.empty()) taken[name] = std::exchange(cluster.wish, {});
        }
    }
    bool all_done = true;
    for (auto& [name, wish] : taken) all_done = serve(name, wish) && all_done;
    const std::lock_guard guard(wishes_mutex);
    for (auto& [name, wish] : taken) {
        Wish& now = clusters[name].wish;
        if (wish.fence && (!now.fence || *now.fence < *wish.fence)) {
            now.fence = wish.fence;
            now.acknowledged = wish.acknowledged;
        }
        if (wish.hold && !now.route) now.hold = true;
        if (wish.route && !now.hold && !now.fence) now.route = true;
        for (auto& [endpoint, targets] : wish.readers) now.readers.try_emplace(endpoint, std::move(targets));
    }
    return all_done;
}

// Does the wish and clears what was done of it. False: something failed.
bool KernelRoutes::Impl::serve(const std::string& cluster, Wish& wish) {
    if (wish.fence && !fence(cluster, wish)) return false;
    if (wish.hold) wish.hold = !done(board->hold(cluster), fmt::format("holding cluster '{}'", cluster));
    if (wish.route) wish.route = !route(cluster);
    return readers(cluster, wish) && wish.empty();
}

bool KernelRoutes::Impl::done(const base::Status& status, const std::string& doing) {
    if (status) {
        failures.erase(doing);
        return true;
    }
    std::string& said = failures[doing];
    if (said != status.error().text()) {
        said = status.error().text();
        problem(fmt::format("{} failed and is tried again: {}", doing, said));
    }
    return false;
}

bool KernelRoutes::Impl::fence(const std::string& cluster, Wish& wish) {
    std::optional<Address> also;
    {
        const std::lock_guard guard(wishes_mutex);
        if (const auto& last = clusters[cluster].last) {
            if (const auto address = parse_address(*last)) also = *address;
        }
    }
    const std::uint64_t epoch = *wish.fence;
    auto result = board->fence(cluster, epoch, also);
    const std::string doing = fmt::format("fencing cluster '{}'", cluster);
    if (!result) return done(tl::unexpected<base::Error>(result.error()), doing);
    (void)done({}, doing);
    wish.fence.reset();
    publish();
    // Exactly once: whoever joins several planes counts.
    if (!wish.acknowledged && options.on_barrier) options.on_barrier({cluster, epoch, std::move(*result)});
    return true;
}

bool KernelRoutes::Impl::route(const std::string& cluster) {
    std::optional<Route> to;
    {
        const std::lock_guard guard(wishes_mutex);
        to = clusters[cluster].route;
    }
    if (!to) return true;
    const auto address = parse_address(to->address);
    for (auto& [name, endpoint] : endpoints) {
        if (endpoint.config.cluster != cluster || endpoint.config.role != routing::Role::Writer) continue;
        const Address& listen = endpoint.reservation.address();
        if (!address) {
            endpoint.note = fmt::format("closed: member '{}': {}", to->member, address.error().message);
        } else if (address->v6 != listen.v6) {
            endpoint.note =
                fmt::format("closed: member '{}' at {} is of another address family", to->member, address->text());
        } else if (listen.loopback() && !address->loopback() && !board->host().routes_loopback) {
            endpoint.note =
                "a loopback address reaches members on loopback only, unless net.ipv4.conf.all.route_localnet is 1";
        } else {
            endpoint.note.clear();
        }
    }
    const std::string doing = fmt::format("routing cluster '{}'", cluster);
    if (!address) return done(board->hold(cluster), doing);
    return done(board->route(cluster, to->epoch, to->member, *address), doing);
}

bool KernelRoutes::Impl::readers(const std::string& cluster, Wish& wish) {
    for (auto one = wish.readers.begin(); one != wish.readers.end();) {
        const auto found = endpoints.find(one->first);
        if (found == endpoints.end() || found->second.config.cluster != cluster) {
            // Not open (yet): opening it takes what was said last.
            one = wish.readers.erase(one);
            continue;
        }
        Endpoint& endpoint = found->second;
        endpoint.note.clear();
        std::vector<Reader> readers;
        for (const routing::ReaderTarget& target : one->second) {
            const auto address = parse_address(target.address);
            if (address && address->v6 == endpoint.reservation.address().v6) {
                readers.push_back({target.member, *address, target.weight, target.draining});
            } else {
                endpoint.note = fmt::format("left out: member '{}' at {}: no IP address of the endpoint's family",
                                            target.member, target.address.text());
            }
        }
        if (!done(board->set_readers(endpoint.reservation.address(), readers),
                  fmt::format("the readers of endpoint '{}'", one->first))) {
            return false;
        }
        one = wish.readers.erase(one);
    }
    return true;
}

void KernelRoutes::Impl::renew() {
    const bool renewed = done(board->renew(), "renewing the leases");
    base::Duration every = renew_every_max;
    for (const Door& door : board->table().doors) {
        if (door.lease != base::Duration::zero()) every = std::min<base::Duration>(every, door.lease / 3);
    }
    if (!renewed) every = std::min<base::Duration>(every, std::chrono::milliseconds(100));
    renew_at = Clock::now() + std::chrono::duration_cast<Clock::duration>(every);
    if (Clock::now() >= strangers_until) (void)done(board->close_strangers(), "removing endpoints that are no more");
}

void KernelRoutes::Impl::wish(const std::string& cluster, std::uint64_t epoch,
                              const std::function<void(Cluster&)>& change) {
    {
        const std::lock_guard guard(wishes_mutex);
        Cluster& known = clusters[cluster];
        if (epoch < known.seen) return;
        known.seen = epoch;
        change(known);
    }
    wished.notify_all();
}

std::vector<Flow> KernelRoutes::Impl::running_flows(Clock::duration fresh) const {
    Stamp owner = 0;
    std::vector<Door> doors;
    {
        const std::lock_guard guard(picture_mutex);
        owner = picture_owner;
        doors = picture;
    }
    if (owner == 0) return {};
    const std::lock_guard guard(count_mutex);
    if (Clock::now() - counted_at >= fresh) {
        if (!counting) {
            auto opened = Conntrack::open();
            if (!opened) return {};
            counting.emplace(std::move(*opened));
        }
        auto flows = counting->flows(owner, stamp_owner_mask);
        if (flows) counted = std::move(*flows);
        std::erase_if(counted, [](const Flow& flow) { return flow.life != Life::Running; });
        counted_at = Clock::now();
    }
    std::set<Stamp> alive;
    for (const Door& door : doors) {
        for (const Target& target : door.targets) alive.insert(target.stamp);
    }
    std::vector<Flow> running = counted;
    std::erase_if(running, [&](const Flow& flow) { return !alive.contains(flow.mark); });
    return running;
}

KernelRoutes::KernelRoutes(KernelOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

KernelRoutes::~KernelRoutes() {
    {
        const std::lock_guard guard(impl_->wishes_mutex);
        impl_->stopping = true;
    }
    impl_->wished.notify_all();
    if (impl_->thread.joinable()) impl_->thread.join();
    if (impl_->board) impl_->board->leave();
}

base::Result<std::string> KernelRoutes::open(const routing::EndpointConfig& config) {
    const std::string where = fmt::format("endpoint '{}' on {}", config.name, config.listen.text());
    auto listen = parse_address(config.listen);
    if (!listen) return base::in_context(listen.error(), where);
    if (listen->unspecified()) {
        return fail(ErrorKind::InvalidArgument, "{}: a kernel endpoint needs one address of this host, not all of them",
                    where);
    }
    const std::lock_guard guard(impl_->board_mutex);
    auto before = impl_->endpoints.find(config.name);
    for (const auto& [name, endpoint] : impl_->endpoints) {
        if (endpoint.reservation.address() != *listen || name == config.name) continue;
        return fail(ErrorKind::AlreadyExists, "{}: endpoint '{}' has that address already", where, name);
    }
    if (before != impl_->endpoints.end() && before->second.reservation.address() == *listen) {
        if (before->second.config.role == config.role && before->second.config.cluster == config.cluster) {
            impl_->settle(before->second, config);
            return listen->text();
        }
        impl_->close(before);
        before = impl_->endpoints.end();
    }
    auto reservation = Reservation::take(*listen);
    if (!reservation) return base::in_context(reservation.error(), where);
    if (const auto started = impl_->start(); !started) return base::in_context(started.error(), where);
    const Address bound = reservation->address();
    if (const auto opened = impl_->board->open_door(door_of(config, bound)); !opened) {
        return base::in_context(opened.error(), where);
    }
    if (before != impl_->endpoints.end()) impl_->close(before);
    Counts base;
    for (const Door& door : impl_->board->table().doors) {
        if (door.listen == bound) base = door.counts;
    }
    impl_->endpoints.emplace(config.name, Endpoint{config, std::move(*reservation), base, {}});
    impl_->publish();
    {
        // What the engine said before counts for this endpoint too.
        const std::lock_guard wishes(impl_->wishes_mutex);
        impl_->renew_now = true;
        Cluster& cluster = impl_->clusters[config.cluster];
        if (cluster.route) cluster.wish.route = true;
        if (const auto said = cluster.readers.find(config.name); said != cluster.readers.end()) {
            cluster.wish.readers[config.name] = said->second;
        }
    }
    impl_->wished.notify_all();
    return bound.text();
}

void KernelRoutes::Impl::close(std::map<std::string, Endpoint>::iterator endpoint) {
    const std::string doing = fmt::format("closing endpoint '{}'", endpoint->first);
    // Its address is free for others only when its rules are gone.
    (void)done(board->close_door(endpoint->second.reservation.address()), doing);
    endpoints.erase(endpoint);
    publish();
    wished.notify_all();
}

void KernelRoutes::Impl::settle(Endpoint& endpoint, const routing::EndpointConfig& config) {
    endpoint.config = config;
    (void)done(board->update_door(door_of(config, endpoint.reservation.address())),
               fmt::format("new settings of endpoint '{}'", config.name));
    publish();
    {
        const std::lock_guard guard(wishes_mutex);
        renew_now = true;
    }
    wished.notify_all();
}

void KernelRoutes::close(const std::string& endpoint) {
    const std::lock_guard guard(impl_->board_mutex);
    const auto found = impl_->endpoints.find(endpoint);
    if (found != impl_->endpoints.end()) impl_->close(found);
}

void KernelRoutes::update(const routing::EndpointConfig& config) {
    const std::lock_guard guard(impl_->board_mutex);
    const auto found = impl_->endpoints.find(config.name);
    if (found != impl_->endpoints.end()) impl_->settle(found->second, config);
}

void KernelRoutes::hold(const std::string& cluster, std::uint64_t epoch) {
    impl_->wish(cluster, epoch, [](Cluster& one) {
        one.route.reset();
        one.wish.route = false;
        one.wish.hold = true;
    });
}

void KernelRoutes::fence(const std::string& cluster, std::uint64_t epoch) {
    bool started = false;
    {
        const std::lock_guard guard(impl_->picture_mutex);
        started = impl_->picture_owner != 0;
    }
    impl_->wish(cluster, epoch, [&](Cluster& one) {
        one.route.reset();
        one.wish.route = false;
        one.wish.hold = true;
        one.wish.fence = epoch;
        one.wish.acknowledged = !started;
    });
    // Without an endpoint there is nothing to fence, and no thread that would say so.
    if (!started && impl_->options.on_barrier) impl_->options.on_barrier({cluster, epoch, {}});
}

void KernelRoutes::route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                         const base::HostPort& address) {
    impl_->wish(cluster, epoch, [&](Cluster& one) {
        one.route = Route{epoch, member, address};
        one.last = address;
        one.wish.hold = false;
        one.wish.route = true;
    });
}

void KernelRoutes::set_readers(const std::string& cluster, const std::string& endpoint,
                               const std::vector<routing::ReaderTarget>& targets) {
    {
        const std::lock_guard guard(impl_->wishes_mutex);
        Cluster& known = impl_->clusters[cluster];
        known.readers[endpoint] = targets;
        known.wish.readers[endpoint] = targets;
    }
    impl_->wished.notify_all();
}

std::uint64_t KernelRoutes::writer_sessions(const std::string& cluster) const {
    std::set<Stamp> stamps;
    {
        const std::lock_guard guard(impl_->picture_mutex);
        for (const Door& door : impl_->picture) {
            if (door.cluster != cluster || door.role != routing::Role::Writer) continue;
            for (const Target& target : door.targets) stamps.insert(target.stamp);
        }
    }
    const auto flows = impl_->running_flows(drain_fresh);
    return static_cast<std::uint64_t>(
        std::count_if(flows.begin(), flows.end(), [&](const Flow& flow) { return stamps.contains(flow.mark); }));
}

std::vector<ports::EndpointStats> KernelRoutes::stats() const {
    const auto flows = impl_->running_flows(stats_fresh);
    std::vector<ports::EndpointStats> all;
    {
        const std::lock_guard guard(impl_->picture_mutex);
        all = impl_->picture_stats;
    }
    for (ports::EndpointStats& stats : all) {
        stats.sessions = static_cast<std::uint64_t>(std::count_if(
            flows.begin(), flows.end(), [&](const Flow& flow) { return flow.listen.text() == stats.address; }));
    }
    return all;
}

base::Status KernelRoutes::remove(std::string_view instance) {
    auto board = Board::open(instance, [](const std::string&) {});
    if (!board) {
        // Who may not touch the kernel left nothing in it.
        const bool unable =
            board.error().kind == ErrorKind::PermissionDenied || board.error().kind == ErrorKind::NotSupported;
        if (unable) return {};
        return tl::unexpected<base::Error>(board.error());
    }
    auto closed = (*board)->close_strangers();
    while (!(*board)->ask_ended()) {
    }
    return closed;
}

}  // namespace signalbox::kernel
