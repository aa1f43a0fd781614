#pragma once
// One client's connection and what it needs while it waits, connects and is relayed. Touched by its shard's thread
// only.

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "domain/routing/endpoint.hpp"

namespace signalbox::relay {

namespace asio = boost::asio;

// The concrete executor, not the polymorphic one: no virtual call per byte.
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Timer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
template <typename T>
using Task = asio::awaitable<T, Executor>;
inline constexpr asio::use_awaitable_t<Executor> use_task;

// Written by one shard, read by whoever asks for the figures: no locked instruction on the data path.
class Counter {
  public:
    void add(std::uint64_t amount) {
        value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }
    void subtract(std::uint64_t amount) {
        value_.store(value_.load(std::memory_order_relaxed) - amount, std::memory_order_relaxed);
    }
    std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

struct alignas(64) Counters {
    Counter accepted, refused, fenced, left_while_held, released, held_ns, bytes_to_server, bytes_to_client;
};

// What the shards share of an endpoint.
struct Endpoint {
    Endpoint(const routing::EndpointConfig& config, std::size_t shards);
    void limit(const routing::EndpointConfig& config);

    const std::string name;
    const std::string cluster;
    std::string address;
    std::atomic<base::Duration::rep> hold_time_ns{0};
    std::atomic<std::uint64_t> hold_connections_max{0};
    std::atomic<std::uint64_t> sessions_max{0};
    std::atomic<std::uint64_t> sessions{0};
    std::atomic<std::uint64_t> held{0};
    std::atomic<bool> closed{false};
    std::vector<Counters> counters;  // one per shard
};

struct Route {
    std::uint64_t epoch = 0;
    bool open = false;
    std::shared_ptr<const std::string> member;
    std::string host;
    std::uint16_t port = 0;
};

struct Session;

// A session that ended before its epoch did, whose last statement may still run on the server.
struct EndedSession {
    std::uint64_t epoch = 0;
    std::shared_ptr<const std::string> member;
    std::uint64_t connection_id = 0;
    std::chrono::steady_clock::time_point at;
};
// What a fence still remembers of them, per shard and cluster.
constexpr std::size_t ended_max = 4096;
constexpr auto ended_kept = std::chrono::seconds(60);

// One shard's view of a cluster.
struct ClusterRoutes {
    std::string name;
    Route route;
    std::list<Session*> sessions;
    std::list<Session*> waiting;     // in the order in which they came
    std::deque<EndedSession> ended;  // the oldest first
    std::size_t connecting = 0;
    std::chrono::steady_clock::time_point last_hint{};
};

enum class Phase { Waiting, Connecting, Relaying, Ended };

constexpr std::size_t small_buffer_bytes = 4096;

struct Session {
    Session(Socket socket, std::shared_ptr<Endpoint> at, ClusterRoutes& routes);

    Socket client;
    Socket server;
    Timer timer;
    std::shared_ptr<Endpoint> endpoint;
    ClusterRoutes& cluster;
    std::list<Session*>::iterator in_sessions;
    std::list<Session*>::iterator in_waiting;  // valid while is_waiting

    Phase phase = Phase::Waiting;
    bool is_waiting = false;
    bool released = false;  // may connect now; set by the shard
    bool counted_held = false;
    bool client_gone = false;
    bool fenced = false;  // its epoch was closed: what it had with the server is over
    bool quit_sent = false;
    bool client_ended = false;
    bool server_ended = false;  // by itself: nothing of the session runs there any more
    std::uint64_t epoch = 0;
    std::uint32_t connection_id = 0;  // the server's; 0: not known yet
    std::shared_ptr<const std::string> member;
    std::chrono::steady_clock::time_point accepted_at;
    std::chrono::steady_clock::time_point held_since;
    int directions = 0;  // still running

    // Small, for what an idle or chatty session needs; bulk goes through the shard's own buffer.
    std::unique_ptr<std::array<char, small_buffer_bytes>> to_server_buffer;
    std::unique_ptr<std::array<char, small_buffer_bytes>> to_client_buffer;

    // Ends the server's side at once, what it still had to send is dropped.
    void reset_server();
    void close_server();
    void close_client();
};

}  // namespace signalbox::relay
