#pragma once
// A simulated world for the follower: virtual time, database members with semi-synchronous replication, a controller
// that promotes, clients, relay shards, a store, and a nemesis. The engine and the domain run in it unchanged. One seed
// makes one run, always the same.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/prng.hpp"
#include "engine/cluster_loop.hpp"

namespace signalbox::sim {

using base::Duration;
using base::MonoTime;
using namespace std::chrono_literals;

struct Options {
    std::uint64_t seed = 1;
    clusters::Rules rules;
    Duration trouble = 12s;   // how long the nemesis is at work
    bool verbose = false;     // prints what happens, for a seed that failed
    Duration heal_max = 10s;  // after it, everything must be well within this
};

struct Outcome {
    std::string violation;  // empty: all held
    std::uint64_t hash = 0;
    std::uint64_t faults = 0;
    std::uint64_t acked = 0, unknown = 0, failed = 0;  // writes through us
    std::uint64_t rolled_back = 0;                     // transactions that nobody acknowledged and that vanished
    std::uint64_t switchovers = 0, switched = 0, hooks = 0, reconfigured = 0, discovered = 0, events = 0;
    std::uint64_t reader_sets = 0;
    std::uint64_t routes = 0, epochs = 0, restarts = 0, promotions = 0, fenced_only = 0, kills = 0;
};

Outcome run(const Options& options);

// One transaction in a member's log. write 0: not through us.
struct Txn {
    int server = 0;
    std::uint64_t sequence = 0;
    std::uint64_t write = 0;
    std::array<std::uint64_t, 4> last{};   // sequence per server, up to and with this one: the state after it
    std::array<std::uint64_t, 4> count{};  // transactions per server, likewise
    friend bool operator==(const Txn& a, const Txn& b) {
        return a.server == b.server && a.sequence == b.sequence && a.write == b.write;
    }
};

// A statement of ours on a server: it goes on when its socket is closed, until it is killed.
struct Statement {
    std::uint64_t connection = 0;
    std::uint64_t epoch = 0;
    std::uint64_t write = 0;
    std::uint64_t incarnation = 0;  // of the server
};

struct Member {
    bool up = true;
    bool paused = false;
    bool read_only = true;
    int source = -1;
    bool io = false;
    bool stray = false;     // came back writable without the controller's will
    bool alone = false;     // the controller lets it acknowledge without a replica
    bool rejected = false;  // its host refuses the daemon's connections although it lives
    std::uint64_t incarnation = 1;
    std::vector<Txn> log;  // received, the first `applied` of it applied
    std::size_t applied = 0;
    std::size_t acked = 0;  // of the log, by some replica
    // PostgreSQL: the timelines of its history, and the length of the log at which each began.
    std::vector<std::pair<std::uint32_t, std::size_t>> branches{{1, 0}};
    std::map<std::size_t, Statement> waiting;  // by position in the log: committed, waiting for a replica
    std::vector<Statement> running;
    MonoTime claimed_at{};  // when it last said the truth that it may be written and replicates from nobody
    MonoTime stray_at{};
    bool claims() const { return up && !read_only && source < 0; }
};

struct Session {
    bool open = false;
    std::uint64_t connection = 0;
    std::uint64_t epoch = 0;
    int member = -1;
    std::uint64_t inflight = 0;
};

struct Client {
    int shard = 0;
    Session session;
};

struct Shard {
    std::uint64_t epoch = 0;
    int member = -1;  // -1: holding
    MonoTime busy_until{};
};

// What the user's hook does in this world, and what is heard of it.
enum class Hook { Works, Refuses, Hangs, WorksInSilence, SaysSoOnly, WorksAndSaysNo };

class World final : ports::EpochStore,
                    ports::Journal,
                    ports::MemberProbes,
                    ports::WriterRoutes,
                    ports::SessionKiller,
                    ports::PromoteHook {
  public:
    explicit World(const Options& options);
    Outcome run();

  private:
    using Callback = std::function<void()>;
    struct Event {
        MonoTime at;
        std::uint64_t order;
        Callback call;
    };
    static bool later(const Event& a, const Event& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }

    // world.cpp: time, members, replication, clients
    void after(Duration delay, Callback call);
    Duration between(Duration low, Duration high);
    bool chance(double probability) { return prng_.chance(probability); }
    int pick(std::size_t bound) { return static_cast<int>(prng_.below(bound)); }
    void trace(std::uint64_t kind, std::uint64_t a, std::uint64_t b);
    void say(const std::string& what) const;
    void violate(const std::string& what);
    bool linked(int from, int to) const { return !cut_[from][to]; }
    bool serves(int member) const { return members_[member].up && !members_[member].paused; }
    std::string name(int member) const { return std::string(1, static_cast<char>('a' + member)); }
    // Those whose name nobody told are called by their address.
    int member_of(const std::string& name) const { return name[0] < 'a' ? name.back() - '1' : name[0] - 'a'; }
    std::string address(int member) const { return fmt::format("10.0.0.{}", member + 1); }
    std::string uuid(std::size_t server) const {
        return fmt::format("{0}0000000-0000-0000-0000-00000000000{0}", server);
    }
    void append(int member, std::uint64_t write, const Statement* statement);
    void pull(int reader);
    void acknowledge(int writer, std::size_t length);
    void execute(int member, Statement statement);
    void answer(const Statement& statement, bool ok, int code);
    void client_turn(std::size_t client);
    void close_session(Client& client);
    void crash_member(int member);
    void restart_member(int member);
    static bool is_prefix(const std::vector<Txn>& part, const std::vector<Txn>& whole);
    bool has_all_acked(int member) const;

    // controller.cpp
    void controller_turn();
    void controller_keep(int writer);
    void controller_fail_over();
    void promote(int member);
    bool controller_sees(int member) const;
    void rejoin(int member);

    // nemesis.cpp
    void nemesis_turn();
    void fault_member();
    void cut_off(int member, bool cut);
    void fault_daemon();
    void fault_wish();
    void heal();
    bool is_well() const;

    // daemon.cpp: the engine and its ports
    // The daemon's clock runs a little fast or slow.
    MonoTime daemon_time() const;
    Duration world_span(Duration daemon) const;
    void start_daemon();
    void kill_daemon();
    void after_call();
    void check_readers();
    void post(engine::ClusterEvent event);
    void deliver(const engine::ClusterEvent& event, std::uint64_t process);
    void schedule_tick();
    bool port_call();
    void send_probe(int member);
    void finish_probe(int member, clusters::Observation observation);
    clusters::Evidence evidence(int member);
    std::string state_text(int member, std::size_t length) const;
    void shard_command(std::size_t shard, Callback command);
    void fence_shard(std::size_t shard, std::uint64_t epoch, std::uint64_t process);
    void check_route(std::uint64_t epoch, int member);
    void check_end();
    void check_doubt(const ports::JournalEntry& entry);

    base::Result<std::optional<ports::EpochRecord>> load(const std::string& cluster) override;
    base::Status store(const std::string& cluster, const ports::EpochRecord& record,
                       const ports::JournalEntry& entry) override;
    base::Status store_position(const std::string& cluster, std::uint64_t epoch, const std::string& position) override;
    base::Result<std::int64_t> append(const ports::JournalEntry& entry, ports::Durability durability) override;
    base::Result<std::vector<ports::JournalEntry>> read(const ports::JournalQuery& query) override;
    void configure(const clusters::ClusterConfig& cluster) override;
    void set_cadence(const std::string& cluster, const std::string& member, Duration interval,
                     Duration deadline) override;
    void wake(const std::string& cluster) override;
    void hold(const std::string& cluster, std::uint64_t epoch) override;
    void fence(const std::string& cluster, std::uint64_t epoch) override;
    void route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
               const base::HostPort& address) override;
    void set_readers(const std::string& cluster, const std::string& endpoint,
                     const std::vector<routing::ReaderTarget>& targets) override;
    std::uint64_t writer_sessions(const std::string& cluster) const override;
    void promote(const std::string& cluster, std::uint64_t epoch, const std::string& from, const std::string& to,
                 const base::HostPort& address, Duration deadline) override;
    void kill(const std::string& cluster, std::uint64_t epoch, const std::string& member,
              const std::vector<clusters::ServerSession>& sessions, Duration deadline) override;

