#pragma once
// Asio's types as the relay uses them, and the two calls that it makes without Asio.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <sys/socket.h>

namespace signalbox::relay {

namespace asio = boost::asio;

// The concrete executor, not the polymorphic one: no virtual call per byte.
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
template <typename T>
using Task = asio::awaitable<T, Executor>;
inline constexpr asio::use_awaitable_t<Executor> use_task;

// What the kernel takes now, 0 if nothing; -1: the connection is over.
inline ssize_t send_now(Socket& socket, const char* data, std::size_t size) {
    for (;;) {
        const ssize_t sent = ::send(socket.native_handle(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) return sent;
        if (errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    }
}

// As recv(2), without waiting.
inline ssize_t receive_now(Socket& socket, char* data, std::size_t size, int flags = 0) {
    for (;;) {
        const ssize_t received = ::recv(socket.native_handle(), data, size, MSG_DONTWAIT | flags);
        if (received >= 0 || errno != EINTR) return received;
    }
}

// After a receive_now of -1: nothing there yet.
inline bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace signalbox::relay
