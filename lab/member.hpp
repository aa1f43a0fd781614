#pragma once
// One real database server of a cluster: its process, its data directory, and the controller's way into it, which is a
// unix socket, so that no fault of the network blinds the controller. What differs between engines is behind virtual
// functions; the controller (cluster.hpp) knows no engine.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "lab/log.hpp"
#include "lab/network.hpp"
#include "lab/position.hpp"
#include "lab/spec.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {

// Accounts of the controller inside every member; the passwords are made anew for each lab.
inline constexpr std::string_view replication_user = "lab_replication";
inline constexpr std::string_view health_user = "lab_health";

struct Secrets {
    std::string replication_password;
    std::string health_password;
};

// Where a reader receives from.
struct Source {
    std::string address;
    std::uint16_t port = 0;
};

// A member's health as its clients see it: over the network. One thread.
class Pulse {
  public:
    virtual ~Pulse() = default;
    // Asks over the connection that is open; false if there is none or no answer came within `timeout`.
    virtual bool ask(base::Duration timeout) = 0;
    virtual bool connect(base::Duration timeout) = 0;
    virtual void close() = 0;
};

// Used by its cluster's thread alone, except for alive(), shown_position(), make_pulse() and, while it is down,
// rejoin().
class Member {
  public:
    enum class Recovery { AsWriter, AsReader };

    // What every engine's member needs. `changed` is called from another thread when the process ends.
    struct Setup {
        HostSpec spec;
        NodeInfo node;
        std::string directory;  // its own; its parent is there
        Secrets secrets;
        Reaper& reaper;
        Log& log;
        std::function<void()> changed;
    };
    explicit Member(Setup setup);
    virtual ~Member() = default;

    // ---- the process

    // SIGKILL to all of it, and waits until it is gone.
    base::Status kill();
    base::Status pause();
    base::Status resume();
    bool alive() const { return state_->alive; }
    bool paused() const { return paused_; }
    std::string exit_text() const;
    const std::string& name() const { return setup_.spec.name; }
    std::string address() const { return ipv4_text(setup_.node.address); }
    const NodeInfo& node() const { return setup_.node; }
    std::string error_log() const { return setup_.directory + "/error.log"; }

    // ---- coming up

    // A fresh data directory; what was in it is lost.
    virtual base::Status make_data() = 0;
    // Starts the server, taking no writes and receiving from nobody (but see rejoin). AsReader: what no reader has
    // acknowledged must not come to life again, as far as the engine can see to it here.
    virtual base::Status start(Recovery recovery) = 0;
    // Whether the server takes the controller's connection now; does not wait.
    virtual bool ready() = 0;
    // The lab's own accounts, and the databases and users of the file. On the first writer.
    virtual base::Status create_accounts(const ClusterSpec& spec) = 0;
    virtual std::unique_ptr<Pulse> make_pulse() const = 0;
    // Whether rejoin() must come before start(AsReader): its data may hold what the writer lacks. While it is down.
    virtual bool must_rejoin() const { return false; }
    // Makes the data of a member that is down fit to follow the writer, which is open; takes as long as it takes. The
    // server then receives from `source` from its start on.
    virtual base::Status rejoin(Member& /*writer*/, const Source& /*source*/) { return {}; }
    // Whatever it holds is no good: its data must come from elsewhere before it starts again. While it is down.
    virtual base::Status start_afresh() = 0;

    // ---- as the writer

    // Takes writes from now on, each acknowledged by a reader unless `alone`.
    virtual base::Status open(bool alone) = 0;
    // When this returns with alone = false, no write that waits for no reader is acknowledged any more.
    virtual base::Status acknowledge_alone(bool alone) = 0;
    // Everything that was acknowledged before this call lies at or before the answer.
    virtual base::Result<Position> written() = 0;
    // Before a planned failover: takes no more writes; what a successor must have reached. May end the server.
    virtual base::Result<Position> quiesce(base::Duration timeout) = 0;

    // ---- as a reader

    // Whether the writer holds everything that this member holds.
    virtual base::Result<bool> may_follow(Member& writer) = 0;
    virtual base::Status follow(const Source& source) = 0;
    // Its connection to the writer is up.
    virtual bool receiving() = 0;
    // It receives nothing any more when this returns; all that it has received, applied or not.
    virtual base::Result<Position> stop_receiving() = 0;
    // Waits until it holds everything up to there, in whatever form a promotion needs it. Errors: Timeout.
    virtual base::Status reach(const Position& position, base::Duration timeout) = 0;
    // Forgets whom it received from, for good; what it holds. open() makes it the writer.
    virtual base::Result<Position> take_over() = 0;
    // By itself, as nobody should: takes writes although another member does.
    virtual base::Status claim() = 0;

    // For the operator's eyes: a connection of its own, empty if it does not answer at once.
    virtual std::string shown_position() const = 0;

  protected:
    // Starts the server's process in the member's namespace, its output into error_log().
    base::Status spawn(std::vector<std::string> argv, const std::string& account);
    // To every process of the server.
    virtual void signal_all(int number);
    // The controller's connection is no good any more.
    virtual void disconnect() = 0;
    pid_t pid() const { return pid_; }
    bool wait_for_end(base::Duration timeout);
    base::Status give_to(const std::string& account, const std::string& directory);
    base::Status copy_template(const std::string& from, const std::string& to, const std::string& account);

    const Setup setup_;

  private:
    struct State {
        std::atomic<bool> alive = false;
        std::mutex mutex;
        std::condition_variable changed;
        Exit exit;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
    pid_t pid_ = -1;
    bool paused_ = false;
};

// A kind of server, for one cluster: what its members start from, and how they are made.
class Engine {
  public:
    virtual ~Engine() = default;
    virtual std::uint16_t port() const = 0;
    // The data directory that every member starts from. Once, before any member.
    virtual base::Status make_template() = 0;
    // number: from 1, unique in the lab.
    virtual std::unique_ptr<Member> make_member(Member::Setup setup, unsigned number) = 0;
};

// directory: the cluster's own, for its template. Errors: what that engine needs of this machine is missing.
base::Result<std::unique_ptr<Engine>> make_engine(const ClusterSpec& spec, const std::string& directory,
                                                  Reaper& reaper);
std::uint16_t default_port(const std::string& engine);
// That user, if there is one on this machine, else "nobody".
std::string account_or_nobody(const std::string& name);

}  // namespace signalbox::lab
