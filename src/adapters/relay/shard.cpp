#include "adapters/relay/shard.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "wire/mysql/packet.hpp"

namespace signalbox::relay {
namespace {

using Clock = std::chrono::steady_clock;
using boost::system::error_code;
using namespace std::chrono_literals;

constexpr std::size_t bulk_bytes = 128 << 10;
constexpr int bursts_max = 16;  // bulk reads of one session before others get their turn
constexpr auto hint_interval = 5ms;
constexpr auto retry_pause = 20ms;
constexpr auto greeting_patience = 10s;  // at least, whatever the hold time: a server may be slow to greet
constexpr auto half_closed_max = 30s;    // for a client to notice that its server ended the session
constexpr std::size_t greeting_max_bytes = 512;
// ER_CON_COUNT_ERROR: too many at once. ER_SERVER_SHUTDOWN: what drivers and pools take for "this server is going away,
// nothing was executed, connect again", which is what no writer means.
constexpr std::uint16_t code_too_many = 1040;
constexpr std::uint16_t code_no_writer = 1053;
constexpr std::string_view state_none;

ssize_t send_now(Socket& socket, const char* data, std::size_t size) {
    for (;;) {
        const ssize_t sent = ::send(socket.native_handle(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) return sent;
        if (errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    }
}

ssize_t receive_now(Socket& socket, char* data, std::size_t size, int flags = 0) {
    for (;;) {
        const ssize_t received = ::recv(socket.native_handle(), data, size, MSG_DONTWAIT | flags);
        if (received >= 0 || errno != EINTR) return received;
    }
}

void set_server_options(Socket& socket) {
    error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    const int idle_s = 30;
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
}

}  // namespace

Shard::Shard(std::size_t index, const RelayOptions& options)
    : index_(index),
      options_(options),
      work_(io_.get_executor()),
      bulk_(std::make_unique<char[]>(bulk_bytes)),
      thread_([this] { io_.run(); }) {}

Shard::~Shard() {
    asio::post(io_, [this] {
        stopping_ = true;
        for (auto& [name, routes] : clusters_) {
            for (Session* session : routes.sessions) cut(*session);
        }
        work_.reset();
    });
    thread_.join();
}

void Shard::spawn(Task<void> task) {
    asio::co_spawn(io_.get_executor(), std::move(task), [](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);
    });
}

ClusterRoutes& Shard::cluster(const std::string& name) {
    const auto [found, fresh] = clusters_.try_emplace(name);
    if (fresh) found->second.name = name;
    return found->second;
}

void Shard::adopt(Socket client, std::shared_ptr<Endpoint> endpoint) {
    asio::post(io_, [this, client = std::move(client), endpoint = std::move(endpoint)]() mutable {
        auto& routes = cluster(endpoint->cluster);
        admit(std::make_shared<Session>(std::move(client), std::move(endpoint), routes));
    });
}

void Shard::hold(const std::string& name, std::uint64_t epoch) {
    asio::post(io_, [this, name, epoch] {
        ClusterRoutes& routes = cluster(name);
        if (epoch < routes.route.epoch) return;
        routes.route.epoch = epoch;
        routes.route.open = false;
    });
}

void Shard::route(const std::string& name, const Route& route) {
    asio::post(io_, [this, name, route] {
        ClusterRoutes& routes = cluster(name);
        if (route.epoch < routes.route.epoch) return;
        routes.route = route;
        release_waiting(routes);
    });
}

void Shard::fence(const std::string& name, std::uint64_t epoch, std::function<void(ports::BarrierResult)> acknowledge) {
    asio::post(io_, [this, name, epoch, acknowledge = std::move(acknowledge)] {
        acknowledge(close_older(cluster(name), epoch));
    });
}

ports::BarrierResult Shard::close_older(ClusterRoutes& routes, std::uint64_t epoch) {
    ports::BarrierResult result;
    if (epoch < routes.route.epoch) return result;
    routes.route.epoch = epoch;
    routes.route.open = false;
    std::map<std::string, std::vector<clusters::ServerSession>> by_member;
    for (Session* session : routes.sessions) {
        const bool reaches_server = session->phase == Phase::Connecting || session->phase == Phase::Relaying;
        if (!reaches_server || session->epoch >= epoch || session->fenced) continue;
        session->fenced = true;
        session->reset_server();
        if (session->connection_id != 0) by_member[*session->member].push_back({session->connection_id, {}});
        // A client whose connect was under way has seen nothing of the former writer yet: it waits for the next one.
        if (session->phase == Phase::Connecting) continue;
        session->close_client();
        session->timer.cancel();
        ++result.sessions_closed;
        counters(*session).fenced.add(1);
    }
    forget_ended(routes);
    while (!routes.ended.empty() && routes.ended.front().epoch < epoch) {
        by_member[*routes.ended.front().member].push_back({routes.ended.front().connection_id, {}});
        routes.ended.pop_front();
    }
    for (auto& [member, ids] : by_member) result.server_sessions.push_back({member, std::move(ids)});
    return result;
}

void Shard::end_sessions(std::shared_ptr<Endpoint> endpoint, std::function<void()> done) {
    asio::post(io_, [this, endpoint = std::move(endpoint), done = std::move(done)] {
        for (Session* session : cluster(endpoint->cluster).sessions) {
            if (session->endpoint == endpoint) cut(*session);
        }
        done();
    });
}

void Shard::admit(std::shared_ptr<Session> session) {
    ClusterRoutes& routes = session->cluster;
    session->in_sessions = routes.sessions.insert(routes.sessions.end(), session.get());
    counters(*session).accepted.add(1);
    const std::uint64_t before = session->endpoint->sessions.fetch_add(1);
    if (stopping_ || session->endpoint->closed) {
        cut(*session);
        end(*session);
        return;
    }
    if (before >= session->endpoint->sessions_max) {
        refuse(*session, code_too_many,
               fmt::format("signalbox: endpoint '{}' has {} sessions, its sessions_max: end some or raise it",
                           session->endpoint->name, before));
        end(*session);
        return;
    }
    watch_client(session);
    spawn(serve(std::move(session)));
}

void Shard::watch_client(const std::shared_ptr<Session>& session) {
    session->client.async_wait(asio::socket_base::wait_read, [session](const error_code& error) {
        if (error || session->phase == Phase::Relaying || session->phase == Phase::Ended) return;
        char byte = 0;
        const ssize_t received = receive_now(session->client, &byte, 1, MSG_PEEK);
        // In this protocol the server speaks first: a client that is readable now has left, or breaks the rules, which
        // the server may judge.
        if (received > 0 || (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))) return;
        session->client_gone = true;
        session->timer.cancel();
        session->reset_server();
    });
}

Task<void> Shard::serve(std::shared_ptr<Session> session) {
    // Here and below: a co_await inside a condition makes g++ 12 destroy its temporaries wrongly, so each stands alone.
    const bool reached = co_await reach_writer(session);
    if (!reached) {
        end(*session);
        co_return;
    }
    session->phase = Phase::Relaying;
    session->directions = 2;
    session->to_server_buffer = std::make_unique<std::array<char, small_buffer_bytes>>();
    session->to_client_buffer = std::make_unique<std::array<char, small_buffer_bytes>>();
    spawn(pump(session, true));
    spawn(pump(session, false));
}

Task<bool> Shard::reach_writer(std::shared_ptr<Session> session) {
    // Bounded by the hold time: every failed attempt passes through wait_for_route or a pause.
    for (;;) {
        if (session->client_gone) co_return false;
        const bool routed = co_await wait_for_route(*session);
        if (!routed) co_return false;
        const Attempt attempt = co_await connect_and_greet(session);
        connecting_done(session->cluster);
        if (attempt == Attempt::Greeted) {
            stop_holding(*session);
            co_return true;
        }
        if (attempt == Attempt::Over || session->client_gone) co_return false;
        session->phase = Phase::Waiting;
        if (!start_holding(*session)) co_return false;
        if (Clock::now() + retry_pause >= hold_deadline(*session)) {
            refuse_no_writer(*session);
            co_return false;
        }
        co_await pause(*session, retry_pause);
    }
}

void Shard::refuse_no_writer(Session& session) {
    refuse(session, code_no_writer,
           fmt::format("signalbox: cluster '{}' has no writer that can be reached, and endpoint '{}' holds clients for "
                       "{} at most: nothing was executed, connect again",
                       session.cluster.name, session.endpoint->name,
                       base::format_duration(base::Duration(session.endpoint->hold_time_ns.load()))));
}

std::chrono::steady_clock::time_point Shard::hold_deadline(const Session& session) const {
    return session.accepted_at + std::chrono::nanoseconds(session.endpoint->hold_time_ns.load());
}

bool Shard::start_holding(Session& session) {
    if (session.counted_held) return true;
    Endpoint& endpoint = *session.endpoint;
    const std::uint64_t before = endpoint.held.fetch_add(1);
    if (before >= endpoint.hold_connections_max) {
        endpoint.held.fetch_sub(1);
        refuse(session, code_too_many,
               fmt::format("signalbox: cluster '{}' has no writer now and endpoint '{}' holds {} clients, its "
                           "hold.connections: nothing was executed, connect again later",
                           session.cluster.name, endpoint.name, before));
        return false;
    }
    session.counted_held = true;
    session.held_since = Clock::now();
    return true;
}

void Shard::stop_holding(Session& session) {
    if (!session.counted_held) return;
    session.counted_held = false;
    session.endpoint->held.fetch_sub(1);
    counters(session).held_ns.add(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - session.held_since).count()));
    if (session.phase == Phase::Connecting) counters(session).released.add(1);
}

