#pragma once
// One client's connection and what it needs while it waits, connects and is relayed. Touched by its shard's thread
// only.

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/relay/cancels.hpp"
#include "adapters/relay/readers.hpp"
#include "adapters/relay/socket.hpp"
#include "base/time.hpp"
#include "domain/clusters/evidence.hpp"
#include "domain/routing/endpoint.hpp"
#include "wire/postgres/startup.hpp"

namespace signalbox::relay {

// Written by one shard, read by whoever asks for the figures: no locked instruction on the data path.
class Counter {
  public:
    void add(std::uint64_t amount) {
        value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
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
    const routing::Role role;
    const routing::Protocol protocol;
    std::string address;
    std::atomic<base::Duration::rep> hold_time_ns{0};
    std::atomic<std::uint64_t> hold_connections_max{0};
    std::atomic<std::uint64_t> hold_bytes_max{0};
    std::atomic<std::uint64_t> sessions_max{0};
    std::atomic<std::uint64_t> sessions{0};
    std::atomic<std::uint64_t> connected{0};  // with a server
    std::atomic<std::uint64_t> held{0};
    std::atomic<std::uint64_t> held_bytes{0};
    std::atomic<std::uint64_t> refusing{0};  // still being told that they are refused
    std::atomic<bool> closed{false};
    std::vector<Counters> counters;  // one per shard
};

struct Route {
    std::uint64_t epoch = 0;
    bool open = false;
    std::shared_ptr<const std::string> member;  // stays that of the last route while it is closed
    base::HostPort address;
};

struct Session;

// Where clients wait until they may connect, in the order in which they came: one for the writer endpoints of a
// cluster, one for each reader endpoint.
struct Gate {
    std::list<Session*> waiting;
    std::size_t connecting = 0;  // writer endpoints; readers count for each place
    ReaderPlaces readers;
    std::size_t turn = 0;
};

// A session that ended before its epoch did, whose last statement may still run on the server.
struct EndedSession {
    std::uint64_t epoch = 0;
    std::shared_ptr<const std::string> member;
    std::uint64_t connection_id = 0;
    asio::ip::tcp::endpoint local;
    Clock::time_point at;
};
// What a fence still remembers of them, per shard and cluster.
constexpr std::size_t ended_max = 4096;
constexpr auto ended_kept = std::chrono::seconds(60);

// One shard's view of a cluster.
struct ClusterRoutes {
    std::string name;
    Route route;
    Gate writers;
    std::map<std::string, Gate> readers;  // by endpoint; never erased: sessions point into it
    // The member that the last fence closed, until the next route: reader endpoints send nobody there.
    std::shared_ptr<const std::string> barred;
    std::list<Session*> sessions;
    std::deque<EndedSession> ended;  // the oldest first
    Clock::time_point last_hint{};
};

enum class Phase { Waiting, Connecting, Relaying, Ended };

constexpr std::size_t small_buffer_bytes = 4096;

struct Session {
    Session(Socket socket, std::shared_ptr<Endpoint> at, ClusterRoutes& routes);

    bool is_reader() const { return endpoint->role == routing::Role::Reader; }
    bool client_speaks_first() const { return endpoint->protocol == routing::Protocol::PostgreSql; }

    Socket client;
    Socket server;
    Timer timer;
    std::shared_ptr<Endpoint> endpoint;
    ClusterRoutes& cluster;
    Gate& gate;
    std::list<Session*>::iterator in_sessions;
    std::list<Session*>::iterator in_waiting;  // valid while is_waiting

    Phase phase = Phase::Waiting;
    bool is_waiting = false;
    bool released = false;  // may connect now; set by the shard
    bool counted_held = false;
    bool watched = false;  // somebody waits for the client to send or leave
    bool client_gone = false;
    bool fenced = false;  // its epoch was closed, or its reader left the set: what it had with the server is over
    bool quit_sent = false;
    bool client_ended = false;
    bool server_ended = false;    // by itself: nothing of the session runs there any more
    bool early_too_much = false;  // more than its endpoint keeps of what held clients send
    std::uint64_t epoch = 0;
    std::uint32_t connection_id = 0;  // the server's; 0: not known
    asio::ip::tcp::endpoint local;    // what the server knows us by
    std::shared_ptr<const std::string> member;
    base::HostPort member_address;
    std::shared_ptr<ReaderPlace> place;  // of readers, while it has one
    ReaderPlaces tried;                  // readers that refused, in this round
    Clock::time_point round_ends{};      // no further reader is tried at once after it
    Clock::time_point accepted_at;
    Clock::time_point held_since;
    int directions = 0;  // still running

    // What a client that speaks first has sent before it had a server, and how much of it counts as held.
    std::string early;
    std::uint64_t early_counted = 0;
    std::unique_ptr<wire::postgres::StartupScan> startup;  // until it has nothing more to tell
    std::optional<wire::postgres::CancelKey> cancel_key;

    // Small, for what an idle or chatty session needs; bulk goes through the shard's own buffer.
    std::unique_ptr<std::array<char, small_buffer_bytes>> to_server_buffer;
    std::unique_ptr<std::array<char, small_buffer_bytes>> to_client_buffer;

    // Ends the server's side at once, what it still had to send is dropped.
    void reset_server();
    void close_server();
    void close_client();
};

// The session as its server can find it again.
clusters::ServerSession server_session(std::uint64_t connection_id, const asio::ip::tcp::endpoint& local);

}  // namespace signalbox::relay
