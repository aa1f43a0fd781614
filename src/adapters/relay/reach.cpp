// How a client gets a server: holding, its turn at the gate, the connect, the greeting, and what it is told when there
// is none.

#include <boost/asio/buffer.hpp>
#include <netinet/tcp.h>

#include "adapters/relay/limits.hpp"
#include "adapters/relay/shard.hpp"
#include "wire/mysql/packet.hpp"

namespace signalbox::relay {
namespace {

using boost::system::error_code;
using Resolver = asio::ip::basic_resolver<asio::ip::tcp, Executor>;

// ER_CON_COUNT_ERROR: too many at once. ER_SERVER_SHUTDOWN: what drivers and pools take for "this server is going away,
// nothing was executed, connect again", which is what no writer means.
constexpr std::uint16_t code_too_many = 1040;
constexpr std::uint16_t code_no_server = 1053;
// PostgreSQL's too_many_connections and cannot_connect_now.
constexpr std::string_view state_too_many = "53300";
constexpr std::string_view state_no_server = "57P03";

void set_server_options(Socket& socket) {
    error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    const int idle_s = 30;
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
}

std::string_view role_word(const Session& session) { return session.is_reader() ? "reader" : "writer"; }

}  // namespace

Task<bool> Shard::reach_member(std::shared_ptr<Session> session) {
    // Bounded by the hold time: a failed attempt is followed by another reader's, within the connect budget, or by a
    // pause.
    for (;;) {
        if (session->client_gone) co_return false;
        const bool placed = co_await wait_for_place(session);
        if (!placed) co_return false;
        if (session->tried.empty()) session->round_ends = Clock::now() + options_.connect_timeout;
        const Attempt attempt = co_await connect_and_greet(session);
        if (attempt == Attempt::Greeted) {
            leave_place(*session, PlaceUse::Connected);
            stop_holding(*session);
            co_return true;
        }
        leave_place(*session, session->fenced || session->client_gone ? PlaceUse::Untried : PlaceUse::Failed);
        if (attempt == Attempt::Over || session->client_gone) co_return false;
        session->phase = Phase::Waiting;
        watch_client(session);
        if (session->is_reader() && Clock::now() < session->round_ends && has_untried_reader(choice(*session)))
            continue;
        session->tried.clear();
        // Not the member's failure: its next turn is at the gate.
        if (session->fenced) continue;
        const bool again = co_await try_again_later(session);
        if (!again) co_return false;
    }
}

Task<bool> Shard::try_again_later(std::shared_ptr<Session> session) {
    std::string why_not;
    if (!start_holding(*session, why_not)) {
        co_await refuse(session, Refusal::TooManyHeld, std::move(why_not));
        co_return false;
    }
    const auto until = Clock::now() + retry_pause;
    if (until >= hold_deadline(*session)) {
        co_await refuse_no_server(session);
        co_return false;
    }
    co_await pause(*session, until);
    co_return true;
}

Task<void> Shard::refuse(std::shared_ptr<Session> session, Refusal refusal, std::string what) {
    counters(*session).refused.add(1);
    constexpr std::string_view remedy = "nothing was executed, connect again";
    const std::string text = fmt::format("signalbox: {}", what);
    if (session->client_speaks_first()) {
        const auto state = refusal == Refusal::TooManySessions ? state_too_many : state_no_server;
        co_await refuse_postgres(session, wire::postgres::build_fatal(state, text, remedy));
        co_return;
    }
    const auto code = refusal == Refusal::NoServer ? code_no_server : code_too_many;
    const std::string packet = wire::mysql::build_error(0, code, {}, fmt::format("{}: {}", text, remedy));
    send_now(session->client, packet.data(), packet.size());
}

Task<void> Shard::refuse_no_server(std::shared_ptr<Session> session) {
    co_await refuse(session, Refusal::NoServer,
                    fmt::format("cluster '{}' has no {} that can be reached, and endpoint '{}' holds clients for {} at "
                                "most",
                                session->cluster.name, role_word(*session), session->endpoint->name,
                                base::format_duration(base::Duration(session->endpoint->hold_time_ns.load()))));
}

Clock::time_point Shard::hold_deadline(const Session& session) const {
    return session.accepted_at + std::chrono::nanoseconds(session.endpoint->hold_time_ns.load());
}

bool Shard::start_holding(Session& session, std::string& why_not) {
    if (session.counted_held) return true;
    Endpoint& endpoint = *session.endpoint;
    const std::uint64_t before = endpoint.held.fetch_add(1);
    if (before >= endpoint.hold_connections_max) {
        endpoint.held.fetch_sub(1);
        why_not = fmt::format("cluster '{}' has no {} now and endpoint '{}' holds {} clients, its hold.connections",
                              session.cluster.name, role_word(session), endpoint.name, before);
        return false;
    }
    session.counted_held = true;
    session.held_since = Clock::now();
    session.early_counted = session.early.size();
    if (endpoint.held_bytes.fetch_add(session.early_counted) + session.early_counted > endpoint.hold_bytes_max) {
        session.early_too_much = true;
    }
    return true;
}

void Shard::stop_holding(Session& session) {
    if (!session.counted_held) return;
    session.counted_held = false;
    session.endpoint->held.fetch_sub(1);
    session.endpoint->held_bytes.fetch_sub(session.early_counted);
    session.early_counted = 0;
    counters(session).held_ns.add(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - session.held_since).count()));
    if (session.phase == Phase::Connecting) counters(session).released.add(1);
}

ReaderChoice Shard::choice(const Session& session) const {
    return {session.gate.readers,    session.tried, session.cluster.barred.get(),
            options_.connecting_max, Clock::now(),  session.gate.turn};
}

