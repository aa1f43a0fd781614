#pragma once
// One connection to a MySQL-family server with a real deadline on every step. Built on libmariadb's non-blocking API,
// so that every authentication method of the database's own client works, and a silent server costs the caller's
// deadline and no more. Blocking towards its caller; one thread at a time; cancel() may come from any thread.

#include <atomic>
#include <cstdint>
#include <mysql.h>
#include <optional>
#include <string>
#include <vector>

#include "adapters/probing/result_set.hpp"
#include "base/error.hpp"
#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::mysql {

struct ConnectParams {
    std::string host;  // a name or an address; a name is resolved by this call, within its deadline at best
    std::uint16_t port = 3306;
    std::string unix_socket;  // used in place of host and port when not empty
    std::string user;
    std::string password;  // never printed
    std::string database;
    // "" = plain; otherwise TLS with the server's certificate verified against this CA file.
    std::string tls_ca_file;
    bool tls_verify_host = true;  // and the certificate must name `host`
};

using probing::ResultSet;

class Client {
  public:
    Client();
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Connects and logs in within `timeout`. Errors: Unavailable or PermissionDenied with the server's code (2002,
    // 2003, 1045…), Timeout. After any error the client is closed. The error's text names host, port and user, no
    // password.
    base::Status connect(const ConnectParams& params, base::Duration timeout);

    // Sends one text that may hold several statements separated by ';' and reads all their results, at most rows_max
    // rows in all. Errors with a server code leave the connection usable: kind Unavailable, code set (1290, 1792…).
    // A connection that breaks or stays silent past the timeout after the text was sent: UnknownOutcome (code 2013,
    // 2006 or 0), and the client is closed.
    // On an error `answered`, where given, holds the results of the statements that the server had answered before.
    base::Result<std::vector<ResultSet>> query_all(std::string_view sql, base::Duration timeout,
                                                   std::vector<ResultSet>* answered = nullptr);
    // The same for exactly one statement.
    base::Result<ResultSet> query(std::string_view sql, base::Duration timeout);

    bool connected() const { return connected_; }
    // The server's thread id of this session, as KILL takes it. Only while connected.
    std::uint64_t connection_id() const;
    // The server's version text, for example "10.11.19-MariaDB". Only while connected.
    std::string server_version() const;
    std::string escape(std::string_view text) const;
    // -1 without a connection.
    int socket() const;

    // Ends the connection at once, without a farewell that could block.
    void close();
    // Makes a running call and all later ones return with Timeout/UnknownOutcome soon. From any thread, for good.
    void cancel();

    static constexpr std::size_t rows_max = 1'000'000;

  private:
    base::Error last_error(base::ErrorKind kind) const;
    base::Result<bool> read_results(std::vector<ResultSet>& results, std::chrono::steady_clock::time_point deadline);
    // Waits until the socket is ready for what the library asks; the status bits to continue with, or an error.
    base::Result<int> wait(int status, std::chrono::steady_clock::time_point deadline);

    MYSQL mysql_{};
    bool initialised_ = false;
    bool connected_ = false;
    std::string peer_;
    int cancel_fd_ = -1;
};

// "mysql://user@host:3306/database?password_file=PATH": parses a database URL. The password comes from password_file,
// or from the environment variable named by password_env; a password inside the URL is refused, since command lines are
// public.
base::Result<ConnectParams> parse_url(std::string_view url);

}  // namespace signalbox::mysql
