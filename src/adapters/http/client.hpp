#pragma once
// A small HTTP/1.1 client over TCP or a unix socket (libcurl), for the command line and for providers. Blocking, with a
// deadline. Safe to use from several threads, one Client each.

#include <map>
#include <string>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::http {

struct Reply {
    unsigned status = 0;
    std::string body;
};

class Client {
  public:
    // base_url: "http://127.0.0.1:7070" or "unix:/run/x/api.sock".
    // token: sent as "Authorization: Bearer …" when not empty; never printed.
    explicit Client(std::string base_url, std::string token = {});

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
    std::string base_url_;
    std::string token_;
};

}  // namespace signalbox::http
