// What clients that speak first (PostgreSQL) need: their first packet, what they say while they wait, being refused in
// their protocol, and requests to cancel.

#include <boost/asio/buffer.hpp>

#include "adapters/relay/limits.hpp"
#include "adapters/relay/shard.hpp"

namespace signalbox::relay {

using boost::system::error_code;
using wire::postgres::OpeningKind;

void Shard::watch_client(const std::shared_ptr<Session>& session) {
    if (session->watched || session->client_gone) return;
    session->watched = true;
    session->client.async_wait(asio::socket_base::wait_read, [this, session](const error_code& error) {
        session->watched = false;
        if (error || session->phase == Phase::Relaying || session->phase == Phase::Ended) return;
        client_stirred(session);
    });
}

void Shard::client_stirred(const std::shared_ptr<Session>& session) {
    bool here = true;
    if (session->client_speaks_first() && session->phase == Phase::Waiting) {
        here = keep_early(*session);
        if (here && session->early.size() < early_max_bytes) watch_client(session);
    } else {
        char byte = 0;
        const ssize_t received = receive_now(session->client, &byte, 1, MSG_PEEK);
        // A client that is readable now and has not left either will be read later, or, where the server speaks first,
        // breaks the rules, which the server may judge.
        here = received > 0 || (received < 0 && would_block());
    }
    if (here) return;
    session->client_gone = true;
    session->timer.cancel();
    session->reset_server();
}

bool Shard::keep_early(Session& session) {
    Endpoint& endpoint = *session.endpoint;
    while (session.early.size() < early_max_bytes) {
        std::array<char, 4096> piece;
        const ssize_t received =
            receive_now(session.client, piece.data(), std::min(piece.size(), early_max_bytes - session.early.size()));
        if (received < 0 && would_block()) break;
        if (received <= 0) return false;
        const auto size = static_cast<std::size_t>(received);
        session.early.append(piece.data(), size);
        // Whoever waits for more of the client looks again.
        session.timer.cancel();
        if (!session.counted_held) continue;
        session.early_counted += size;
        if (endpoint.held_bytes.fetch_add(size) + size > endpoint.hold_bytes_max) session.early_too_much = true;
    }
    return true;
}

// True: a session is wanted. False: the client is gone, was served already, or said nothing.
Task<bool> Shard::read_opening(std::shared_ptr<Session> session) {
    const auto deadline = session->accepted_at + opening_patience;
    for (;;) {
        const auto opening = wire::postgres::parse_opening(session->early);
        if (session->client_gone) co_return false;
        if (opening.kind == OpeningKind::Cancel) {
            co_await deliver_cancel(session, opening.cancel);
            co_return false;
        }
        if (opening.kind != OpeningKind::Incomplete) co_return true;
        if (Clock::now() >= deadline) co_return false;
        co_await pause(*session, deadline);
    }
}

Task<void> Shard::refuse_postgres(std::shared_ptr<Session> session, std::string packet) {
    Endpoint& endpoint = *session->endpoint;
    if (endpoint.refusing.fetch_add(1) >= refusing_max) {
        endpoint.refusing.fetch_sub(1);
        co_return;
    }
    // A client that asks for encryption first gets no error text by the protocol (libpq since 2024 shows none, pgJDBC
    // connects again without encryption when it reads one). So it is told that there is no encryption; if it goes on,
    // which is its own decision, its start-up packet gets the error.
    const auto deadline = Clock::now() + refusal_patience;
    for (int requests = 0; requests < encryption_requests_max && !session->client_gone && Clock::now() < deadline;) {
        const auto opening = wire::postgres::parse_opening(session->early);
        const bool whole = opening.size_bytes != 0 && session->early.size() >= opening.size_bytes;
        if (!whole && (opening.kind == OpeningKind::Incomplete || opening.kind == OpeningKind::Startup)) {
            co_await pause(*session, deadline);
            continue;
        }
        if (opening.kind == OpeningKind::Startup) {
            send_now(session->client, packet.data(), packet.size());
            break;
        }
        // Nobody can tell a client in the middle of a TLS handshake anything.
        if (opening.kind != OpeningKind::SslRequest && opening.kind != OpeningKind::GssRequest) break;
        session->early.erase(0, opening.size_bytes);
        send_now(session->client, wire::postgres::encryption_refused.data(), wire::postgres::encryption_refused.size());
        ++requests;
    }
    endpoint.refusing.fetch_sub(1);
}

std::vector<CancelTarget> Shard::cancel_targets(const Session& session, const wire::postgres::CancelKey& key) const {
    const ClusterRoutes& routes = session.cluster;
    if (const auto known = cancels_.find({routes.name, key})) return {*known};
    // Of a session that we could not read: encrypted, or not ours. No other member than its own does anything with it.
    std::vector<CancelTarget> targets;
    if (!session.is_reader()) {
        if (routes.route.open) targets.push_back({routes.route.member, routes.route.address, routes.route.epoch});
        return targets;
    }
    for (const auto& place : session.gate.readers) {
        if (targets.size() < cancel_targets_max) targets.push_back({place->member, place->address, 0});
    }
    return targets;
}

Task<void> Shard::deliver_cancel(std::shared_ptr<Session> session, wire::postgres::CancelKey key) {
    const std::string packet = wire::postgres::build_cancel(key);
    const auto targets = cancel_targets(*session, key);
    for (const CancelTarget& target : targets) {
        if (stopping_) co_return;
        co_await send_cancel(target, packet);
    }
}

Task<void> Shard::send_cancel(CancelTarget target, std::string packet) {
    error_code error;
    const auto address = asio::ip::make_address(target.address.host, error);
    if (error) co_return;
    const auto cancelling = std::make_shared<Cancelling>(io_);
    const auto listed = cancelling_.insert(cancelling_.end(), cancelling.get());
    cancelling->timer.expires_after(options_.connect_timeout);
    cancelling->timer.async_wait([cancelling](const error_code& ended) {
        error_code ignored;
        if (!ended) cancelling->socket.close(ignored);
    });
    const asio::ip::tcp::endpoint place(address, target.address.port);
    co_await cancelling->socket.async_connect(place, asio::redirect_error(use_task, error));
    if (!error && send_now(cancelling->socket, packet.data(), packet.size()) > 0) {
        // The server ends the connection when it has signalled: clients wait for that.
        std::array<char, 64> nothing;
        co_await cancelling->socket.async_read_some(asio::buffer(nothing), asio::redirect_error(use_task, error));
    }
    cancelling->timer.cancel();
    cancelling_.erase(listed);
}

void Shard::scan_from_server(Session& session, std::string_view bytes) {
    session.startup->from_server(bytes);
    if (session.startup->key() && !session.cancel_key) {
        session.cancel_key = session.startup->key();
        cancels_.add({session.cluster.name, *session.cancel_key},
                     {session.member, session.member_address, session.epoch});
    }
    // 57P01–57P03: it shuts down, crashed, or starts.
    if (session.startup->sql_state().starts_with("57P")) hint(session, 0);
    if (session.startup->done()) session.startup.reset();
}

}  // namespace signalbox::relay
