#include "adapters/postgres/client.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.hpp"

namespace signalbox::postgres {
namespace {

using base::Error;
using base::ErrorKind;
using base::fail;

struct FreeResult {
    void operator()(PGresult* result) const { PQclear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, FreeResult>;

int remaining_ms(std::chrono::steady_clock::time_point deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
}

// One line of libpq's many: without its line breaks, its advice and the place in the server's source.
std::string one_line(std::string_view text) {
    text = text.substr(0, std::min(text.find("\nLOCATION:"), text.find("\n\tIs the server running")));
    std::string line;
    for (const char c : base::trim(text)) {
        const char shown = c == '\n' || c == '\t' ? ' ' : c;
        if (shown != ' ' || line.empty() || line.back() != ' ') line += shown;
    }
    return line;
}

bool is_sqlstate(std::string_view text) {
    return text.size() == 5 && std::all_of(text.begin(), text.end(),
                                           [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
}

// libpq has no call for the SQLSTATE of a failed login; with PQERRORS_VERBOSE its text is "FATAL:  28P01: …".
std::string find_sqlstate(std::string_view text) {
    constexpr std::string_view mark = ":  ";
    for (std::size_t at = text.find(mark); at != std::string_view::npos; at = text.find(mark, at + 1)) {
        const std::string_view state = text.substr(at + mark.size(), 5);
        const std::string_view after = text.substr(std::min(text.size(), at + mark.size() + 5), 1);
        if (is_sqlstate(state) && (after.empty() || after == ":" || after == "\n")) return std::string(state);
    }
    return {};
}

// The system's own reasons reach us in libpq's text only; nothing in this process sets a locale.
int code_of(std::string_view text) {
    const auto says = [text](int number) { return text.find(std::strerror(number)) != std::string_view::npos; };
    if (says(ECONNREFUSED)) return code_refused;
    if (says(ECONNRESET) || says(EPIPE) || says(ECONNABORTED) ||
        text.find("server closed the connection unexpectedly") != std::string_view::npos ||
        text.find("EOF detected") != std::string_view::npos) {
        return code_lost;
    }
    if (says(EHOSTUNREACH) || says(ENETUNREACH) || says(ETIMEDOUT)) return code_unreachable;
    if (says(EMFILE) || says(ENFILE)) return code_no_socket;
    return code_protocol;
}

bool login_denied(std::string_view sqlstate) { return sqlstate == "28P01" || sqlstate == "28000"; }

ResultSet read_rows(const PGresult* result, std::size_t rows_left) {
    ResultSet set;
    const int columns = PQnfields(result);
    for (int column = 0; column < columns; ++column) set.columns.emplace_back(PQfname(result, column));
    const int rows = static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(PQntuples(result)), rows_left));
    for (int row = 0; row < rows; ++row) {
        auto& cells = set.rows.emplace_back();
        for (int column = 0; column < columns; ++column) {
            if (PQgetisnull(result, row, column) != 0) {
                cells.emplace_back();
            } else {
                cells.emplace_back(std::string(PQgetvalue(result, row, column),
                                               static_cast<std::size_t>(PQgetlength(result, row, column))));
            }
        }
    }
    // PQcmdTuples is not const in the C API.
    set.affected_rows = base::parse_uint(PQcmdTuples(const_cast<PGresult*>(result))).value_or(0);
    return set;
}

}  // namespace

int sqlstate_code(std::string_view sqlstate) {
    if (!is_sqlstate(sqlstate)) return 0;
    int code = 0;
    for (std::size_t i = 0; i < sqlstate.size(); ++i) code |= ((sqlstate[i] - '0') & 0x3F) << (6 * i);
    return code;
}

std::string sqlstate_text(int code) {
    if (code <= 0) return {};
    std::string text;
    for (unsigned i = 0; i < 5; ++i) text += static_cast<char>((code >> (6 * i) & 0x3F) + '0');
    return text;
}

Client::Client() : cancel_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Client::~Client() {
    close();
    if (cancel_fd_ >= 0) ::close(cancel_fd_);
}

void Client::close() {
    if (connection_ == nullptr) return;
    // PQfinish() says good-bye, which could block on a silent peer: cut the socket first.
    const int fd = PQsocket(connection_);
    if (fd >= 0) ::shutdown(fd, SHUT_RDWR);
    PQfinish(connection_);
    connection_ = nullptr;
}

void Client::cancel() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(cancel_fd_, &one, sizeof one);
}

base::Status Client::wait(bool read, bool write, Clock::time_point deadline) {
    for (bool asked = false;; asked = true) {
        pollfd fds[2] = {{PQsocket(connection_), 0, 0}, {cancel_fd_, POLLIN, 0}};
        if (read) fds[0].events |= POLLIN;
        if (write) fds[0].events |= POLLOUT;
        // One look at the socket at least, however late we are ourselves.
        const int ready = ::poll(fds, 2, remaining_ms(deadline));
        if (ready < 0 && errno == EINTR) continue;
        if ((fds[1].revents & POLLIN) != 0) return fail(ErrorKind::Timeout, "cancelled");
        if (ready != 0) return {};
        if (asked && Clock::now() >= deadline) return fail(ErrorKind::Timeout, "no answer in time");
    }
}

Error Client::connect_error() const {
    const std::string text = PQerrorMessage(connection_);
    const std::string sqlstate = find_sqlstate(text);
    Error error{ErrorKind::Unavailable, one_line(text), peer_, sqlstate_code(sqlstate)};
    if (!sqlstate.empty()) {
        if (login_denied(sqlstate)) error.kind = ErrorKind::PermissionDenied;
    } else {
        error.code = code_of(text);
    }
    return error;
}

base::Status Client::connect(const ConnectParams& params, base::Duration timeout) {
    close();
    const auto deadline = Clock::now() + timeout;
    peer_ = fmt::format("{} as user '{}'", base::HostPort{params.host, params.port}.text(), params.user);
    if (cancel_fd_ < 0) {
        return base::in_context(Error{ErrorKind::Unavailable, "no file descriptor is left", {}, code_no_socket}, peer_);
    }
    const std::string port = std::to_string(params.port);
    const bool tls = !params.tls_ca_file.empty();
    // Everything that the environment could decide otherwise is said here. No password is looked up in a file.
    const std::array<std::pair<const char*, std::string>, 15> options = {{
        {"host", params.host},
        {"port", port},
        {"user", params.user},
        {"password", params.password},
        {"passfile", "/dev/null/none"},
        {"dbname", params.database.empty() ? "postgres" : params.database},
        {"sslmode", !tls                     ? "disable"
                    : params.tls_verify_host ? "verify-full"
                                             : "verify-ca"},
        {"sslrootcert", params.tls_ca_file},
        {"gssencmode", "disable"},
        {"target_session_attrs", "any"},
        {"client_encoding", "UTF8"},
        {"application_name", "signalbox"},
        {"fallback_application_name", "signalbox"},
        {"options", params.replication ? "" : "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1"},
        {"replication", params.replication ? "true" : "false"},
    }};
    std::vector<const char*> keys;
    std::vector<const char*> values;
    for (const auto& [key, value] : options) {
        keys.push_back(key);
        values.push_back(value.c_str());
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    connection_ = PQconnectStartParams(keys.data(), values.data(), 0);
    SB_ASSERT(connection_ != nullptr, "libpq has memory for a connection");
    PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);
    PQsetNoticeReceiver(
        connection_, [](void*, const PGresult*) {}, nullptr);
    auto polling = PQstatus(connection_) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (polling != PGRES_POLLING_OK) {
        if (polling == PGRES_POLLING_FAILED) {
            Error error = connect_error();
            close();
            return tl::unexpected<Error>(std::move(error));
        }
        const auto ready = wait(polling == PGRES_POLLING_READING, polling == PGRES_POLLING_WRITING, deadline);
        if (!ready) {
            close();
            return base::in_context(ready.error(), peer_);
        }
        polling = PQconnectPoll(connection_);
    }
    PQsetnonblocking(connection_, 1);
    PQsetErrorVerbosity(connection_, PQERRORS_DEFAULT);
    return {};
}

base::Status Client::send(const std::string& sql, Clock::time_point deadline) {
    if (PQsendQuery(connection_, sql.c_str()) == 0) {
        return fail(ErrorKind::UnknownOutcome, "{}", one_line(PQerrorMessage(connection_)));
    }
    for (;;) {
        const int left = PQflush(connection_);
        if (left == 0) return {};
        if (left < 0) return fail(ErrorKind::UnknownOutcome, "{}", one_line(PQerrorMessage(connection_)));
        // A server that talks back while we still send must be listened to, or both wait for ever.
        SB_CHECK(wait(true, true, deadline));
        if (PQconsumeInput(connection_) == 0) {
            return fail(ErrorKind::UnknownOutcome, "{}", one_line(PQerrorMessage(connection_)));
        }
    }
}

base::Result<PGresult*> Client::next_result(Clock::time_point deadline) {
    while (PQisBusy(connection_) != 0) {
        SB_CHECK(wait(true, false, deadline));
        // An end of the connection becomes a result of its own.
        if (PQconsumeInput(connection_) == 0) break;
    }
    return PQgetResult(connection_);
}

base::Result<std::vector<ResultSet>> Client::query_all(const std::string& sql, base::Duration timeout,
                                                       std::vector<ResultSet>* answered) {
    if (connection_ == nullptr) return fail(ErrorKind::Unavailable, "not connected");
    const auto deadline = Clock::now() + timeout;
    const auto lost = [&](Error error, int code) {
        error.kind = ErrorKind::UnknownOutcome;
        error.context = peer_;
        error.code = code;
        close();
        return tl::unexpected<Error>(std::move(error));
    };
    if (const auto sent = send(sql, deadline); !sent) {
        return lost(sent.error(), sent.error().kind == ErrorKind::Timeout ? 0 : code_lost);
    }
    std::vector<ResultSet> results;
    std::optional<Error> failed;
    std::size_t rows = 0;
    for (;;) {
        const auto next = next_result(deadline);
        if (!next) return lost(next.error(), 0);
        const ResultPtr result(*next);
        if (result == nullptr) break;
        const auto status = PQresultStatus(result.get());
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            return lost({ErrorKind::UnknownOutcome, "the answer is a copy stream, not rows", {}, 0}, code_lost);
        }
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
            results.push_back(read_rows(result.get(), rows_max - std::min(rows, rows_max)));
            rows += results.back().rows.size();
        } else if (!failed) {
            const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
            const char* primary = PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY);
            const std::string sqlstate = state == nullptr ? "" : state;
            std::string text = primary == nullptr ? one_line(PQresultErrorMessage(result.get())) : primary;
            if (!sqlstate.empty()) text += fmt::format(" (SQLSTATE {})", sqlstate);
            failed = Error{ErrorKind::Unavailable, std::move(text), peer_, sqlstate_code(sqlstate)};
        }
    }
    const bool broken = PQstatus(connection_) == CONNECTION_BAD;
    if (!failed && !broken) return results;
    if (answered != nullptr) *answered = std::move(results);
    if (!failed) failed = Error{ErrorKind::Unavailable, one_line(PQerrorMessage(connection_)), {}, 0};
    if (broken) return lost(*failed, failed->code == 0 ? code_lost : failed->code);
    return tl::unexpected<Error>(std::move(*failed));
}

base::Result<ResultSet> Client::query(const std::string& sql, base::Duration timeout) {
    SB_TRY(auto results, query_all(sql, timeout));
    SB_ASSERT(!results.empty(), "a statement that succeeded has a result");
    return std::move(results.front());
}

std::uint64_t Client::connection_id() const { return static_cast<std::uint64_t>(PQbackendPID(connection_)); }

int Client::server_version() const { return PQserverVersion(connection_); }

std::string Client::quote(std::string_view text) const {
    char* quoted = PQescapeLiteral(connection_, text.data(), text.size());
    SB_ASSERT(quoted != nullptr, "a text of ours is valid UTF-8");
    std::string result(quoted);
    PQfreemem(quoted);
    return result;
}

int Client::socket() const { return connection_ == nullptr ? -1 : PQsocket(connection_); }

}  // namespace signalbox::postgres
