#pragma once
// A name server's sockets: UDP and TCP on several addresses, all served by one thread that blocks on nobody. What is
// answered is the zone's, which is changed under the server's lock: once change() has returned, no older answer is
// sent.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "adapters/dns/answer.hpp"
#include "base/error.hpp"
#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::dns {

struct ServerOptions {
    std::size_t connections_max = 64;                       // TCP, in all; past it the one that is idle longest goes
    base::Duration idle_timeout = std::chrono::seconds(5);  // of a TCP connection
};

class Server {
  public:
    explicit Server(ServerOptions options = {});
    // Joins the thread within milliseconds.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // Binds UDP and TCP of an IP address; port 0: any that is free for both. The bound address, which names the zone
    // from here on. Errors: InvalidArgument; Unavailable with the reason (in use, no permission).
    base::Result<std::string> listen(const base::HostPort& where);
    // When it returns, the port is free again.
    void close(const std::string& address);
    // Runs `how` on the zone of that address; nothing if it is closed. Answers that a slow TCP client has not taken yet
    // are dropped with their connections.
    void change(const std::string& address, const std::function<void(Zone&)>& how);
    void look(const std::string& address, const std::function<void(const Zone&)>& how) const;
    // Runs it soon in the server's thread.
    void post(std::function<void()> task);

  private:
    struct Listener;
    struct Connection;
    void run();
    bool wait(std::vector<std::pair<int, short>>& ready);
    void serve(int fd, short events);
    void serve_udp(Listener& listener);
    void accept(const std::string& address, Listener& listener);
    // False: the connection is over.
    bool serve_tcp(Connection& connection, short events);
    bool read_queries(Connection& connection);
    bool write_answers(Connection& connection);
    void drop_idle(base::MonoTime now);
    base::Duration until_idle(base::MonoTime now) const;
    void wake() const;

    const ServerOptions options_;
    int wake_ = -1;
    mutable std::mutex mutex_;
    bool stopping_ = false;
    std::map<std::string, std::unique_ptr<Listener>> listeners_;  // by address
    std::map<int, std::unique_ptr<Connection>> connections_;      // by descriptor
    // Closed while the thread may be waiting on them, which keeps their ports: it lets go of them itself.
    std::vector<std::unique_ptr<Listener>> closed_;
    std::condition_variable let_go_;
    std::vector<std::function<void()>> tasks_;
    std::thread thread_;
};

}  // namespace signalbox::dns
