#include "lab/postgres_client.hpp"

#include <poll.h>

#include "base/text.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;

namespace {

// Whether the socket became ready before the deadline.
bool wait_for(int fd, short events, Clock::time_point deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return false;
        pollfd waited{fd, events, 0};
        if (::poll(&waited, 1, static_cast<int>(left)) > 0) return true;
    }
}

std::string quoted(const std::string& text, char quote) {
    std::string result(1, quote);
    for (const char c : text) {
        if (c == quote) result += quote;
        result += c;
    }
    return result + quote;
}

}  // namespace

std::string PostgresClient::literal(const std::string& text) { return quoted(text, '\''); }
std::string PostgresClient::identifier(const std::string& text) { return quoted(text, '"'); }

base::Status PostgresClient::connect(const Params& params, base::Duration timeout) {
    const auto deadline = Clock::now() + timeout;
    close();
    const std::string port = std::to_string(params.port);
    // No password file and no service of whoever runs the lab.
    const char* keys[] = {"host", "port", "user", "password", "dbname", "application_name", "passfile", nullptr};
    const char* values[] = {params.host.c_str(),     port.c_str(),     params.user.c_str(), params.password.c_str(),
                            params.database.c_str(), "lab_controller", "/dev/null/none",    nullptr};
    connection_.reset(PQconnectStartParams(keys, values, 0));
    const auto failure = [&](ErrorKind kind, const std::string& what) {
        auto error = fail(kind, "{}:{} as {}: {}", params.host, params.port, params.user, what);
        close();
        return error;
    };
    if (!connection_) return failure(ErrorKind::Unavailable, "no memory");
    auto state = PGRES_POLLING_WRITING;
    while (PQstatus(connection_.get()) != CONNECTION_BAD) {
        if (state == PGRES_POLLING_OK) {
            PQsetnonblocking(connection_.get(), 1);
            return {};
        }
        if (state == PGRES_POLLING_FAILED) break;
        const auto events = static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT);
        if (!wait_for(PQsocket(connection_.get()), events, deadline))
            return failure(ErrorKind::Timeout, "no answer within " + base::format_duration(timeout));
        state = PQconnectPoll(connection_.get());
    }
    return failure(ErrorKind::Unavailable, std::string(base::trim(PQerrorMessage(connection_.get()))));
}

base::Result<std::optional<std::vector<std::string>>> PostgresClient::row(const std::string& sql,
                                                                          base::Duration timeout) {
    const auto deadline = Clock::now() + timeout;
    if (!connection_) return fail(ErrorKind::Unavailable, "not connected");
    auto* const connection = connection_.get();
    const auto broken = [&](const std::string& what) {
        close();
        return fail(ErrorKind::UnknownOutcome, "{}", what);
    };
    if (!PQsendQuery(connection, sql.c_str())) return broken(std::string(base::trim(PQerrorMessage(connection))));
    while (const int left = PQflush(connection)) {
        if (left < 0 || !wait_for(PQsocket(connection), POLLIN | POLLOUT, deadline)) return broken("can't be sent");
        if (!PQconsumeInput(connection)) return broken(std::string(base::trim(PQerrorMessage(connection))));
    }
    std::optional<std::vector<std::string>> cells;
    std::string error;
    for (;;) {
        while (PQisBusy(connection)) {
            if (!wait_for(PQsocket(connection), POLLIN, deadline))
                return broken("no answer within " + base::format_duration(timeout));
            if (!PQconsumeInput(connection)) return broken(std::string(base::trim(PQerrorMessage(connection))));
        }
        const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(connection), &PQclear);
        if (!result) break;
        const auto status = PQresultStatus(result.get());
        if (status == PGRES_TUPLES_OK) {
            cells.reset();
            if (PQntuples(result.get()) > 0) {
                cells.emplace();
                for (int i = 0; i < PQnfields(result.get()); ++i) cells->emplace_back(PQgetvalue(result.get(), 0, i));
            }
        } else if (status != PGRES_COMMAND_OK && error.empty()) {
            error = base::trim(PQresultErrorMessage(result.get()));
        }
    }
    if (PQstatus(connection) == CONNECTION_BAD) return broken(error.empty() ? "the connection broke" : error);
    if (!error.empty()) return fail(ErrorKind::Unavailable, "{}", error);
    return cells;
}

base::Result<std::string> PostgresClient::value(const std::string& sql, base::Duration timeout) {
    SB_TRY(const auto cells, row(sql, timeout));
    if (!cells || cells->empty()) return fail(ErrorKind::Unavailable, "no row for: {}", sql);
    return cells->front();
}

}  // namespace signalbox::lab
