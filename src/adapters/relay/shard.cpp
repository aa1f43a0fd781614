#include "adapters/relay/shard.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <sched.h>

#include "adapters/relay/limits.hpp"

namespace signalbox::relay {

using boost::system::error_code;

Shard::Shard(std::size_t index, const RelayOptions& options, CancelDirectory& cancels)
    : index_(index),
      options_(options),
      cancels_(cancels),
      work_(io_.get_executor()),
      bulk_(std::make_unique<char[]>(bulk_bytes)),
      thread_([this] { run(); }) {}

Shard::~Shard() {
    asio::post(io_, [this] {
        stopping_ = true;
        for (auto& [name, routes] : clusters_) {
            for (Session* session : routes.sessions) cut(*session);
        }
        for (Cancelling* cancelling : cancelling_) {
            error_code ignored;
            cancelling->socket.close(ignored);
        }
        work_.reset();
    });
    thread_.join();
}

void Shard::run() {
    // To sleep and be woken costs more than most answers take to come. So while they do come that soon, the thread
    // looks again for a moment before it sleeps; where it does not pay, or somebody else wants the core, it sleeps.
    int missed = spins_missed_max;
    auto sleep_until = Clock::time_point::min();
    while (!io_.stopped()) {
        auto now = Clock::now();
        if (now < sleep_until) {
            io_.run_one();
            continue;
        }
        if (io_.poll() != 0) continue;
        const auto idle_since = now = Clock::now();
        std::size_t done = 0;
        while (missed < spins_missed_max && done == 0 && now - idle_since < options_.spin_max && !io_.stopped()) {
            ::sched_yield();
            const auto asked_at = std::exchange(now, Clock::now());
            if (now - asked_at > spin_contended) sleep_until = now + spin_pause;
            done = io_.poll();
        }
        if (done != 0) {
            missed = 0;
            continue;
        }
        missed = std::min(missed + 1, spins_missed_max);
        io_.run_one();
        if (Clock::now() - idle_since < options_.spin_max) missed = 0;
    }
}

void Shard::spawn(Task<void> task) {
    asio::co_spawn(io_.get_executor(), std::move(task), [](const std::exception_ptr& error) {
        if (error) std::rethrow_exception(error);
    });
}

ClusterRoutes& Shard::cluster(const std::string& name) {
    const auto [found, fresh] = clusters_.try_emplace(name);
    if (fresh) found->second.name = name;
    return found->second;
}

void Shard::adopt(Socket client, std::shared_ptr<Endpoint> endpoint) {
    asio::post(io_, [this, client = std::move(client), endpoint = std::move(endpoint)]() mutable {
        auto& routes = cluster(endpoint->cluster);
        admit(std::make_shared<Session>(std::move(client), std::move(endpoint), routes));
    });
}

void Shard::hold(const std::string& name, std::uint64_t epoch) {
    asio::post(io_, [this, name, epoch] {
        ClusterRoutes& routes = cluster(name);
        if (epoch < routes.route.epoch) return;
        routes.route.epoch = epoch;
        routes.route.open = false;
    });
}

void Shard::route(const std::string& name, const Route& route) {
    asio::post(io_, [this, name, route] {
        ClusterRoutes& routes = cluster(name);
        if (route.epoch < routes.route.epoch) return;
        routes.route = route;
        routes.barred.reset();
        release_waiting(routes.writers);
        for (auto& [endpoint, gate] : routes.readers) release_waiting(gate);
    });
}

void Shard::fence(const std::string& name, std::uint64_t epoch, std::function<void(ports::BarrierResult)> acknowledge) {
    asio::post(io_, [this, name, epoch, acknowledge = std::move(acknowledge)] {
        acknowledge(close_older(cluster(name), epoch));
    });
}

void Shard::set_readers(const std::string& name, const std::string& endpoint, std::vector<SharedTarget> targets) {
    asio::post(io_, [this, name, endpoint, targets = std::move(targets)] {
        ClusterRoutes& routes = cluster(name);
        Gate& gate = routes.readers[endpoint];
        replace_readers(gate.readers, targets);
        for (Session* session : routes.sessions) {
            const bool lost = session->place && session->place->removed && !session->fenced;
            if (!lost || (session->phase != Phase::Connecting && session->phase != Phase::Relaying)) continue;
            part_from_server(*session);
        }
        release_waiting(gate);
    });
}

void Shard::part_from_server(Session& session) {
    session.fenced = true;
    session.reset_server();
    // A client whose connect was under way has seen nothing of that member yet: it waits for the next one.
    if (session.phase == Phase::Connecting) return;
    session.close_client();
    session.timer.cancel();
    counters(session).fenced.add(1);
}

ports::BarrierResult Shard::close_older(ClusterRoutes& routes, std::uint64_t epoch) {
    ports::BarrierResult result;
    if (epoch < routes.route.epoch) return result;
    routes.route.epoch = epoch;
    routes.route.open = false;
    routes.barred = routes.route.member;
    std::map<std::string, std::vector<clusters::ServerSession>> by_member;
    for (Session* session : routes.sessions) {
        const bool reaches_server = session->phase == Phase::Connecting || session->phase == Phase::Relaying;
        if (!reaches_server || session->epoch >= epoch || session->fenced) continue;
        // Readers of other members read on.
        if (session->is_reader() && (!routes.barred || *routes.barred != *session->member)) continue;
        auto running = server_session(session->connection_id, session->local);
        if (session->phase == Phase::Relaying) ++result.sessions_closed;
        part_from_server(*session);
        if (running != clusters::ServerSession()) by_member[*session->member].push_back(std::move(running));
    }
    forget_ended(routes);
    while (!routes.ended.empty() && routes.ended.front().epoch < epoch) {
        const EndedSession& ended = routes.ended.front();
        by_member[*ended.member].push_back(server_session(ended.connection_id, ended.local));
        routes.ended.pop_front();
    }
    for (auto& [member, sessions] : by_member) result.server_sessions.push_back({member, std::move(sessions)});
    return result;
}

void Shard::end_sessions(std::shared_ptr<Endpoint> endpoint, std::function<void()> done) {
    asio::post(io_, [this, endpoint = std::move(endpoint), done = std::move(done)] {
        for (Session* session : cluster(endpoint->cluster).sessions) {
            if (session->endpoint == endpoint) cut(*session);
        }
        done();
    });
}

void Shard::admit(std::shared_ptr<Session> session) {
    ClusterRoutes& routes = session->cluster;
    session->in_sessions = routes.sessions.insert(routes.sessions.end(), session.get());
    counters(*session).accepted.add(1);
    const std::uint64_t before = session->endpoint->sessions.fetch_add(1);
    if (stopping_ || session->endpoint->closed) {
        cut(*session);
        end(*session);
        return;
    }
    const bool too_many = before >= session->endpoint->sessions_max;
    watch_client(session);
    spawn(serve(std::move(session), too_many));
}

Task<void> Shard::serve(std::shared_ptr<Session> session, bool too_many) {
    // Here and below: a co_await inside a condition makes g++ 12 destroy its temporaries wrongly, so each stands alone.
    bool reached = !too_many;
    if (too_many) {
        co_await refuse(session, Refusal::TooManySessions,
                        fmt::format("endpoint '{}' has {} sessions, its sessions_max", session->endpoint->name,
                                    session->endpoint->sessions_max.load()));
    }
    if (reached && session->client_speaks_first()) reached = co_await read_opening(session);
    if (reached) reached = co_await reach_member(session);
    if (!reached || session->fenced || session->client_gone) {
        end(*session);
        co_return;
    }
    session->phase = Phase::Relaying;
    session->directions = 2;
    session->endpoint->connected.fetch_add(1);
    session->to_server_buffer = std::make_unique<std::array<char, small_buffer_bytes>>();
    session->to_client_buffer = std::make_unique<std::array<char, small_buffer_bytes>>();
    spawn(pump(session, true));
    spawn(pump(session, false));
}

void Shard::hint(Session& session, int code) {
    const auto now = Clock::now();
    if (!options_.on_hint || !session.member || now - session.cluster.last_hint < hint_interval) return;
    session.cluster.last_hint = now;
    options_.on_hint({session.cluster.name, *session.member, code});
}

void Shard::cut(Session& session) {
    session.client_gone = true;
    session.reset_server();
    session.close_client();
    session.timer.cancel();
}

void Shard::forget_ended(ClusterRoutes& routes) {
    const auto oldest = Clock::now() - ended_kept;
    while (routes.ended.size() > ended_max || (!routes.ended.empty() && routes.ended.front().at < oldest)) {
        routes.ended.pop_front();
    }
}

bool Shard::may_still_run(const Session& session) const {
    if (session.phase != Phase::Relaying || session.fenced || session.quit_sent || session.server_ended) return false;
    // What a reader's statement still does is of no concern, unless it runs where a writer is.
    const auto& writer = session.cluster.route.member;
    return !session.is_reader() || (writer && *writer == *session.member);
}

void Shard::end(Session& session) {
    // A client that went away without a farewell may have left a statement running: the next fence ends it there.
    if (may_still_run(session)) {
        session.cluster.ended.push_back(
            {session.epoch, session.member, session.connection_id, session.local, Clock::now()});
        forget_ended(session.cluster);
    }
    if (session.phase == Phase::Relaying) session.endpoint->connected.fetch_sub(1);
    if (session.place) session.place->load->sessions.fetch_sub(1);
    if (session.cancel_key) cancels_.remove({session.cluster.name, *session.cancel_key});
    stop_holding(session);
    session.phase = Phase::Ended;
    session.close_server();
    session.close_client();
    session.timer.cancel();
    session.cluster.sessions.erase(session.in_sessions);
    session.endpoint->sessions.fetch_sub(1);
}

}  // namespace signalbox::relay