Task<bool> Shard::wait_for_route(Session& session) {
    ClusterRoutes& routes = session.cluster;
    if (routes.route.open && routes.waiting.empty() && routes.connecting < options_.connecting_max) {
        ++routes.connecting;
        co_return true;
    }
    if (!start_holding(session)) co_return false;
    session.released = false;
    session.is_waiting = true;
    session.in_waiting = routes.waiting.insert(routes.waiting.end(), &session);
    // The deadline is read anew each time: a reload may have changed it.
    while (!session.released && !session.client_gone && Clock::now() < hold_deadline(session)) {
        error_code ignored;
        session.timer.expires_at(hold_deadline(session));
        co_await session.timer.async_wait(asio::redirect_error(use_task, ignored));
    }
    leave_waiting(session);
    if (session.released && !session.client_gone) co_return true;
    if (session.released) connecting_done(routes);
    if (session.client_gone) {
        counters(session).left_while_held.add(1);
        co_return false;
    }
    refuse_no_writer(session);
    co_return false;
}

void Shard::leave_waiting(Session& session) {
    if (!session.is_waiting) return;
    session.is_waiting = false;
    session.cluster.waiting.erase(session.in_waiting);
}

void Shard::release_waiting(ClusterRoutes& routes) {
    while (routes.route.open && !routes.waiting.empty() && routes.connecting < options_.connecting_max) {
        Session& session = *routes.waiting.front();
        leave_waiting(session);
        ++routes.connecting;
        session.released = true;
        session.timer.cancel();
    }
}

