#pragma once
// One relay thread: its event loop, its sessions, its view of the routes. What other threads want reaches it as posted
// messages, in the order in which they were sent.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "adapters/relay/relay.hpp"
#include "adapters/relay/session.hpp"

namespace signalbox::relay {

class Shard {
  public:
    Shard(std::size_t index, const RelayOptions& options);
    // Ends every session and joins the thread. Acceptors on this loop must be closed before.
    ~Shard();
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;

    asio::io_context& io() { return io_; }
    // Runs the task on this loop. An exception that leaves it is a defect and ends the program.
    void spawn(Task<void> task);

    // From any thread.
    void adopt(Socket client, std::shared_ptr<Endpoint> endpoint);
    void hold(const std::string& cluster, std::uint64_t epoch);
    void route(const std::string& cluster, const Route& route);
    void fence(const std::string& cluster, std::uint64_t epoch, std::function<void(ports::BarrierResult)> acknowledge);
    // Ends the endpoint's sessions, then calls done.
    void end_sessions(std::shared_ptr<Endpoint> endpoint, std::function<void()> done);

  private:
    enum class Attempt { Greeted, Failed, Over };

    // Everything below runs in the shard's own thread.
    ClusterRoutes& cluster(const std::string& name);
    ports::BarrierResult close_older(ClusterRoutes& routes, std::uint64_t epoch);
    void admit(std::shared_ptr<Session> session);
    void watch_client(const std::shared_ptr<Session>& session);
    Task<void> serve(std::shared_ptr<Session> session);
    Task<bool> reach_writer(std::shared_ptr<Session> session);
    Task<bool> wait_for_route(Session& session);
    Task<Attempt> connect_and_greet(std::shared_ptr<Session> session);
    Task<bool> connect(const std::shared_ptr<Session>& session);
    Task<Attempt> pass_greeting(const std::shared_ptr<Session>& session);
    Task<void> pause(Session& session, base::Duration duration);
    Task<void> pump(std::shared_ptr<Session> session, bool to_server);
    Task<bool> relay_some(Session& session, bool to_server);
    Task<bool> write_rest(Socket& socket, std::string rest);
    void direction_ended(const std::shared_ptr<Session>& session, bool to_server, bool whole);
    // The session's deadline for a step: when it passes, the server's side is reset. A later step makes it void.
    void limit_step(const std::shared_ptr<Session>& session, std::chrono::steady_clock::time_point deadline);
    bool start_holding(Session& session);
    void stop_holding(Session& session);
    void leave_waiting(Session& session);
    void release_waiting(ClusterRoutes& routes);
    void connecting_done(ClusterRoutes& routes);
    void refuse(Session& session, std::uint16_t code, const std::string& text);
    void refuse_no_writer(Session& session);
    void forget_ended(ClusterRoutes& routes);
    void hint(Session& session, int code);
    void cut(Session& session);
    void end(Session& session);
    Counters& counters(Session& session) { return session.endpoint->counters[index_]; }
    std::chrono::steady_clock::time_point hold_deadline(const Session& session) const;

    const std::size_t index_;
    const RelayOptions& options_;
    asio::io_context io_{1};
    asio::executor_work_guard<Executor> work_;
    std::map<std::string, ClusterRoutes> clusters_;  // never erased: sessions point into it
    std::unique_ptr<char[]> bulk_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace signalbox::relay
