#pragma once
// The cloud's part for one database cluster: keeps its members running, decides who writes, and at a failover promotes
// the member that has received most, without losing a write that was acknowledged. It knows no engine: members do
// (member.hpp).
//
// What makes a promotion safe. The writer acknowledges a write only when a reader has received it (MariaDB:
// semi-synchronous, AFTER_SYNC, no time-out; PostgreSQL: synchronous commit). So the controller keeps three facts, and
// every change to them comes before what it allows:
//   acknowledgers_  every reader that may have acknowledged something since `floor_` was taken;
//   floor_          a position of the writer that whoever is promoted must have reached;
//   alone_          the writer acknowledges by itself, by the controller's order: nobody else may be promoted.
// A failover that can't read every acknowledger, or whose best candidate has not reached the floor, starts the old
// writer again as the writer: it holds everything.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/json.hpp"
#include "lab/events.hpp"
#include "lab/health.hpp"
#include "lab/member.hpp"
#include "lab/names.hpp"

namespace signalbox::lab {

class Cluster {
  public:
    // directory: where its members keep their files. first_number: of the first member, unique in the lab.
    Cluster(const ClusterSpec& spec, Engine& engine, const std::string& directory, unsigned first_number,
            Network& network, Reaper& reaper, Names& names, Events& events, Log& log);
    ~Cluster();

    // Starts all members and waits until the first one is a writer with every other one replicating from it. The error
    // holds the end of the failing server's log. Once, before the commands.
    base::Status bring_up(base::Duration timeout, const std::function<void(const std::string&)>& progress);

    // The operator's commands; from any thread. Each waits until it is done.
    // stay_down: the controller does not start it again until start_member().
    base::Status kill_member(const std::string& member, bool stay_down);
    base::Status start_member(const std::string& member);
    base::Status pause_member(const std::string& member);
    base::Status resume_member(const std::string& member);
    base::Status blackhole_member(const std::string& member);
    base::Status heal_member(const std::string& member);
    // A reader takes writes although nobody made it the writer, and follows nobody; until it is healed or killed.
    base::Status claim_member(const std::string& member);
    // Begins a planned failover and returns; the error says why it can't begin (Conflict, NotFound).
    base::Status begin_planned_failover(const std::string& to);
    // Returns when the new writer takes writes: {"writer": …, "duration_ms": …}. to: empty for the best one.
    base::Result<base::json::value> failover(const std::string& to, bool like_aurora);

    bool has_member(const std::string& name) const;
    const std::string& name() const { return spec_.name; }
    base::json::value describe() const;  // as a cloud says it
    base::json::value status() const;    // as the operator sees it

  private:
    static constexpr std::size_t nobody = static_cast<std::size_t>(-1);
    enum class Phase { Down, Rejoining, Starting, Up };
    struct Runtime {
        std::unique_ptr<Member> server;
        std::unique_ptr<Health> health;
        Phase phase = Phase::Down;
        bool stay_down = false;
        bool claiming = false;  // the operator made it take writes
        std::future<base::Status> rejoined;
        std::size_t rejoins = nobody;  // the writer that it is made fit to follow
        bool attached = false;         // told to replicate from the writer of this term
        bool blackholed = false;
        bool port_closed = false;
        int failed_starts = 0;
        Clock::time_point start_after{};
        Clock::time_point started{};
        Clock::time_point received{};  // when it was last seen to receive
        Clock::time_point look_again{};
    };
    struct Received {
        std::size_t index = 0;
        Position position;
    };
    struct Step {
        Clock::time_point due;
        std::function<void()> act;
    };
    static constexpr auto command_timeout = std::chrono::seconds(60);