    Options options_;
    base::Prng prng_;
    Outcome outcome_;
    MonoTime now_{};
    std::uint64_t order_ = 0;
    std::vector<Event> queue_;
    bool healing_ = false;

    std::vector<Member> members_;
    std::vector<std::vector<bool>> cut_;  // members, then the daemon, then the controller
    int daemon_node_ = 0, controller_node_ = 0;
    std::vector<Client> clients_;
    std::uint64_t next_write_ = 0, next_connection_ = 0;
    std::set<std::uint64_t> acked_;     // acknowledged to a client of ours
    std::set<std::uint64_t> promised_;  // acknowledged by the server, through us or not (by transaction)
    std::uint64_t acked_after_healing_ = 0;
    // Writes that an answer of a replica of the active writer (or of that writer, acknowledging alone) has shown to
    // the daemon. What was acknowledged and never shown can't be known.
    std::set<std::uint64_t> shown_;
    std::set<std::uint64_t> shown_kept_;                                 // when the store last took a position
    std::map<std::pair<int, std::uint64_t>, std::size_t> shown_length_;  // by member and incarnation
    struct Snapshot {
        std::size_t length = 0;
        std::uint64_t incarnation = 0;
    };
    std::map<std::pair<int, std::uint64_t>, Snapshot> snapshots_;  // by member and probe
    void note_shown(const clusters::Observation& observation);

