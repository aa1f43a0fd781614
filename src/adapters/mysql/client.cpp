#include "adapters/mysql/client.hpp"

#include <algorithm>
#include <cstdlib>
#include <errmsg.h>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.hpp"

namespace signalbox::mysql {
namespace {

using base::Error;
using base::ErrorKind;
using base::fail;
using Clock = std::chrono::steady_clock;

constexpr int code_no_socket = 2001;
constexpr unsigned code_access_denied = 1045;
constexpr unsigned code_host_not_allowed = 1130;
constexpr unsigned code_unknown_auth_plugin = 2059;

int remaining_ms(Clock::time_point deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
}

void init_library() {
    static std::once_flag once;
    std::call_once(once, [] { mysql_server_init(0, nullptr, nullptr); });
}

}  // namespace

Client::Client() : cancel_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { init_library(); }

Client::~Client() {
    close();
    if (cancel_fd_ >= 0) ::close(cancel_fd_);
}

void Client::close() {
    if (!initialised_) return;
    // mysql_close() would send COM_QUIT and could block on a silent peer: cut the socket first.
    if (connected_) {
        const my_socket fd = mysql_get_socket(&mysql_);
        if (fd >= 0) ::shutdown(fd, SHUT_RDWR);
    }
    mysql_close(&mysql_);
    initialised_ = false;
    connected_ = false;
}

void Client::cancel() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(cancel_fd_, &one, sizeof one);
}

Error Client::last_error(ErrorKind kind) const {
    // mysql_errno() is not const in the C API.
    auto* handle = const_cast<MYSQL*>(&mysql_);
    const unsigned code = mysql_errno(handle);
    return Error{kind, fmt::format("{} (error {})", mysql_error(handle), code), peer_, static_cast<int>(code)};
}

base::Result<int> Client::wait(int status, Clock::time_point deadline) {
    pollfd fds[2] = {{mysql_get_socket(&mysql_), 0, 0}, {cancel_fd_, POLLIN, 0}};
    if ((status & MYSQL_WAIT_READ) != 0) fds[0].events |= POLLIN;
    if ((status & MYSQL_WAIT_WRITE) != 0) fds[0].events |= POLLOUT;
    if ((status & MYSQL_WAIT_EXCEPT) != 0) fds[0].events |= POLLPRI;
    for (bool asked = false;; asked = true) {
        // One look at the socket at least, however late we are ourselves.
        const int ready = ::poll(fds, 2, remaining_ms(deadline));
        if (ready < 0 && errno == EINTR) continue;
        if ((fds[1].revents & POLLIN) != 0) return fail(ErrorKind::Timeout, "cancelled");
        if (ready == 0) {
            if (asked && Clock::now() >= deadline) return fail(ErrorKind::Timeout, "no answer in time");
            continue;
        }
        int result = 0;
        if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) result |= MYSQL_WAIT_READ;
        if ((fds[0].revents & (POLLOUT | POLLERR)) != 0) result |= MYSQL_WAIT_WRITE;
        if ((fds[0].revents & POLLPRI) != 0) result |= MYSQL_WAIT_EXCEPT;
        // Only what was asked for may be handed back to the library.
        return (result & status) != 0 ? result & status : status;
    }
}

