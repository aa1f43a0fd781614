#pragma once
// A small HTTP/1.1 client over TCP or a unix socket (libcurl), for the command line and for providers. Blocking, with a
// deadline. Safe to use from several threads, one Client each. Never follows a redirect, so that a token goes to nobody
// but the server that it is for.

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::http {

struct Reply {
    unsigned status = 0;
    std::string body;
    std::map<std::string, std::string> headers;  // names in lower case; of several with one name the last
};

// One question with all that may be said about it.
struct Question {
    std::string method = "GET";
    std::string target;  // begins with '/'
    std::string body;
    std::string content_type = "application/json";  // of a body
    std::vector<std::pair<std::string, std::string>> headers;
    std::size_t body_max_bytes = std::size_t{64} << 20;  // of the answer
};

struct ClientOptions {
    std::string ca_file;      // whom to trust for https; empty: the system's
    bool keep_alive = false;  // one connection for all questions; then one thread at a time
};

class Client {
  public:
    // base_url: "http://127.0.0.1:7070" or "unix:/run/x/api.sock".
    // token: sent as "Authorization: Bearer …" when not empty; never printed.
    explicit Client(std::string base_url, std::string token = {}, ClientOptions options = {});
    ~Client();
    Client(Client&&) noexcept;
    Client& operator=(Client&&) noexcept;

    // As request() below, and InvalidArgument for a header with a line break. A header of the name Authorization stands
    // in place of the token.
    base::Result<Reply> ask(const Question& question, base::Duration timeout) const;
    // target begins with '/'. Errors: Unavailable (nobody listens), Timeout (nothing was sent), UnknownOutcome (sent,
    // but no whole answer within `timeout`). Any HTTP status is a Reply, not an error. Bodies over 64 MiB are an error.
    base::Result<Reply> request(std::string_view method, std::string_view target, std::string_view body,
                                base::Duration timeout) const;
    // The same with JSON in and out: a status of 400 or more becomes an Error with the kind and message that the server
    // gave in {"error": {"kind": …, "message": …}}.
    base::Result<base::json::value> call(std::string_view method, std::string_view target,
                                         const base::json::value& body, base::Duration timeout) const;
    base::Result<base::json::value> get(std::string_view target, base::Duration timeout) const;

  private:
    struct Handle;
    std::string base_url_;
    std::string token_;
    ClientOptions options_;
    std::unique_ptr<Handle> kept_;  // with keep_alive
};

// "https://host:1/a?b" as ("https://host:1", "/a?b"), for a Client and its target. Errors: InvalidArgument (no http or
// https URL, a user or password in it, a fragment); the text does not repeat the URL, which may hold a secret.
base::Result<std::pair<std::string, std::string>> split_url(std::string_view url);

// What a Retry-After header asks for (RFC 9110, 10.2.3): seconds, or a date, from which `now` is taken. Nothing if it
// is neither.
std::optional<base::Duration> parse_retry_after(std::string_view text, base::WallTime now);

}  // namespace signalbox::http