void Shard::connecting_done(ClusterRoutes& routes) {
    --routes.connecting;
    release_waiting(routes);
}

Task<void> Shard::pause(Session& session, base::Duration duration) {
    error_code ignored;
    if (session.client_gone) co_return;
    session.timer.expires_after(duration);
    co_await session.timer.async_wait(asio::redirect_error(use_task, ignored));
}

void Shard::limit_step(const std::shared_ptr<Session>& session, Clock::time_point deadline) {
    // A new expiry cancels the step before; a handler that was already queued sees that its time has not come.
    session->timer.expires_at(deadline);
    session->timer.async_wait([session](const error_code& error) {
        if (error || session->phase != Phase::Connecting || Clock::now() < session->timer.expiry()) return;
        session->reset_server();
    });
}

Task<bool> Shard::connect(const std::shared_ptr<Session>& session) {
    const Route route = session->cluster.route;
    session->phase = Phase::Connecting;
    session->fenced = false;
    session->epoch = route.epoch;
    session->member = route.member;
    session->connection_id = 0;
    if (!route.open) co_return false;
    error_code error;
    auto address = asio::ip::make_address(route.host, error);
    if (error) {
        asio::ip::basic_resolver<asio::ip::tcp, Executor> resolver(io_.get_executor());
        const auto found = co_await resolver.async_resolve(route.host, "", asio::redirect_error(use_task, error));
        if (error || found.empty() || session->fenced) co_return false;
        address = found.begin()->endpoint().address();
    }
    session->server = Socket(io_);
    limit_step(session, Clock::now() + options_.connect_timeout);
    co_await session->server.async_connect({address, route.port}, asio::redirect_error(use_task, error));
    if (error || session->fenced || session->client_gone || !session->server.is_open()) co_return false;
    set_server_options(session->server);
    co_return true;
}