    int writer_ = 0;               // the controller's
    std::uint32_t timelines_ = 1;  // PostgreSQL: the highest number given
    MonoTime writer_seen_{};
    Duration controller_patience_{};
    int switch_to_ = -1;
    MonoTime switch_until_{};
    MonoTime promote_at_{};
    int promoting_ = -1;

    clusters::ClusterConfig config_;
    std::unique_ptr<engine::ClusterLoop> loop_;
    std::uint64_t process_ = 0;
    bool dead_ = true;
    MonoTime daemon_since_{};
    std::int64_t drift_ppm_ = 0;
    clusters::Engine engine_ = clusters::Engine::MariaDb;
    routing::EndpointConfig reads_;
    std::optional<std::vector<routing::ReaderTarget>> readers_;
    std::vector<bool> claims_seen_;  // what the newest answer that was delivered said, by member
    int calls_until_crash_ = -1;
    MonoTime daemon_paused_until_{};
    MonoTime tick_at_{};
    std::uint64_t tick_order_ = 0;
    struct Probe {
        Duration interval{}, deadline{};
        std::uint64_t sequence = 0;
        std::string called;           // by the loop; empty: by its name
        std::uint64_t delivered = 0;  // the newest that the loop was given
        bool under_way = false;
        std::uint64_t timer = 0;
        std::optional<clusters::Observation> last;
    };
    std::vector<Probe> probes_;
    std::vector<Shard> shards_;
    struct Barrier {
        std::size_t acks = 0;
        ports::BarrierResult result;
    };
    std::map<std::uint64_t, Barrier> barriers_;
    // Per shard: connections that ended with a statement under way, and where it may still run.
    std::vector<std::vector<std::pair<std::uint64_t, int>>> ended_;
    std::optional<ports::EpochRecord> record_;
    bool disk_full_ = false;
    std::map<std::uint64_t, int> intended_, routed_;  // per epoch, for the checkers
    std::uint64_t fenced_ = 0;
    std::uint64_t routed_epoch_ = 0;
    // Epochs whose fence was reported as traffic-fenced only.
    std::set<std::uint64_t> fenced_only_;
};

}  // namespace signalbox::sim
