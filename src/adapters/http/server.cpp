#include "adapters/http/server.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <cstring>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "base/text.hpp"

namespace signalbox::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace urls = boost::urls;
using base::ErrorKind;
using base::fail;
using Protocol = asio::generic::stream_protocol;
using Stream = beast::basic_stream<Protocol>;
using BeastRequest = beast::http::request<beast::http::string_body>;
using BeastResponse = beast::http::response<beast::http::string_body>;

constexpr std::string_view unix_prefix = "unix:";
constexpr std::uint32_t header_max_bytes = 64 << 10;

unsigned status_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::InvalidArgument:
        case ErrorKind::InvalidConfig:
        case ErrorKind::CorruptData:
            return 400;
        case ErrorKind::PermissionDenied:
            return 403;
        case ErrorKind::NotFound:
            return 404;
        case ErrorKind::AlreadyExists:
        case ErrorKind::Conflict:
            return 409;
        case ErrorKind::NotSupported:
            return 501;
        case ErrorKind::Unavailable:
            return 503;
        case ErrorKind::Timeout:
            return 504;
        case ErrorKind::UnknownOutcome:
        case ErrorKind::Internal:
            return 500;
    }
    return 500;
}

// Is somebody listening there? A socket file alone does not say so: it outlives a killed server.
bool answers(const std::string& path) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    // A full backlog (EAGAIN) is somebody, too.
    const bool alive =
        ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
    ::close(fd);
    return alive;
}

base::Result<Request> to_request(const BeastRequest& message) {
    const auto parsed = urls::parse_origin_form({message.target().data(), message.target().size()});
    if (!parsed) return fail(ErrorKind::InvalidArgument, "the request's target is not a path with an optional query");
    Request request;
    request.method = std::string(message.method_string());
    request.path = parsed->path();
    for (const auto parameter : parsed->params()) request.query[parameter.key] = parameter.value;
    request.authorization = std::string(message[beast::http::field::authorization]);
    request.body = message.body();
    return request;
}

Response answer(const Handler& handler, const BeastRequest& message) {
    const auto request = to_request(message);
    if (!request) return error_response(request.error());
    try {
        return handler(*request);
    } catch (const std::exception& error) {
        return error_response(base::Error{ErrorKind::Internal, error.what(), {}, 0});
    }
}

asio::awaitable<Response> answer_later(const Handler* handler, const BeastRequest* message) {
    co_return answer(*handler, *message);
}

}  // namespace

Response json_response(unsigned status, const base::json::value& body) {
    return {status, "application/json", base::json::serialize(body) + "\n"};
}

Response error_response(const base::Error& error) {
    return json_response(status_of(error.kind),
                         {{"error", {{"kind", base::to_string(error.kind)}, {"message", error.text()}}}});
}

struct Server::Impl {
    Impl(const ServerOptions& options, Handler handler_)
        : options(options), handler(std::move(handler_)), pool(options.threads), tcp(io), local(io), slot_free(io) {}

    base::Status bind_unix(const std::string& path);
    base::Status bind_tcp(const std::string& where);
    template <typename Acceptor>
    asio::awaitable<void> accept_loop(Acceptor& acceptor);
    asio::awaitable<void> serve(Protocol::socket socket);
    asio::awaitable<void> serve_requests(Stream& stream);
    asio::awaitable<bool> write(Stream& stream, const Response& response, unsigned version, bool keep_alive);
    void spawn(asio::awaitable<void> task);
    void run();

    ServerOptions options;
    Handler handler;
    std::string address;
    std::string socket_path;
    std::size_t connections = 0;  // only touched in the io thread
    asio::io_context io{1};
    // After io: a handler that still runs at the end must find the io context alive.
    asio::thread_pool pool;
    asio::ip::tcp::acceptor tcp;
    asio::local::stream_protocol::acceptor local;
    asio::steady_timer slot_free;
    std::thread thread;
};

base::Status Server::Impl::bind_unix(const std::string& path) {
    boost::system::error_code error;
    if (path.size() >= sizeof(sockaddr_un::sun_path))
        return fail(ErrorKind::InvalidArgument, "{}: a unix socket's path has at most {} bytes, this one has {}", path,
                    sizeof(sockaddr_un::sun_path) - 1, path.size());
    struct stat file {};
    if (::lstat(path.c_str(), &file) == 0) {
        if (!S_ISSOCK(file.st_mode))
            return fail(ErrorKind::AlreadyExists, "{}: can't listen: there is a file that is no socket", path);
        if (answers(path)) return fail(ErrorKind::Unavailable, "{}: can't listen: another server listens there", path);
        ::unlink(path.c_str());
    }
    local.open({}, error);
    if (!error) local.bind(asio::local::stream_protocol::endpoint(path), error);
    // Between bind and listen nobody can connect: the mode is right before the first client.
    if (!error && ::chmod(path.c_str(), 0600) != 0) error.assign(errno, boost::system::system_category());
    if (!error) local.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail(ErrorKind::Unavailable, "{}: can't listen: {}", path, error.message());
    socket_path = path;
    address = std::string(unix_prefix) + path;
    return {};
}

