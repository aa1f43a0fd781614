#pragma once
// A small HTTP/1.1 server over TCP or a unix socket (Boost.Beast inside). Handlers are plain blocking functions that
// run on a bounded pool of threads, so that a slow one never stops the others.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::http {

struct Request {
    std::string method;                        // "GET"
    std::string path;                          // "/v1/status", percent-decoded
    std::map<std::string, std::string> query;  // decoded; the last of equal keys
    std::string authorization;                 // the Authorization header, whole; never logged
    std::string body;
};

struct Response {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
};

Response json_response(unsigned status, const base::json::value& body);
// {"error": {"kind": "not found", "message": …}} with the status that fits the kind.
Response error_response(const base::Error& error);

using Handler = std::function<Response(const Request&)>;

struct ServerOptions {
    std::string listen;  // "127.0.0.1:7070" or "unix:/run/x/api.sock" (mode 0600; a stale socket is replaced)
    std::size_t connections_max = 256;  // more wait in the kernel's queue
    std::size_t threads = 8;            // handlers that run at once
    std::size_t body_max_bytes = 4 << 20;
    base::Duration idle_timeout = std::chrono::seconds(75);  // also the deadline for reading one request
};

class Server {
  public:
    // Binds and starts to serve on threads of its own. Errors name the address and the reason (in use, no permission).
    static base::Result<std::unique_ptr<Server>> start(const ServerOptions& options, Handler handler);
    // Stops accepting, ends connections, joins threads; removes the unix socket.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // The bound address; with port 0 in the options, the real one.
    const std::string& address() const;

  private:
    struct Impl;
    explicit Server(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace signalbox::http