Task<Shard::Attempt> Shard::connect_and_greet(std::shared_ptr<Session> session) {
    Attempt attempt = Attempt::Failed;
    const bool connected = co_await connect(session);
    if (connected) {
        limit_step(session, std::max(hold_deadline(*session), Clock::now() + greeting_patience));
        attempt = co_await pass_greeting(session);
    }
    session->timer.cancel();
    if (attempt == Attempt::Greeted) co_return attempt;
    // Our own fence tells nothing about the member.
    if (!session->fenced && !session->client_gone) hint(*session, 0);
    session->reset_server();
    co_return attempt;
}

Task<Shard::Attempt> Shard::pass_greeting(const std::shared_ptr<Session>& session) {
    std::string seen;
    while (seen.size() < greeting_max_bytes) {
        std::array<char, greeting_max_bytes> buffer;
        error_code error;
        const std::size_t received =
            co_await session->server.async_read_some(asio::buffer(buffer), asio::redirect_error(use_task, error));
        // Until the client got a byte, nothing has happened for it: it can be connected again.
        const Attempt broken = seen.empty() ? Attempt::Failed : Attempt::Over;
        if (error || received == 0 || session->fenced || session->client_gone) co_return broken;
        const std::string_view bytes(buffer.data(), received);
        const std::string_view payload =
            seen.empty() ? bytes.substr(std::min(received, wire::mysql::header_size_bytes)) : std::string_view();
        const auto refusal = wire::mysql::parse_error(payload);
        if (refusal) hint(*session, refusal->code);
        if (refusal && refusal->code == code_no_writer) co_return Attempt::Failed;
        if (send_now(session->client, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
            co_return Attempt::Over;
        }
        counters(*session).bytes_to_client.add(received);
        seen += bytes;
        if (refusal) co_return Attempt::Greeted;
        if (seen.size() < wire::mysql::header_size_bytes) continue;
        const auto greeting =
            wire::mysql::parse_greeting(std::string_view(seen).substr(wire::mysql::header_size_bytes));
        if (!greeting) continue;
        session->connection_id = greeting->connection_id;
        co_return Attempt::Greeted;
    }
    // Not this protocol, as far as we can tell: relayed all the same, its end at a fence is a closed socket.
    co_return Attempt::Greeted;
}

void Shard::refuse(Session& session, std::uint16_t code, const std::string& text) {
    const std::string packet = wire::mysql::build_error(0, code, state_none, text);
    send_now(session.client, packet.data(), packet.size());
    counters(session).refused.add(1);
}

void Shard::hint(Session& session, int code) {
    const auto now = Clock::now();
    if (!options_.on_hint || !session.member || now - session.cluster.last_hint < hint_interval) return;
    session.cluster.last_hint = now;
    options_.on_hint({session.cluster.name, *session.member, code});
}

Task<bool> Shard::write_rest(Socket& socket, std::string rest) {
    error_code error;
    co_await asio::async_write(socket, asio::buffer(rest), asio::redirect_error(use_task, error));
    co_return !error;
}

Task<bool> Shard::relay_some(Session& session, bool to_server) {
    Socket& from = to_server ? session.client : session.server;
    Socket& to = to_server ? session.server : session.client;
    Counter& bytes = to_server ? counters(session).bytes_to_server : counters(session).bytes_to_client;
    // The small buffer came full: there is more, take it in big pieces without waiting.
    for (int burst = 0; burst < bursts_max; ++burst) {
        const ssize_t received = receive_now(from, bulk_.get(), bulk_bytes);
        // The end and errors are seen again, and dealt with, by the caller's own read.
        if (received <= 0) co_return true;
        const auto size = static_cast<std::size_t>(received);
        bytes.add(size);
        const ssize_t sent = send_now(to, bulk_.get(), size);
        if (sent < 0) co_return false;
        if (static_cast<std::size_t>(sent) == size) continue;
        std::string rest(bulk_.get() + sent, size - static_cast<std::size_t>(sent));
        const bool written = co_await write_rest(to, std::move(rest));
        if (!written) co_return false;
    }
    co_return true;
}

Task<void> Shard::pump(std::shared_ptr<Session> session, bool to_server) {
    Socket& from = to_server ? session->client : session->server;
    Socket& to = to_server ? session->server : session->client;
    auto& buffer = to_server ? *session->to_server_buffer : *session->to_client_buffer;
    Counter& bytes = to_server ? counters(*session).bytes_to_server : counters(*session).bytes_to_client;
    error_code error;
    for (;;) {
        const std::size_t size =
            co_await from.async_read_some(asio::buffer(buffer), asio::redirect_error(use_task, error));
        if (error) break;
        const ssize_t sent = send_now(to, buffer.data(), size);
        if (sent < 0) break;
        bytes.add(size);
        if (to_server) session->quit_sent = wire::mysql::is_quit({buffer.data(), size});
        if (static_cast<std::size_t>(sent) < size) {
            std::string rest(buffer.data() + sent, size - static_cast<std::size_t>(sent));
            const bool written = co_await write_rest(to, std::move(rest));
            if (!written) break;
        }
        if (size < buffer.size()) continue;
        const bool goes_on = co_await relay_some(*session, to_server);
        if (!goes_on) break;
    }
    if (!to_server && (error == asio::error::eof || error == asio::error::connection_reset))
        session->server_ended = true;
    direction_ended(session, to_server, error == asio::error::eof);
}

void Shard::direction_ended(const std::shared_ptr<Session>& session, bool to_server, bool whole) {
    Socket& to = to_server ? session->server : session->client;
    if (to_server) session->client_ended = true;
    const bool server_spoke = !to_server && !session->fenced && !session->client_ended && !session->quit_sent;
    if (server_spoke) hint(*session, 0);
    error_code failed;
    if (whole) to.shutdown(asio::socket_base::shutdown_send, failed);
    if (!whole || failed) {
        // Closed, not reset: what one side had sent before it went away still reaches the other.
        session->close_server();
        session->close_client();
    }
    if (--session->directions == 0) {
        end(*session);
        return;
    }
    if (to_server || !session->client.is_open()) return;
    session->timer.expires_after(half_closed_max);
    session->timer.async_wait([session](const error_code& error) {
        if (!error) session->close_client();
    });
}

void Shard::cut(Session& session) {
    session.client_gone = true;
    session.reset_server();
    session.close_client();
    session.timer.cancel();
}

void Shard::forget_ended(ClusterRoutes& routes) {
    const auto oldest = Clock::now() - ended_kept;
    while (routes.ended.size() > ended_max || (!routes.ended.empty() && routes.ended.front().at < oldest)) {
        routes.ended.pop_front();
    }
}

void Shard::end(Session& session) {
    // A client that went away without a farewell may have left a statement running: the next fence ends it there.
    const bool may_still_run = session.phase == Phase::Relaying && session.connection_id != 0 && !session.fenced &&
                               !session.quit_sent && !session.server_ended;
    if (may_still_run) {
        session.cluster.ended.push_back({session.epoch, session.member, session.connection_id, Clock::now()});
        forget_ended(session.cluster);
    }
    stop_holding(session);
    session.phase = Phase::Ended;
    session.close_server();
    session.close_client();
    session.timer.cancel();
    session.cluster.sessions.erase(session.in_sessions);
    session.endpoint->sessions.fetch_sub(1);
}

}  // namespace signalbox::relay
