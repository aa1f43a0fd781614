#pragma once
// One connection to a PostgreSQL server with a real deadline on every step. Built on libpq's non-blocking calls, so
// that every authentication method of the database's own client works, and a silent server costs the caller's deadline
// and no more. Blocking towards its caller; one thread at a time; cancel() may come from any thread.

#include <chrono>
#include <cstdint>
#include <libpq-fe.h>
#include <string>
#include <vector>

#include "adapters/probing/result_set.hpp"
#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::postgres {

using probing::ResultSet;

struct ConnectParams {
    std::string host;  // an address, or the folder of a unix socket; a name is resolved without a deadline
    std::uint16_t port = 5432;
    std::string user;
    std::string password;  // never printed
    std::string database;  // empty: "postgres"
    // "" = plain; otherwise TLS with the server's certificate verified against this CA file.
    std::string tls_ca_file;
    bool tls_verify_host = true;  // and the certificate must name `host`
    bool replication = false;     // speak the replication protocol's commands in place of SQL
};

// A SQLSTATE as a number, six bits a character, as the server packs it itself (MAKE_SQLSTATE); 0 for anything that is
// none.
int sqlstate_code(std::string_view sqlstate);
// Back to text; empty for 0.
std::string sqlstate_text(int code);

// Errors that come without a SQLSTATE carry one of these in Error::code: the client's own view of a connection.
constexpr int code_refused = -1;      // nobody listens
constexpr int code_lost = -2;         // the connection ended or was reset
constexpr int code_unreachable = -3;  // the network says that there is no way
constexpr int code_no_socket = -4;    // we have no file descriptor left
constexpr int code_protocol = -5;     // TLS, or something that is no PostgreSQL

class Client {
  public:
    Client();
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Connects and logs in within `timeout`. Errors: Unavailable or PermissionDenied with the SQLSTATE's code or one of
    // the codes above, Timeout (0). After any error the client is closed. The error's text names host, port
    // and user, no password.
    base::Status connect(const ConnectParams& params, base::Duration timeout);

    // Sends one text that may hold several statements separated by ';' (they share a transaction, unless they open
    // their own) and reads all their results, at most rows_max rows in all. Errors with a SQLSTATE leave the connection
    // usable, unless the server ends it: kind Unavailable, code set. A connection that breaks or stays silent past the
    // timeout after the text was sent: UnknownOutcome (code_lost or 0), and the client is closed.
    // On an error `answered`, where given, holds the results of the statements that the server had answered before.
    base::Result<std::vector<ResultSet>> query_all(const std::string& sql, base::Duration timeout,
                                                   std::vector<ResultSet>* answered = nullptr);
    // The same for exactly one statement.
    base::Result<ResultSet> query(const std::string& sql, base::Duration timeout);

    bool connected() const { return connection_ != nullptr; }
    // The process id of the server's side, as pg_terminate_backend takes it. Only while connected.
    std::uint64_t connection_id() const;
    // 150020 for 15.20. Only while connected.
    int server_version() const;
    // A literal with its quotes.
    std::string quote(std::string_view text) const;
    // -1 without a connection.
    int socket() const;

    // Ends the connection at once, without a farewell that could block.
    void close();
    // Makes a running call and all later ones return with Timeout/UnknownOutcome soon. From any thread, for good.
    void cancel();

    static constexpr std::size_t rows_max = 1'000'000;

  private:
    using Clock = std::chrono::steady_clock;
    // Waits until the connection's socket is ready for reading or, where asked, for writing.
    base::Status wait(bool read, bool write, Clock::time_point deadline);
    base::Status send(const std::string& sql, Clock::time_point deadline);
    // The next result; nullptr at the end of the text's results.
    base::Result<PGresult*> next_result(Clock::time_point deadline);
    base::Error connect_error() const;

    PGconn* connection_ = nullptr;
    std::string peer_;
    int cancel_fd_ = -1;
};

}  // namespace signalbox::postgres