    // The loop and what it does in each round.
    void loop();
    void wake();
    bool run_commands();
    bool run_due_steps();
    void run_planned();
    void watch_writer();
    void reconcile(std::size_t index);
    void notice_end(std::size_t index);
    void start_again(std::size_t index);
    void finish_rejoin(std::size_t index);
    void finish_start(std::size_t index);
    void keep_receiving(std::size_t index);
    void reopen_writer();
    void keep_acknowledgement();
    void keep_reader_name();
    // Runs fn on the loop's thread and waits for its Result; UnknownOutcome if that takes too long.
    template <typename Fn>
    auto on_loop(Fn fn) -> decltype(fn());

    // Members.
    base::Result<std::size_t> index_of(const std::string& member) const;
    bool reachable(const Runtime& runtime) const;
    base::Status attach(std::size_t index);
    base::Status clone_anew(std::size_t index);
    Source writers_source() const;
    void forget_acknowledger(std::size_t index);
    void set_port_closed(std::size_t index, bool closed);
    void on_each(const std::vector<std::size_t>& indices, const std::function<void(std::size_t)>& act);

    // Failover.
    bool writer_is_well() const;
    base::Status may_begin() const;
    base::Status may_fail_over(const std::string& to) const;
    base::Status begin_failover(const std::string& reason, const std::string& to, bool like_aurora);
    base::Status promote_now(std::size_t old_writer, const std::string& to, bool planned);
    void stretch(std::size_t old_writer, std::size_t target, bool planned);
    base::Status demote(std::size_t old_writer, std::size_t target);
    std::vector<Received> stop_receiving();
    base::Result<std::size_t> choose(const std::vector<Received>& received, const std::string& to) const;
    base::Status catch_up(std::size_t target, const std::vector<Received>& received);
    base::Status take_over(std::size_t target);
    base::Status open(std::size_t target);
    void repoint_readers();
    void elect_old_writer_again(std::size_t old_writer);
    void move_names();
    void complete(const std::string& message);
    base::Status first_writer();
    bool all_attached();

    const ClusterSpec& spec_;
    Network& network_;
    Names& names_;
    Events& events_;
    Log& log_;
    Engine& engine_;
    std::vector<Runtime> members_;

    std::size_t writer_ = nobody;     // who may write, or will when it is up again
    std::size_t reopening_ = nobody;  // the writer that is being started again as the writer
    bool opened_ = false;             // the writer takes writes
    bool alone_ = true;
    Position floor_;
    std::set<std::size_t> acknowledgers_;
    Clock::time_point without_readers_since_{};
    std::vector<Step> steps_;
    std::optional<std::string> planned_;  // a failover that was accepted, to that member ("": any), and comes next
    std::size_t reader_name_ = nobody;
    bool names_held_ = false;  // a stretched failover moves them at its own time
    bool ready_ = false;

    mutable std::mutex mutex_;  // guards commands_ and status_
    std::condition_variable changed_;
    std::deque<std::packaged_task<void()>> commands_;
    bool poked_ = false;
    bool stopping_ = false;
    struct Seen {
        std::string role;
        std::string state;
        bool quiet = true;  // it would not answer a question
    };
    std::vector<Seen> seen_;
    void publish();
    std::thread thread_;
};

template <typename Fn>
auto Cluster::on_loop(Fn fn) -> decltype(fn()) {
    // Shared, since the caller may give up before the loop comes to it.
    const auto result = std::make_shared<std::promise<decltype(fn())>>();
    auto future = result->get_future();
    {
        const std::lock_guard lock(mutex_);
        if (stopping_ || !thread_.joinable())
            return base::fail(base::ErrorKind::Unavailable, "cluster '{}' is not up", spec_.name);
        commands_.emplace_back([result, fn = std::move(fn)] { result->set_value(fn()); });
    }
    changed_.notify_all();
    if (future.wait_for(command_timeout) != std::future_status::ready)
        return base::fail(base::ErrorKind::UnknownOutcome, "cluster '{}' has not done it within {}", spec_.name,
                          base::format_duration(command_timeout));
    return future.get();
}

}  // namespace signalbox::lab
