#include "adapters/relay/relay.hpp"

#include <algorithm>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <future>
#include <map>
#include <mutex>
#include <netinet/tcp.h>
#include <thread>

#include "adapters/relay/shard.hpp"

namespace signalbox::relay {
namespace {

using base::ErrorKind;
using base::fail;
using boost::system::error_code;

constexpr auto accept_pause = std::chrono::milliseconds(50);

struct Listener {
    Listener(asio::io_context& io, std::shared_ptr<Endpoint> at)
        : acceptor(io.get_executor()), pause(io.get_executor()), endpoint(std::move(at)) {}
    asio::basic_socket_acceptor<asio::ip::tcp, Executor> acceptor;
    Timer pause;
    std::shared_ptr<Endpoint> endpoint;
};

// Collects the shards' answers; the last one to answer calls back.
struct Barrier {
    std::mutex mutex;
    std::size_t remaining = 0;
    ports::BarrierDone done;
};

void merge(ports::BarrierResult& total, ports::BarrierResult part) {
    total.sessions_closed += part.sessions_closed;
    for (auto& sessions : part.server_sessions) {
        const auto same = std::find_if(total.server_sessions.begin(), total.server_sessions.end(),
                                       [&](const auto& known) { return known.member == sessions.member; });
        if (same == total.server_sessions.end()) {
            total.server_sessions.push_back(std::move(sessions));
        } else {
            same->sessions.insert(same->sessions.end(), sessions.sessions.begin(), sessions.sessions.end());
        }
    }
}

}  // namespace

struct Relay::Impl {
    explicit Impl(RelayOptions given) : options(std::move(given)) {
        const std::size_t count =
            options.shards != 0 ? options.shards : std::max<std::size_t>(1, std::thread::hardware_concurrency());
        for (std::size_t i = 0; i < count; ++i) shards.push_back(std::make_unique<Shard>(i, options, cancels));
    }

    Task<void> accept_loop(std::shared_ptr<Listener> listener);
    void close(Listener& listener);
    // False for an epoch older than one seen before.
    bool advance(const std::string& cluster, std::uint64_t epoch);

