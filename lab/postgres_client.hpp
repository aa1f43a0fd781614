#pragma once
// One connection of the controller to a PostgreSQL server, with a real deadline on every step: libpq's non-blocking
// calls. One thread at a time.

#include <libpq-fe.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::lab {

class PostgresClient {
  public:
    // host: an address, or the directory of a unix socket.
    struct Params {
        std::string host;
        std::uint16_t port = 0;
        std::string user;
        std::string password;  // never printed
        std::string database = "postgres";
    };

    // Errors: Unavailable, Timeout. After any error the client is closed.
    base::Status connect(const Params& params, base::Duration timeout);
    // Statements separated by ';' (one transaction then); the cells of the first row of the last one, NULL as "";
    // nothing if there is no row. Errors: Unavailable with the server's words, and the connection stays; UnknownOutcome
    // when it broke or the deadline passed, and the client is closed.
    base::Result<std::optional<std::vector<std::string>>> row(const std::string& sql, base::Duration timeout);
    // The first cell of that row. Errors: also Unavailable when there is none.
    base::Result<std::string> value(const std::string& sql, base::Duration timeout);
    bool connected() const { return connection_ != nullptr; }
    void close() { connection_.reset(); }
    // As a literal with its quotes, and as a name with its quotes. Pure text: valid for UTF-8 and
    // standard_conforming_strings.
    static std::string literal(const std::string& text);
    static std::string identifier(const std::string& text);

  private:
    struct Finish {
        void operator()(PGconn* connection) const { PQfinish(connection); }
    };
    std::unique_ptr<PGconn, Finish> connection_;
};

}  // namespace signalbox::lab