bool Shard::take_place(Session& session) {
    Gate& gate = session.gate;
    if (!session.is_reader()) {
        if (!session.cluster.route.open || gate.connecting >= options_.connecting_max) return false;
        ++gate.connecting;
        return true;
    }
    session.place = choose_reader(choice(session));
    if (!session.place) return false;
    ++gate.turn;
    ++session.place->connecting;
    session.place->load->sessions.fetch_add(1);
    return true;
}

void Shard::leave_place(Session& session, PlaceUse use) {
    if (!session.is_reader()) {
        --session.gate.connecting;
    } else {
        --session.place->connecting;
        if (use == PlaceUse::Failed) {
            session.place->failed_at = Clock::now();
            session.tried.push_back(session.place);
        }
        if (use != PlaceUse::Connected) {
            session.place->load->sessions.fetch_sub(1);
            session.place.reset();
        }
    }
    release_waiting(session.gate);
}

Task<bool> Shard::wait_for_place(std::shared_ptr<Session> session) {
    Gate& gate = session->gate;
    if (gate.waiting.empty() && take_place(*session)) co_return true;
    std::string why_not;
    if (!start_holding(*session, why_not)) {
        co_await refuse(session, Refusal::TooManyHeld, std::move(why_not));
        co_return false;
    }
    session->released = false;
    session->is_waiting = true;
    session->in_waiting = gate.waiting.insert(gate.waiting.end(), session.get());
    // The deadline is read anew each time: a reload may have changed it.
    while (!session->released && !session->client_gone && !session->early_too_much &&
           Clock::now() < hold_deadline(*session)) {
        co_await pause(*session, hold_deadline(*session));
    }
    leave_waiting(*session);
    if (session->released && !session->client_gone) co_return true;
    if (session->released) leave_place(*session, PlaceUse::Untried);
    if (session->client_gone) {
        counters(*session).left_while_held.add(1);
        co_return false;
    }
    if (session->early_too_much) {
        co_await refuse(
            session, Refusal::TooManyHeld,
            fmt::format("cluster '{}' has no {} now and what the clients held by endpoint '{}' sent is more "
                        "than its hold.bytes, {}",
                        session->cluster.name, role_word(*session), session->endpoint->name,
                        session->endpoint->hold_bytes_max.load()));
        co_return false;
    }
    co_await refuse_no_server(session);
    co_return false;
}

void Shard::leave_waiting(Session& session) {
    if (!session.is_waiting) return;
    session.is_waiting = false;
    session.gate.waiting.erase(session.in_waiting);
}

void Shard::release_waiting(Gate& gate) {
    while (!gate.waiting.empty()) {
        Session& session = *gate.waiting.front();
        if (!take_place(session)) return;
        leave_waiting(session);
        session.released = true;
        session.timer.cancel();
    }
}

Task<void> Shard::pause(Session& session, Clock::time_point until) {
    error_code ignored;
    if (session.client_gone) co_return;
    session.timer.expires_at(until);
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
    const ClusterRoutes& routes = session->cluster;
    session->phase = Phase::Connecting;
    session->fenced = false;
    session->epoch = routes.route.epoch;
    session->connection_id = 0;
    session->local = {};
    session->member = session->is_reader() ? session->place->member : routes.route.member;
    session->member_address = session->is_reader() ? session->place->address : routes.route.address;
    // Since the client got its turn, the route may have closed, or the reader left the set.
    const bool still_there = session->is_reader()
                                 ? !session->place->removed && (!routes.barred || *routes.barred != *session->member)
                                 : routes.route.open;
    session->fenced = !still_there;
    if (!still_there) co_return false;
    auto limit = options_.connect_timeout;
    if (session->is_reader()) {
        ReaderPlaces with_this = session->tried;
        with_this.push_back(session->place);
        ReaderChoice others = choice(*session);
        const ReaderChoice further{others.places, with_this, others.barred, others.connecting_max, others.now, 0};
        if (has_untried_reader(further)) limit /= 2;
    }
    const auto deadline = Clock::now() + limit;
    error_code error;
    auto address = asio::ip::make_address(session->member_address.host, error);
    if (error) {
        const auto resolver = std::make_shared<Resolver>(io_.get_executor());
        session->timer.expires_at(deadline);
        session->timer.async_wait([resolver](const error_code& ended) {
            if (!ended) resolver->cancel();
        });
        const auto found =
            co_await resolver->async_resolve(session->member_address.host, "", asio::redirect_error(use_task, error));
        if (error || found.empty() || session->fenced) co_return false;
        address = found.begin()->endpoint().address();
    }
    session->server = Socket(io_);
    limit_step(session, deadline);
    const asio::ip::tcp::endpoint place(address, session->member_address.port);
    co_await session->server.async_connect(place, asio::redirect_error(use_task, error));
    if (error || session->fenced || session->client_gone || !session->server.is_open()) co_return false;
    set_server_options(session->server);
    session->local = session->server.local_endpoint(error);
    co_return true;
}

Task<Shard::Attempt> Shard::connect_and_greet(std::shared_ptr<Session> session) {
    Attempt attempt = Attempt::Failed;
    const bool connected = co_await connect(session);
    if (connected && session->client_speaks_first()) {
        // There is no greeting: a connect that succeeds is what counts, and what the client said already goes first.
        const std::string early = std::exchange(session->early, {});
        session->startup = std::make_unique<wire::postgres::StartupScan>();
        session->startup->from_client(early);
        const bool sent = send_now(session->server, early.data(), early.size()) == static_cast<ssize_t>(early.size());
        counters(*session).bytes_to_server.add(early.size());
        attempt = sent ? Attempt::Greeted : Attempt::Over;
    } else if (connected) {
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
        if (refusal && refusal->code == code_no_server) co_return Attempt::Failed;
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

}  // namespace signalbox::relay