base::Status Client::connect(const ConnectParams& params, base::Duration timeout) {
    close();
    const auto deadline = Clock::now() + timeout;
    peer_ = fmt::format(
        "{} as user '{}'",
        params.unix_socket.empty() ? base::HostPort{params.host, params.port}.text() : params.unix_socket, params.user);
    if (cancel_fd_ < 0)
        return base::in_context(Error{ErrorKind::Unavailable, "no file descriptor is left", {}, code_no_socket}, peer_);
    mysql_init(&mysql_);
    initialised_ = true;
    mysql_options(&mysql_, MYSQL_OPT_NONBLOCK, nullptr);
    // A server, or whoever poses as one, must not be able to ask for our files.
    const unsigned local_infile = 0;
    mysql_options(&mysql_, MYSQL_OPT_LOCAL_INFILE, &local_infile);
    if (!params.tls_ca_file.empty()) {
        const my_bool verify = params.tls_verify_host ? 1 : 0;
        mysql_options(&mysql_, MYSQL_OPT_SSL_CA, params.tls_ca_file.c_str());
        mysql_options(&mysql_, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    }
    MYSQL* connected = nullptr;
    int status = mysql_real_connect_start(
        &connected, &mysql_, params.host.c_str(), params.user.c_str(), params.password.c_str(),
        params.database.empty() ? nullptr : params.database.c_str(), params.port,
        params.unix_socket.empty() ? nullptr : params.unix_socket.c_str(), CLIENT_MULTI_STATEMENTS);
    while (status != 0) {
        const auto ready = wait(status, deadline);
        if (!ready) {
            Error error = ready.error();
            close();
            return base::in_context(std::move(error), peer_);
        }
        status = mysql_real_connect_cont(&connected, &mysql_, *ready);
    }
    if (connected == nullptr) {
        const unsigned code = mysql_errno(&mysql_);
        const bool denied =
            code == code_access_denied || code == code_host_not_allowed || code == code_unknown_auth_plugin;
        Error error = last_error(denied ? ErrorKind::PermissionDenied : ErrorKind::Unavailable);
        close();
        return tl::unexpected<Error>(std::move(error));
    }
    connected_ = true;
    return {};
}

base::Result<bool> Client::read_results(std::vector<ResultSet>& results, Clock::time_point deadline) {
    std::size_t row_count = 0;
    for (std::size_t statement = 0; statement < rows_max; ++statement) {
        MYSQL_RES* stored = nullptr;
        int status = mysql_store_result_start(&stored, &mysql_);
        while (status != 0) {
            SB_TRY(const int ready, wait(status, deadline));
            status = mysql_store_result_cont(&stored, &mysql_, ready);
        }
        if (stored == nullptr && mysql_field_count(&mysql_) != 0) return false;
        ResultSet& set = results.emplace_back();
        set.affected_rows = mysql_affected_rows(&mysql_);
        set.last_insert_id = mysql_insert_id(&mysql_);
        if (stored != nullptr) {
            const unsigned columns = mysql_num_fields(stored);
            const MYSQL_FIELD* fields = mysql_fetch_fields(stored);
            for (unsigned i = 0; i < columns; ++i) set.columns.emplace_back(fields[i].name, fields[i].name_length);
            while (MYSQL_ROW row = mysql_fetch_row(stored)) {
                const unsigned long* lengths = mysql_fetch_lengths(stored);
                auto& cells = set.rows.emplace_back();
                for (unsigned i = 0; i < columns; ++i) {
                    cells.push_back(row[i] == nullptr ? std::optional<std::string>()
                                                      : std::optional<std::string>(std::string(row[i], lengths[i])));
                }
                if (++row_count >= rows_max) break;
            }
            mysql_free_result(stored);
        }
        int next = 0;
        status = mysql_next_result_start(&next, &mysql_);
        while (status != 0) {
            SB_TRY(const int ready, wait(status, deadline));
            status = mysql_next_result_cont(&next, &mysql_, ready);
        }
        if (next > 0) return false;
        if (next < 0) return true;
    }
    return fail(ErrorKind::InvalidArgument, "more statements in one text than {}", rows_max);
}

base::Result<std::vector<ResultSet>> Client::query_all(std::string_view sql, base::Duration timeout,
                                                       std::vector<ResultSet>* answered) {
    if (!connected_) return fail(ErrorKind::Unavailable, "not connected");
    const auto deadline = Clock::now() + timeout;
    const auto lost = [&](Error error) {
        error.kind = ErrorKind::UnknownOutcome;
        error.context = peer_;
        close();
        return tl::unexpected<Error>(std::move(error));
    };
    const auto failed = [&]() -> tl::unexpected<Error> {
        const unsigned code = mysql_errno(&mysql_);
        // 2000–2999 are the client's own: the connection is gone and what the server did is not known.
        if (code >= CR_MIN_ERROR && code <= CR_MAX_ERROR) return lost(last_error(ErrorKind::UnknownOutcome));
        return tl::unexpected<Error>(last_error(ErrorKind::Unavailable));
    };
    int outcome = 0;
    int status = mysql_real_query_start(&outcome, &mysql_, sql.data(), static_cast<unsigned long>(sql.size()));
    while (status != 0) {
        const auto ready = wait(status, deadline);
        if (!ready) return lost(ready.error());
        status = mysql_real_query_cont(&outcome, &mysql_, *ready);
    }
    if (outcome != 0) return failed();
    std::vector<ResultSet> results;
    const auto read = read_results(results, deadline);
    if (read && *read) return results;
    if (answered != nullptr) *answered = std::move(results);
    if (!read) return lost(read.error());
    return failed();
}

base::Result<ResultSet> Client::query(std::string_view sql, base::Duration timeout) {
    SB_TRY(auto results, query_all(sql, timeout));
    SB_ASSERT(!results.empty(), "a statement that succeeded has a result");
    return std::move(results.front());
}

int Client::socket() const { return connected_ ? mysql_get_socket(const_cast<MYSQL*>(&mysql_)) : -1; }

std::uint64_t Client::connection_id() const { return mysql_thread_id(const_cast<MYSQL*>(&mysql_)); }

std::string Client::server_version() const { return mysql_get_server_info(const_cast<MYSQL*>(&mysql_)); }

std::string Client::escape(std::string_view text) const {
    std::string escaped(text.size() * 2 + 1, '\0');
    escaped.resize(mysql_real_escape_string(const_cast<MYSQL*>(&mysql_), escaped.data(), text.data(),
                                            static_cast<unsigned long>(text.size())));
    return escaped;
}

base::Result<ConnectParams> parse_url(std::string_view url) {
    constexpr std::string_view scheme = "mysql://";
    constexpr std::string_view form = "mysql://USER@HOST:PORT/DATABASE?password_file=PATH";
    if (!url.starts_with(scheme)) return fail(ErrorKind::InvalidArgument, "'{}' is not of the form {}", url, form);
    std::string_view rest = url.substr(scheme.size());
    ConnectParams params;
    std::string_view query;
    if (const std::size_t at = rest.find('?'); at != std::string_view::npos) {
        query = rest.substr(at + 1);
        rest = rest.substr(0, at);
    }
    if (const std::size_t at = rest.find('/'); at != std::string_view::npos) {
        params.database = rest.substr(at + 1);
        rest = rest.substr(0, at);
    }
    const std::size_t at = rest.rfind('@');
    if (at == std::string_view::npos || at == 0)
        return fail(ErrorKind::InvalidArgument, "the URL names no user; expected {}", form);
    const std::string_view user = rest.substr(0, at);
    if (user.find(':') != std::string_view::npos) {
        return fail(ErrorKind::InvalidArgument,
                    "the URL holds a password, which every user of this machine could read: use ?password_file=PATH or "
                    "?password_env=NAME");
    }
    params.user = user;
    std::string_view address = rest.substr(at + 1);
    const std::string with_port =
        address.find(':') == std::string_view::npos ? fmt::format("{}:3306", address) : std::string(address);
    SB_TRY(const auto host_port, base::parse_host_port(with_port));
    params.host = host_port.host;
    params.port = host_port.port;
    for (const std::string_view option : base::split(query, '&')) {
        if (option.empty()) continue;
        const std::size_t equals = option.find('=');
        const std::string_view key = option.substr(0, equals);
        const std::string value(equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1));
        if (key == "password_file") {
            SB_TRY(const std::string text, base::read_file(value, 4096));
            params.password = base::trim(text);
        } else if (key == "password_env") {
            const char* password = std::getenv(value.c_str());
            if (password == nullptr) {
                return fail(ErrorKind::InvalidArgument, "the environment has no variable {} (password_env)", value);
            }
            params.password = password;
        } else if (key == "tls_ca_file") {
            params.tls_ca_file = value;
        } else {
            return fail(ErrorKind::InvalidArgument,
                        "unknown option '{}' in the URL; known: password_file, password_env, tls_ca_file", key);
        }
    }
    return params;
}

}  // namespace signalbox::mysql