    const RelayOptions options;
    CancelDirectory cancels;
    std::vector<std::unique_ptr<Shard>> shards;
    mutable std::mutex mutex;  // of what follows
    std::map<std::string, std::shared_ptr<Listener>> listeners;
    std::map<std::pair<std::string, std::string>, std::vector<SharedTarget>> readers;  // by cluster and endpoint
    std::map<std::string, std::uint64_t> epochs;
};

Task<void> Relay::Impl::accept_loop(std::shared_ptr<Listener> listener) {
    // Connections are dealt out in turn; the acceptor itself lives in the first shard.
    std::size_t next = 0;
    while (listener->acceptor.is_open()) {
        Shard& shard = *shards[next];
        Socket client(shard.io());
        error_code error;
        co_await listener->acceptor.async_accept(client, asio::redirect_error(use_task, error));
        if (error == asio::error::operation_aborted || !listener->acceptor.is_open()) co_return;
        if (error) {
            // Out of descriptors or memory: wait a little instead of spinning.
            listener->pause.expires_after(accept_pause);
            co_await listener->pause.async_wait(asio::redirect_error(use_task, error));
            continue;
        }
        next = (next + 1) % shards.size();
        shard.adopt(std::move(client), listener->endpoint);
    }
}

void Relay::Impl::close(Listener& listener) {
    listener.endpoint->closed = true;
    std::promise<void> closed;
    asio::post(shards.front()->io(), [&] {
        error_code ignored;
        listener.acceptor.close(ignored);
        listener.pause.cancel();
        closed.set_value();
    });
    closed.get_future().wait();
    for (const auto& shard : shards) {
        std::promise<void> ended;
        shard->end_sessions(listener.endpoint, [&] { ended.set_value(); });
        ended.get_future().wait();
    }
}

bool Relay::Impl::advance(const std::string& cluster, std::uint64_t epoch) {
    const std::lock_guard guard(mutex);
    std::uint64_t& newest = epochs[cluster];
    if (epoch < newest) return false;
    newest = epoch;
    return true;
}

Relay::Relay(RelayOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Relay::~Relay() {
    for (auto& [name, listener] : impl_->listeners) impl_->close(*listener);
    impl_->listeners.clear();
    // The first shard runs the accept loops and hands connections to the others: it goes first.
    for (auto& shard : impl_->shards) shard.reset();
}

base::Result<std::string> Relay::open(const routing::EndpointConfig& config) {
    error_code error;
    const auto ip = asio::ip::make_address(config.listen.host == "localhost" ? "127.0.0.1" : config.listen.host, error);
    if (error) {
        return fail(ErrorKind::InvalidArgument,
                    "endpoint '{}': can't listen on {}: expected an IP address of this machine and a port", config.name,
                    config.listen.text());
    }
    auto endpoint = std::make_shared<Endpoint>(config, impl_->shards.size());
    auto listener = std::make_shared<Listener>(impl_->shards.front()->io(), endpoint);
    auto& acceptor = listener->acceptor;
    acceptor.open(ip.is_v6() ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), error);
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    // Accepted sockets inherit these.
    if (!error) acceptor.set_option(asio::ip::tcp::no_delay(true), error);
    if (!error) acceptor.set_option(asio::socket_base::keep_alive(true), error);
    if (!error) acceptor.bind({ip, config.listen.port}, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
        return fail(ErrorKind::Unavailable, "endpoint '{}': can't listen on {}: {}", config.name, config.listen.text(),
                    error.message());
    }
    endpoint->address = base::HostPort{ip.to_string(), acceptor.local_endpoint().port()}.text();
    // The one of the same name on another address goes only now that its successor is bound.
    close(config.name);
    {
        const std::lock_guard guard(impl_->mutex);
        impl_->listeners[config.name] = listener;
    }
    impl_->shards.front()->spawn(impl_->accept_loop(std::move(listener)));
    return endpoint->address;
}

void Relay::close(const std::string& endpoint) {
    std::shared_ptr<Listener> listener;
    {
        const std::lock_guard guard(impl_->mutex);
        const auto found = impl_->listeners.find(endpoint);
        if (found == impl_->listeners.end()) return;
        listener = std::move(found->second);
        impl_->listeners.erase(found);
    }
    impl_->close(*listener);
}

void Relay::update(const routing::EndpointConfig& config) {
    const std::lock_guard guard(impl_->mutex);
    const auto found = impl_->listeners.find(config.name);
    if (found != impl_->listeners.end()) found->second->endpoint->limit(config);
}

std::vector<ports::EndpointStats> Relay::stats() const {
    const std::lock_guard guard(impl_->mutex);
    std::vector<ports::EndpointStats> all;
    for (const auto& [name, listener] : impl_->listeners) {
        const Endpoint& endpoint = *listener->endpoint;
        ports::EndpointStats& stats = all.emplace_back();
        stats.endpoint = name;
        stats.cluster = endpoint.cluster;
        stats.address = endpoint.address;
        stats.sessions = endpoint.sessions;
        stats.held = endpoint.held;
        for (const Counters& counters : endpoint.counters) {
            stats.accepted += counters.accepted.get();
            stats.refused += counters.refused.get();
            stats.fenced += counters.fenced.get();
            stats.left_while_held += counters.left_while_held.get();
            stats.released += counters.released.get();
            stats.held_seconds += static_cast<double>(counters.held_ns.get()) / 1e9;
            stats.bytes_to_server += counters.bytes_to_server.get();
            stats.bytes_to_client += counters.bytes_to_client.get();
        }
    }
    return all;
}

void Relay::hold(const std::string& cluster, std::uint64_t epoch) {
    if (!impl_->advance(cluster, epoch)) return;
    for (const auto& shard : impl_->shards) shard->hold(cluster, epoch);
}

void Relay::fence(const std::string& cluster, std::uint64_t epoch) {
    if (!impl_->advance(cluster, epoch)) return;
    auto barrier = std::make_shared<Barrier>();
    barrier->remaining = impl_->shards.size();
    barrier->done.cluster = cluster;
    barrier->done.epoch = epoch;
    const auto acknowledge = [barrier, this](ports::BarrierResult part) {
        const std::lock_guard guard(barrier->mutex);
        merge(barrier->done.result, std::move(part));
        if (--barrier->remaining == 0 && impl_->options.on_barrier) impl_->options.on_barrier(std::move(barrier->done));
    };
    for (const auto& shard : impl_->shards) shard->fence(cluster, epoch, acknowledge);
}

void Relay::route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                  const base::HostPort& address) {
    if (!impl_->advance(cluster, epoch)) return;
    const Route route{epoch, true, std::make_shared<const std::string>(member), address};
    for (const auto& shard : impl_->shards) shard->route(cluster, route);
}

void Relay::set_readers(const std::string& cluster, const std::string& endpoint,
                        const std::vector<routing::ReaderTarget>& targets) {
    // Under the lock until every shard has it: two sets must not overtake each other.
    const std::lock_guard guard(impl_->mutex);
    std::vector<SharedTarget>& known = impl_->readers[{cluster, endpoint}];
    std::vector<SharedTarget> next;
    for (const auto& target : targets) {
        const auto same = std::find_if(known.begin(), known.end(), [&](const SharedTarget& one) {
            return one.target.member == target.member && one.target.address == target.address;
        });
        next.push_back({target, same != known.end() ? same->load : std::make_shared<TargetLoad>()});
    }
    known = next;
    for (const auto& shard : impl_->shards) shard->set_readers(cluster, endpoint, next);
}

std::uint64_t Relay::writer_sessions(const std::string& cluster) const {
    const std::lock_guard guard(impl_->mutex);
    std::uint64_t count = 0;
    for (const auto& [name, listener] : impl_->listeners) {
        const Endpoint& endpoint = *listener->endpoint;
        if (endpoint.cluster == cluster && endpoint.role == routing::Role::Writer) count += endpoint.connected;
    }
    return count;
}

}  // namespace signalbox::relay
