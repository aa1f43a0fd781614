#pragma once
// One relay thread: its event loop, its sessions, its view of the routes. What other threads want reaches it as posted
// messages, in the order in which they were sent. shard.cpp has these messages and the sessions' beginning and end;
// reach.cpp how a client gets a server; opening.cpp what clients that speak first need; pump.cpp the bytes.

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "adapters/relay/relay.hpp"
#include "adapters/relay/session.hpp"

namespace signalbox::relay {

class Shard {
  public:
    Shard(std::size_t index, const RelayOptions& options, CancelDirectory& cancels);
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
    void set_readers(const std::string& cluster, const std::string& endpoint, std::vector<SharedTarget> targets);
    // Ends the endpoint's sessions, then calls done.
    void end_sessions(std::shared_ptr<Endpoint> endpoint, std::function<void()> done);

  private:
    enum class Attempt { Greeted, Failed, Over };
    enum class Refusal { TooManySessions, TooManyHeld, NoServer };
    enum class PlaceUse { Connected, Failed, Untried };
    // A cancel request on its way to a member.
    struct Cancelling {
        explicit Cancelling(asio::io_context& io) : socket(io.get_executor()), timer(io.get_executor()) {}
        Socket socket;
        Timer timer;
    };

    // Everything below runs in the shard's own thread.
    void run();
    ClusterRoutes& cluster(const std::string& name);
    ports::BarrierResult close_older(ClusterRoutes& routes, std::uint64_t epoch);
    void part_from_server(Session& session);
    void admit(std::shared_ptr<Session> session);
    Task<void> serve(std::shared_ptr<Session> session, bool too_many);
    void cut(Session& session);
    void end(Session& session);
    void forget_ended(ClusterRoutes& routes);
    bool may_still_run(const Session& session) const;
    void hint(Session& session, int code);

    // reach.cpp
    Task<bool> reach_member(std::shared_ptr<Session> session);
    Task<bool> wait_for_place(std::shared_ptr<Session> session);
    Task<bool> try_again_later(std::shared_ptr<Session> session);
    Task<Attempt> connect_and_greet(std::shared_ptr<Session> session);
    Task<bool> connect(const std::shared_ptr<Session>& session);
    Task<Attempt> pass_greeting(const std::shared_ptr<Session>& session);
    Task<void> pause(Session& session, Clock::time_point until);
    // The session's deadline for a step: when it passes, the server's side is reset. A later step makes it void.
    void limit_step(const std::shared_ptr<Session>& session, Clock::time_point deadline);
    ReaderChoice choice(const Session& session) const;
    bool take_place(Session& session);
    void leave_place(Session& session, PlaceUse use);
    void release_waiting(Gate& gate);
    void leave_waiting(Session& session);
    bool start_holding(Session& session, std::string& why_not);
    void stop_holding(Session& session);
    Task<void> refuse(std::shared_ptr<Session> session, Refusal refusal, std::string what);
    Task<void> refuse_no_server(std::shared_ptr<Session> session);

    // opening.cpp
    void watch_client(const std::shared_ptr<Session>& session);
    void client_stirred(const std::shared_ptr<Session>& session);
    bool keep_early(Session& session);
    Task<bool> read_opening(std::shared_ptr<Session> session);
    Task<void> refuse_postgres(std::shared_ptr<Session> session, std::string packet);
    std::vector<CancelTarget> cancel_targets(const Session& session, const wire::postgres::CancelKey& key) const;
    Task<void> deliver_cancel(std::shared_ptr<Session> session, wire::postgres::CancelKey key);
    Task<void> send_cancel(CancelTarget target, std::string packet);
    void scan_from_server(Session& session, std::string_view bytes);

    // pump.cpp
    Task<void> pump(std::shared_ptr<Session> session, bool to_server);
    Task<bool> relay_some(Session& session, bool to_server);
    Task<bool> write_rest(Socket& socket, std::string rest);
    void direction_ended(const std::shared_ptr<Session>& session, bool to_server, bool whole);

    Counters& counters(Session& session) { return session.endpoint->counters[index_]; }
    Clock::time_point hold_deadline(const Session& session) const;

    const std::size_t index_;
    const RelayOptions& options_;
    CancelDirectory& cancels_;
    asio::io_context io_{1};
    asio::executor_work_guard<Executor> work_;
    std::map<std::string, ClusterRoutes> clusters_;  // never erased: sessions point into it
    std::list<Cancelling*> cancelling_;
    std::unique_ptr<char[]> bulk_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace signalbox::relay