base::Status Server::Impl::bind_tcp(const std::string& where) {
    SB_TRY(const base::HostPort host_port, base::parse_host_port(where));
    boost::system::error_code error;
    const auto ip = asio::ip::make_address(host_port.host == "localhost" ? "127.0.0.1" : host_port.host, error);
    if (error)
        return fail(ErrorKind::InvalidArgument, "{}: expected an IP address and a port to listen on, found '{}'", where,
                    host_port.host);
    const asio::ip::tcp::endpoint endpoint(ip, host_port.port);
    tcp.open(endpoint.protocol(), error);
    if (!error) tcp.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) tcp.bind(endpoint, error);
    if (!error) tcp.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail(ErrorKind::Unavailable, "{}: can't listen: {}", where, error.message());
    address = base::HostPort{ip.to_string(), tcp.local_endpoint().port()}.text();
    return {};
}

void Server::Impl::spawn(asio::awaitable<void> task) {
    // serve() and accept_loop() handle what the network does; anything else is a defect and ends the program.
    asio::co_spawn(io, std::move(task), [](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);
    });
}

template <typename Acceptor>
asio::awaitable<void> Server::Impl::accept_loop(Acceptor& acceptor) {
    boost::system::error_code error;
    while (acceptor.is_open()) {
        while (connections >= options.connections_max) {
            slot_free.expires_at(asio::steady_timer::time_point::max());
            co_await slot_free.async_wait(asio::redirect_error(asio::use_awaitable, error));
        }
        auto socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
        if (error == asio::error::operation_aborted) co_return;
        if (error) {
            // Out of descriptors or memory: wait a little instead of spinning.
            slot_free.expires_after(std::chrono::milliseconds(50));
            co_await slot_free.async_wait(asio::redirect_error(asio::use_awaitable, error));
            continue;
        }
        ++connections;
        spawn(serve(Protocol::socket(std::move(socket))));
    }
}

asio::awaitable<bool> Server::Impl::write(Stream& stream, const Response& response, unsigned version, bool keep_alive) {
    BeastResponse message(static_cast<beast::http::status>(response.status), version);
    message.set(beast::http::field::content_type, response.content_type);
    message.set(beast::http::field::cache_control, "no-store");
    message.keep_alive(keep_alive);
    message.body() = response.body;
    message.prepare_payload();
    boost::system::error_code error;
    stream.expires_after(options.idle_timeout);
    co_await beast::http::async_write(stream, message, asio::redirect_error(asio::use_awaitable, error));
    co_return !error;
}

asio::awaitable<void> Server::Impl::serve_requests(Stream& stream) {
    beast::flat_buffer buffer;
    for (bool keep_alive = true; keep_alive;) {
        beast::http::request_parser<beast::http::string_body> parser;
        parser.header_limit(header_max_bytes);
        parser.body_limit(options.body_max_bytes);
        boost::system::error_code error;
        stream.expires_after(options.idle_timeout);
        co_await beast::http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
        if (error == beast::http::error::body_limit || error == beast::http::error::header_limit) {
            const base::Error too_large{ErrorKind::InvalidArgument,
                                        fmt::format("a request's body has at most {} bytes and its header {}",
                                                    options.body_max_bytes, header_max_bytes),
                                        {},
                                        0};
            Response response = error_response(too_large);
            response.status = 413;
            co_await write(stream, response, 11, false);
            co_return;
        }
        if (error.category() == beast::http::make_error_code(beast::http::error::bad_target).category() &&
            error != beast::http::error::end_of_stream && error != beast::http::error::partial_message) {
            const base::Error malformed{ErrorKind::InvalidArgument, "not HTTP/1.1: " + error.message(), {}, 0};
            co_await write(stream, error_response(malformed), 11, false);
            co_return;
        }
        if (error) co_return;
        const BeastRequest message = parser.release();
        keep_alive = message.keep_alive();
        stream.expires_never();
        const Response response = co_await asio::co_spawn(pool, answer_later(&handler, &message), asio::use_awaitable);
        const bool written = co_await write(stream, response, message.version(), keep_alive);
        if (!written) co_return;
    }
}

asio::awaitable<void> Server::Impl::serve(Protocol::socket socket) {
    {
        Stream stream(std::move(socket));
        co_await serve_requests(stream);
        boost::system::error_code ignored;
        stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
    }
    --connections;
    slot_free.cancel();
}

void Server::Impl::run() {
    if (tcp.is_open()) spawn(accept_loop(tcp));
    if (local.is_open()) spawn(accept_loop(local));
    thread = std::thread([this] { io.run(); });
}

base::Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Handler handler) {
    auto impl = std::make_unique<Impl>(options, std::move(handler));
    if (options.listen.starts_with(unix_prefix))
        SB_CHECK(impl->bind_unix(options.listen.substr(unix_prefix.size())));
    else
        SB_CHECK(impl->bind_tcp(options.listen));
    impl->run();
    return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
    if (!impl_->socket_path.empty()) ::unlink(impl_->socket_path.c_str());
    impl_->io.stop();
    if (impl_->thread.joinable()) impl_->thread.join();
    impl_->pool.stop();
    impl_->pool.join();
}

const std::string& Server::address() const { return impl_->address; }

}  // namespace signalbox::http
