// The bytes of a session, one coroutine for each direction.

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "adapters/relay/limits.hpp"
#include "adapters/relay/shard.hpp"
#include "wire/mysql/packet.hpp"

namespace signalbox::relay {

using boost::system::error_code;

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
    const bool postgres = session->client_speaks_first();
    error_code error;
    for (;;) {
        const std::size_t size =
            co_await from.async_read_some(asio::buffer(buffer), asio::redirect_error(use_task, error));
        if (error) break;
        const std::string_view piece(buffer.data(), size);
        if (session->startup && to_server) {
            session->startup->from_client(piece);
            const auto cancel = session->startup->cancel();
            if (cancel) {
                // Said only after encryption was refused: this server may be the wrong one.
                co_await deliver_cancel(session, *cancel);
                break;
            }
        } else if (session->startup) {
            scan_from_server(*session, piece);
        }
        const ssize_t sent = send_now(to, buffer.data(), size);
        if (sent < 0) break;
        bytes.add(size);
        if (to_server) {
            session->quit_sent = postgres ? wire::postgres::ends_with_terminate(piece) : wire::mysql::is_quit(piece);
        }
        if (static_cast<std::size_t>(sent) < size) {
            std::string rest(buffer.data() + sent, size - static_cast<std::size_t>(sent));
            const bool written = co_await write_rest(to, std::move(rest));
            if (!written) break;
        }
        if (size < buffer.size() || session->startup) continue;
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
    session->timer.async_wait([session](const error_code& ended) {
        if (!ended) session->close_client();
    });
}

}  // namespace signalbox::relay
