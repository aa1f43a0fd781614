#include "lab/cluster.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/random.h>

#include "base/text.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;
namespace json = base::json;

namespace {

constexpr auto busy_pause = 5ms;
constexpr auto calm_pause = 25ms;
constexpr auto demote_timeout = 1500ms;
constexpr auto drain_timeout = 20s;
constexpr int starts_before_clone = 2;

std::string random_secret() {
    unsigned char bytes[16];
    if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) std::abort();
    return base::to_hex({reinterpret_cast<const char*>(bytes), sizeof bytes});
}

long ms_since(Clock::time_point begin) {
    return static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count());
}

}  // namespace

Cluster::Cluster(const ClusterSpec& spec, const ServerFiles& files, unsigned first_server_id, Network& network,
                 Reaper& reaper, Names& names, Events& events, Log& log)
    : spec_(spec),
      network_(network),
      names_(names),
      events_(events),
      log_(log),
      replication_password_(random_secret()),
      health_password_(random_secret()) {
    for (std::size_t i = 0; i < spec.members.size(); ++i) {
        const auto& member = spec.members[i];
        const auto node = network.node(member.name);
        Runtime runtime;
        runtime.server = std::make_unique<Member>(member, first_server_id + static_cast<unsigned>(i), files, *node,
                                                  reaper, log, [this] { wake(); });
        members_.push_back(std::move(runtime));
        names_.set_address(member.name + ".lab", node->address);
    }
    seen_.resize(members_.size());
    names_.set_alias(spec.name + ".cluster.lab", spec.members.front().name + ".lab");
    names_.set_alias(spec.name + ".reader.lab", spec.members.back().name + ".lab");
}

Cluster::~Cluster() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

// ---- the loop

void Cluster::wake() {
    {
        const std::lock_guard lock(mutex_);
        poked_ = true;
    }
    changed_.notify_all();
}

bool Cluster::run_commands() {
    std::deque<std::packaged_task<void()>> commands;
    {
        const std::lock_guard lock(mutex_);
        commands.swap(commands_);
    }
    for (auto& command : commands) command();
    return !commands.empty();
}

bool Cluster::run_due_steps() {
    bool any = false;
    // In order: a step that is late makes the next ones wait, never overtake it.
    while (!steps_.empty() && Clock::now() >= steps_.front().due) {
        const auto act = std::move(steps_.front().act);
        steps_.erase(steps_.begin());
        act();
        any = true;
    }
    return any;
}

void Cluster::loop() {
    for (;;) {
        run_commands();
        watch_writer();
        run_due_steps();
        bool busy = false;
        for (std::size_t i = 0; i < members_.size(); ++i) {
            reconcile(i);
            busy |= members_[i].phase == Phase::Starting;
        }
        keep_acknowledgement();
        keep_reader_name();
        publish();
        std::unique_lock lock(mutex_);
        auto until = Clock::now() + (busy ? busy_pause : calm_pause);
        if (!steps_.empty()) until = std::min(until, steps_.front().due);
        changed_.wait_until(lock, until, [this] { return stopping_ || poked_ || !commands_.empty(); });
        poked_ = false;
        if (stopping_) return;
    }
}

void Cluster::watch_writer() {
    if (!ready_ || writer_ == nobody || reopening_ != nobody) return;
    auto& runtime = members_[writer_];
    if (!spec_.automatic) {
        if (!runtime.server->alive()) opened_ = false;
        return;
    }
    if (!runtime.server->alive()) {
        // While a stretched failover has the writer restarted on purpose, its absence is no news.
        if (runtime.port_closed && runtime.phase != Phase::Up) return;
        (void)begin_failover(fmt::format("{} died ({})", runtime.server->name(), runtime.server->exit_text()), "",
                             spec_.like_aurora);
        return;
    }
    if (!opened_ || runtime.port_closed || runtime.health->healthy()) return;
    const bool has_heir = std::any_of(members_.begin(), members_.end(), [&](const Runtime& other) {
        return &other != &runtime && other.attached && reachable(other) && other.server->alive() &&
               !other.server->paused();
    });
    // With nobody to take over, a writer that can't be reached is still the best that there is.
    if (has_heir && !alone_)
        (void)begin_failover(fmt::format("{} does not answer", runtime.server->name()), "", spec_.like_aurora);
}

void Cluster::reconcile(std::size_t index) {
    auto& runtime = members_[index];
    auto& server = *runtime.server;
    if (runtime.phase != Phase::Down && !server.alive()) {
        log_.line("{}: ended: {}", server.name(), server.exit_text());
        if (runtime.phase == Phase::Starting) ++runtime.failed_starts;
        runtime.phase = Phase::Down;
        runtime.attached = false;
        runtime.start_after = Clock::now() + runtime.failed_starts * 200ms;
        if (index == writer_)
            opened_ = false;
        else
            forget_acknowledger(index);
        if (runtime.failed_starts >= starts_before_clone && index != writer_) {
            runtime.failed_starts = 0;
            if (const auto status = clone_anew(index); !status)
                log_.line("{}: {}", server.name(), status.error().text());
        }
    }
    const bool may_start = index != writer_ || reopening_ == index;
    if (runtime.phase == Phase::Down && !runtime.stay_down && may_start && Clock::now() >= runtime.start_after) {
        const auto status = server.start(reopening_ == index ? Member::Recovery::AsWriter : Member::Recovery::AsReader);
        if (status)
            runtime.phase = Phase::Starting;
        else
            runtime.start_after = Clock::now() + 1s;
    }
    if (runtime.phase == Phase::Starting && server.ready()) finish_start(index);
    const bool writer_is_up = writer_ != nobody && members_[writer_].phase == Phase::Up && opened_;
    if (runtime.phase == Phase::Up && index != writer_ && !runtime.attached && writer_is_up && !server.paused() &&
        Clock::now() >= runtime.start_after) {
        if (const auto status = attach(index); !status) {
            log_.line("{}: can't join: {}", server.name(), status.error().text());
            runtime.start_after = Clock::now() + 500ms;
        }
    }
}

void Cluster::finish_start(std::size_t index) {
    auto& runtime = members_[index];
    runtime.phase = Phase::Up;
    runtime.failed_starts = 0;
    runtime.health->reset();
    log_.line("{}: up", runtime.server->name());
    if (index == reopening_) reopen_writer();
}

// The old writer is up again and holds all that was ever acknowledged: it goes on as the writer.
void Cluster::reopen_writer() {
    auto& server = *members_[writer_].server;
    const auto position = server.value("@@GLOBAL.gtid_binlog_pos");
    if (!position) {
        // Ended, so that it is started and asked again.
        log_.line("{}", position.error().text());
        (void)server.kill();
        return;
    }
    floor_ = *position;
    acknowledgers_.clear();
    reopening_ = nobody;
    if (const auto status = open(writer_); !status) {
        log_.line("{}", status.error().text());
        reopening_ = writer_;
        (void)server.kill();
        return;
    }
    if (!names_held_) move_names();
    complete(fmt::format("{} is the writer again", server.name()));
}

void Cluster::keep_acknowledgement() {
    if (!opened_ || writer_ == nobody || !members_[writer_].server->alive()) return;
    auto& writer = members_[writer_];
    std::vector<std::size_t> usable;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const auto& runtime = members_[i];
        if (i != writer_ && runtime.attached && runtime.server->alive() && !runtime.server->paused() &&
            reachable(runtime))
            usable.push_back(i);
    }
    if (!usable.empty()) without_readers_since_ = Clock::now();
    if (!alone_ && usable.empty() && Clock::now() - without_readers_since_ > spec_.detect && writer.health->healthy() &&
        !writer.server->paused()) {
        // The fact first: from the moment that the writer may acknowledge by itself, nobody else may be promoted.
        alone_ = true;
        log_.line("{}: no reader is left; {} may acknowledge alone", spec_.name, writer.server->name());
        if (const auto status = writer.server->execute("SET GLOBAL rpl_semi_sync_master_enabled=0"); !status)
            log_.line("{}", status.error().text());
    }
    if (!alone_) return;
    for (const auto i : usable) {
        const auto replication = members_[i].server->query("SHOW SLAVE STATUS");
        if (!replication || replication->cell("Slave_IO_Running") != "Yes") continue;
        if (!writer.server->execute("SET GLOBAL rpl_semi_sync_master_enabled=1")) return;
        const auto position = writer.server->value("@@GLOBAL.gtid_binlog_pos");
        if (!position) return;
        // What was acknowledged alone lies at or before this position: whoever is promoted must have reached it.
        floor_ = *position;
        alone_ = false;
        log_.line("{}: {} acknowledges again; floor {}", spec_.name, members_[i].server->name(), floor_);
        return;
    }
}

void Cluster::keep_reader_name() {
    if (!ready_ || names_held_ || writer_ == nobody) return;
    const auto good = [&](std::size_t i) {
        return i != nobody && i != writer_ && members_[i].attached && members_[i].server->alive() &&
               reachable(members_[i]) && members_[i].health->healthy();
    };
    if (good(reader_name_)) return;
    for (std::size_t i = members_.size(); i-- > 0;) {
        if (!good(i)) continue;
        reader_name_ = i;
        names_.set_alias(spec_.name + ".reader.lab", members_[i].server->name() + ".lab");
        log_.line("{}.reader.lab is {}", spec_.name, members_[i].server->name());
        return;
    }
}

void Cluster::publish() {
    std::vector<Seen> seen;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const auto& runtime = members_[i];
        Seen entry;
        entry.role = i == writer_ ? "writer" : runtime.attached ? "reader" : "none";
        entry.state = runtime.phase == Phase::Down       ? (runtime.stay_down ? "stopped" : "down")
                      : runtime.phase == Phase::Starting ? "starting"
                      : runtime.server->paused()         ? "paused"
                      : runtime.blackholed               ? "blackholed"
                      : !reachable(runtime)              ? "isolated"
                      : runtime.port_closed              ? "restarting"
                      : i == writer_                     ? (opened_ ? "available" : "opening")
                      : runtime.attached                 ? "available"
                                                         : "joining";
        seen.push_back(std::move(entry));
    }
    const std::lock_guard lock(mutex_);
    seen_ = std::move(seen);
}

// ---- members

base::Result<std::size_t> Cluster::index_of(const std::string& member) const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < spec_.members.size(); ++i) {
        if (spec_.members[i].name == member) return i;
        names.push_back(spec_.members[i].name);
    }
    return fail(ErrorKind::NotFound, "there is no member '{}'; there are {}", member, base::join(names, ", "));
}

bool Cluster::has_member(const std::string& name) const { return find_named(spec_.members, name) != nullptr; }

bool Cluster::reachable(const Runtime& runtime) const {
    return !runtime.blackholed && network_.zone_is_up(runtime.server->node().zone);
}

void Cluster::on_each(const std::vector<std::size_t>& indices, const std::function<void(std::size_t)>& act) {
    std::vector<std::thread> threads;
    for (const auto index : indices) threads.emplace_back([&act, index] { act(index); });
    for (auto& thread : threads) thread.join();
}

std::string Cluster::attach_statements() const {
    return fmt::format(
        "CHANGE MASTER TO MASTER_HOST='{}', MASTER_PORT={}, MASTER_USER='{}', MASTER_PASSWORD='{}', "
        "MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.5; "
        "SET GLOBAL rpl_semi_sync_slave_enabled=1; START SLAVE",
        members_[writer_].server->address(), mariadb_port, replication_user, replication_password_);
}

// Does the writer hold everything that this member holds? Compared per domain and server: two histories that parted can
// have equal positions.
base::Result<bool> Cluster::holds_only_known_transactions(std::size_t index) {
    SB_TRY(const std::string own_text, members_[index].server->value("@@GLOBAL.gtid_binlog_state"));
    SB_TRY(const std::string live_text, members_[writer_].server->value("@@GLOBAL.gtid_binlog_state"));
    SB_TRY(const GtidState own, GtidState::parse(own_text));
    SB_TRY(const GtidState live, GtidState::parse(live_text));
    if (live.contains(own)) return true;
    log_.line("{} holds {}, but the writer {} holds {}", members_[index].server->name(), own_text,
              members_[writer_].server->name(), live_text);
    return false;
}

base::Status Cluster::attach(std::size_t index) {
    auto& runtime = members_[index];
    auto& server = *runtime.server;
    SB_CHECK(server.execute("STOP SLAVE; SET GLOBAL read_only=1; SET GLOBAL rpl_semi_sync_master_enabled=0"));
    SB_TRY(const bool known, holds_only_known_transactions(index));
    if (!known) return clone_anew(index);
    SB_TRY(const std::string position, server.value("@@GLOBAL.gtid_binlog_pos"));
    // A former writer has applied nothing as a reader: its own log is the truth.
    if (!position.empty()) SB_CHECK(server.execute("SET GLOBAL gtid_slave_pos=@@GLOBAL.gtid_binlog_pos"));
    acknowledgers_.insert(index);
    SB_CHECK(server.execute(attach_statements()));
    runtime.attached = true;
    log_.line("{}: replicates from {} after {}", server.name(), members_[writer_].server->name(), position);
    return {};
}

// From the empty directory and the whole binary log of the writer, which a lab never purges. The others stay as they
// are.
base::Status Cluster::clone_anew(std::size_t index) {
    auto& runtime = members_[index];
    log_.line("{}: is cloned anew", runtime.server->name());
    SB_CHECK(runtime.server->kill());
    forget_acknowledger(index);
    runtime.attached = false;
    runtime.phase = Phase::Down;
    runtime.start_after = Clock::now();
    return runtime.server->make_data();
}

// A reader that is gone can acknowledge no more. What it alone may have received lies at or before the writer's
// position of now: that becomes the floor. If the writer can't say, the reader stays on the list, and no promotion is
// safe.
void Cluster::forget_acknowledger(std::size_t index) {
    if (!acknowledgers_.contains(index) || writer_ == nobody || !opened_) return;
    auto& writer = members_[writer_];
    if (!writer.server->alive() || writer.server->paused()) return;
    const auto position = writer.server->value("@@GLOBAL.gtid_binlog_pos");
    if (!position) return;
    floor_ = *position;
    acknowledgers_.erase(index);
}

void Cluster::set_port_closed(std::size_t index, bool closed) {
    auto& runtime = members_[index];
    if (runtime.port_closed == closed) return;
    runtime.port_closed = closed;
    runtime.health->reset();
    if (const auto status = network_.set_port_closed(runtime.server->name(), mariadb_port, closed); !status)
        log_.line("{}", status.error().text());
    log_.line("{}: {}", runtime.server->name(), closed ? "closed to clients" : "open to clients");
}

// ---- failover

base::Status Cluster::begin_failover(const std::string& reason, const std::string& to, bool like_aurora) {
    const auto old_writer = writer_;
    auto& old_server = *members_[old_writer].server;
    const bool planned = old_server.alive() && !old_server.paused() && reachable(members_[old_writer]) && opened_;
    std::size_t target = nobody;
    if (!to.empty()) {
        SB_TRY(target, index_of(to));
        if (target == old_writer) return fail(ErrorKind::Conflict, "{} is already the writer", to);
        if (!members_[target].attached || !members_[target].server->alive() || members_[target].server->paused() ||
            !reachable(members_[target]))
            return fail(ErrorKind::Conflict, "{} can't take over: it is not a reader in good health", to);
    }
    const bool has_reader =
        std::any_of(members_.begin(), members_.end(), [](const Runtime& runtime) { return runtime.attached; });
    if (planned && (alone_ || !has_reader))
        return fail(ErrorKind::Conflict, "nobody can take over: no reader of '{}' has all that {} has acknowledged",
                    spec_.name, old_server.name());
    for (std::size_t i = 0; i < members_.size(); ++i) set_port_closed(i, false);
    steps_.clear();
    names_held_ = false;
    log_.line("failover of {}: {}", spec_.name, reason);
    events_.add(spec_.name, "failover-started", reason);
    opened_ = opened_ && planned;
    if (like_aurora && !alone_ && has_reader) {
        if (target == nobody)
            for (std::size_t i = 0; i < members_.size(); ++i)
                if (i != old_writer && members_[i].attached && reachable(members_[i]) && target == nobody) target = i;
        stretch(old_writer, target, planned);
        return {};
    }
    const auto status = promote_now(old_writer, to, planned);
    if (!status) {
        log_.line("failover of {}: {}", spec_.name, status.error().text());
        // Whoever holds the term: the old writer until the target took over, and never again after it.
        elect_old_writer_again(writer_);
    }
    return {};
}

base::Status Cluster::promote_now(std::size_t old_writer, const std::string& to, bool planned) {
    const auto begin = Clock::now();
    auto& old_runtime = members_[old_writer];
    if (planned) {
        std::size_t target = nobody;
        if (!to.empty()) {
            SB_TRY(target, index_of(to));
        }
        // A writer that can't be fenced is killed all the same: then it is as after a crash.
        if (const auto status = demote(old_writer, target); !status) log_.line("{}", status.error().text());
    }
    opened_ = false;
    SB_CHECK(old_runtime.server->kill());
    old_runtime.phase = Phase::Down;
    old_runtime.attached = false;
    if (alone_) return fail(ErrorKind::Conflict, "{} acknowledged alone", old_runtime.server->name());
    const auto dead = Clock::now();
    const auto received = stop_receiving();
    const auto stopped = Clock::now();
    SB_TRY(const std::size_t target, choose(received, to));
    SB_CHECK(catch_up(target, received));
    const auto drained = Clock::now();
    SB_CHECK(take_over(target));
    SB_CHECK(open(target));
    const auto opened = Clock::now();
    repoint_readers();
    move_names();
    const auto ms = [](auto from, auto until) {
        return std::chrono::duration<double, std::milli>(until - from).count();
    };
    log_.line(
        "{} is the writer: old one gone after {:.1f} ms, receiving stopped {:.1f}, drained {:.1f}, opened {:.1f}, "
        "readers follow {:.1f}",
        members_[target].server->name(), ms(begin, dead), ms(dead, stopped), ms(stopped, drained), ms(drained, opened),
        ms(opened, Clock::now()));
    complete(fmt::format("{} is the writer", members_[target].server->name()));
    return {};
}

// Makes a healthy writer stop, so that no client's write is cut in two: read-only, and everything it has is with the
// target (if it is known yet).
base::Status Cluster::demote(std::size_t old_writer, std::size_t target) {
    auto& server = *members_[old_writer].server;
    SB_CHECK(server.execute("SET SESSION lock_wait_timeout=1; SET GLOBAL read_only=1", demote_timeout));
    SB_TRY(const std::string position, server.value("@@GLOBAL.gtid_binlog_pos"));
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const bool wanted = target == nobody ? i != old_writer && members_[i].attached : i == target;
        if (!wanted) continue;
        SB_TRY(const auto waited,
               members_[i].server->query(fmt::format("SELECT MASTER_GTID_WAIT('{}', 2) AS v", position), 4s));
        if (waited.cell("v") == "0") return {};
    }
    return fail(ErrorKind::Timeout, "nobody has reached {} of {} in time", position, server.name());
}

std::vector<Cluster::Received> Cluster::stop_receiving() {
    std::vector<std::size_t> readers;
    for (std::size_t i = 0; i < members_.size(); ++i)
        if (i != writer_ && members_[i].attached && members_[i].server->alive() && !members_[i].server->paused())
            readers.push_back(i);
    const auto& old_writer = *members_[writer_].server;
    const bool silent = !reachable(members_[writer_]);
    std::vector<Received> received;
    std::mutex mutex;
    on_each(readers, [&](std::size_t i) {
        auto& server = *members_[i].server;
        // A receiver that stops says goodbye to its writer over a new connection, and waits for it. Where packets
        // vanish that would take seconds.
        if (silent && !network_.set_unreachable(server.name(), old_writer.node().address, true))
            log_.line("{}: may stop receiving late", server.name());
        const auto stopped = server.execute("STOP SLAVE IO_THREAD");
        if (silent) (void)network_.set_unreachable(server.name(), old_writer.node().address, false);
        const auto status = server.query("SHOW SLAVE STATUS");
        if (!stopped || !status) {
            log_.line("{}: {}", server.name(), (stopped ? status.error() : stopped.error()).text());
            return;
        }
        const auto text = status->cell("Gtid_IO_Pos").value_or("");
        auto position = GtidPosition::parse(text);
        if (status->cell("Slave_IO_Running") != "No" || !position) return;
        const std::lock_guard lock(mutex);
        received.push_back({i, std::move(*position), text});
    });
    return received;
}

base::Result<std::size_t> Cluster::choose(const std::vector<Received>& received, const std::string& to) const {
    for (const auto acknowledger : acknowledgers_) {
        const bool read =
            std::any_of(received.begin(), received.end(), [&](const auto& r) { return r.index == acknowledger; });
        if (!read && acknowledger != writer_)
            return fail(ErrorKind::Conflict, "{} may have acknowledged writes, and can't be asked",
                        members_[acknowledger].server->name());
    }
    SB_TRY(const GtidPosition floor, GtidPosition::parse(floor_));
    const Received* most = nullptr;
    const Received* best = nullptr;
    for (const auto& candidate : received) {
        if (!most || candidate.position.covers(most->position)) most = &candidate;
        const bool eligible =
            reachable(members_[candidate.index]) && (to.empty() || spec_.members[candidate.index].name == to);
        if (eligible &&
            (!best || (candidate.position.covers(best->position) && !best->position.covers(candidate.position))))
            best = &candidate;
    }
    if (!most || !best) return fail(ErrorKind::Unavailable, "no reader can take over");
    if (!most->position.covers(floor))
        return fail(ErrorKind::Conflict, "{} has received {}, less than {}, which may have been acknowledged",
                    members_[most->index].server->name(), most->text, floor_);
    return best->index;
}

// Brings the target to the most that anybody has received: from its own relay log, or, if another one has received
// more, from that one over a cable of the controller's own, since the networks may be cut.
base::Status Cluster::catch_up(std::size_t target, const std::vector<Received>& received) {
    const auto wait = [&](std::size_t i, const std::string& position) -> base::Status {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(drain_timeout).count();
        SB_TRY(const auto done,
               members_[i].server->query(fmt::format("SELECT MASTER_GTID_WAIT('{}', {}) AS v", position, seconds),
                                         drain_timeout + 2s));
        if (done.cell("v") != "0")
            return fail(ErrorKind::Timeout, "{} has not applied {} within {} s", members_[i].server->name(), position,
                        seconds);
        return {};
    };
    const Received* own = nullptr;
    const Received* most = nullptr;
    for (const auto& candidate : received) {
        if (candidate.index == target) own = &candidate;
        if (!most || candidate.position.covers(most->position)) most = &candidate;
    }
    SB_CHECK(wait(target, own->text));
    if (own->position.covers(most->position)) return {};
    auto& source = *members_[most->index].server;
    auto& server = *members_[target].server;
    log_.line("{} fetches {} from {}", server.name(), most->text, source.name());
    SB_CHECK(wait(most->index, most->text));
    SB_TRY(const auto cable, network_.connect_out_of_band(source.name(), server.name()));
    auto fetched = [&]() -> base::Status {
        SB_CHECK(server.execute(
            fmt::format("STOP SLAVE; CHANGE MASTER TO MASTER_HOST='{}', MASTER_PORT={}, MASTER_USER='{}', "
                        "MASTER_PASSWORD='{}', MASTER_USE_GTID=slave_pos; START SLAVE",
                        cable.first, mariadb_port, replication_user, replication_password_)));
        SB_CHECK(wait(target, most->text));
        return server.execute("STOP SLAVE");
    }();
    network_.disconnect_out_of_band(source.name());
    return fetched;
}

base::Status Cluster::take_over(std::size_t target) {
    auto& server = *members_[target].server;
    SB_CHECK(server.execute("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_slave_enabled=0"));
    SB_TRY(floor_, server.value("@@GLOBAL.gtid_binlog_pos"));
    acknowledgers_.clear();
    for (auto& runtime : members_) runtime.attached = false;
    writer_ = target;
    return {};
}

base::Status Cluster::open(std::size_t target) {
    auto& server = *members_[target].server;
    alone_ = std::none_of(members_.begin(), members_.end(), [&](const Runtime& other) {
        return &other != &members_[target] && other.phase == Phase::Up && other.server->alive() &&
               !other.server->paused() && reachable(other);
    });
    if (alone_) log_.line("{}: no reader is left; {} may acknowledge alone", spec_.name, server.name());
    SB_CHECK(server.execute(fmt::format(
        "SET GLOBAL rpl_semi_sync_slave_enabled=0; SET GLOBAL rpl_semi_sync_master_enabled={}; SET GLOBAL read_only=0",
        alone_ ? 0 : 1)));
    members_[target].health->reset();
    opened_ = true;
    without_readers_since_ = Clock::now();
    return {};
}

void Cluster::repoint_readers() {
    std::vector<std::size_t> readers;
    for (std::size_t i = 0; i < members_.size(); ++i)
        if (i != writer_ && members_[i].phase == Phase::Up && members_[i].server->alive() &&
            !members_[i].server->paused())
            readers.push_back(i);
    for (const auto i : readers) acknowledgers_.insert(i);
    std::vector<base::Status> outcomes(members_.size());
    on_each(readers,
            [&](std::size_t i) { outcomes[i] = members_[i].server->execute("STOP SLAVE; " + attach_statements()); });
    for (const auto i : readers) {
        members_[i].attached = outcomes[i].has_value();
        if (!outcomes[i]) log_.line("{}: {}", members_[i].server->name(), outcomes[i].error().text());
    }
}

void Cluster::elect_old_writer_again(std::size_t old_writer) {
    auto& runtime = members_[old_writer];
    log_.line("{} stays the writer of {}", runtime.server->name(), spec_.name);
    opened_ = false;
    writer_ = reopening_ = old_writer;
    for (auto& other : members_) other.attached = false;
    if (const auto status = runtime.server->kill(); !status) log_.line("{}", status.error().text());
    runtime.phase = Phase::Down;
    runtime.start_after = Clock::now();
}

void Cluster::move_names() {
    const auto& writer = members_[writer_].server->name();
    names_.set_alias(spec_.name + ".cluster.lab", writer + ".lab");
    log_.line("{}.cluster.lab is {}", spec_.name, writer);
}

void Cluster::complete(const std::string& message) {
    // A stretched failover announces its end at its own time.
    if (!names_held_) events_.add(spec_.name, "failover-completed", message);
}

// ---- commands

base::Status Cluster::kill_member(const std::string& member, bool stay_down) {
    return on_loop([this, member, stay_down]() -> base::Status {
        SB_TRY(const auto index, index_of(member));
        auto& runtime = members_[index];
        runtime.stay_down = stay_down;
        if (!runtime.server->alive()) return fail(ErrorKind::Conflict, "{} does not run", member);
        log_.line("{}: killed by the operator", member);
        return runtime.server->kill();
    });
}

base::Status Cluster::start_member(const std::string& member) {
    return on_loop([this, member]() -> base::Status {
        SB_TRY(const auto index, index_of(member));
        members_[index].stay_down = false;
        // A writer that nobody replaced is started as what it is.
        if (index == writer_ && !members_[index].server->alive()) reopening_ = index;
        return {};
    });
}

base::Status Cluster::pause_member(const std::string& member) {
    return on_loop([this, member]() -> base::Status {
        SB_TRY(const auto index, index_of(member));
        SB_CHECK(members_[index].server->pause());
        if (index != writer_) forget_acknowledger(index);
        return {};
    });
}

base::Status Cluster::resume_member(const std::string& member) {
    return on_loop([this, member]() -> base::Status {
        SB_TRY(const auto index, index_of(member));
        // Before it wakes: its receiver may acknowledge at once.
        if (index != writer_) acknowledgers_.insert(index);
        members_[index].health->reset();
        return members_[index].server->resume();
    });
}

base::Status Cluster::blackhole_member(const std::string& member) {
    return on_loop([this, member]() -> base::Status {
        SB_TRY(const auto index, index_of(member));
        SB_CHECK(network_.set_blackhole(member, true));
        members_[index].blackholed = true;
        return {};
    });
}

base::Status Cluster::heal_member(const std::string& member) {
    return on_loop([this, member]() -> base::Status {
        SB_TRY(const auto index, index_of(member));
        SB_CHECK(network_.set_blackhole(member, false));
        members_[index].blackholed = false;
        members_[index].health->reset();
        return {};
    });
}

base::Result<json::value> Cluster::failover(const std::string& to, bool like_aurora) {
    const auto begin = Clock::now();
    const auto started = on_loop([this, to, like_aurora]() -> base::Result<std::size_t> {
        if (writer_ == nobody || !ready_) return fail(ErrorKind::Conflict, "cluster '{}' is not up", spec_.name);
        if (reopening_ != nobody || !steps_.empty())
            return fail(ErrorKind::Conflict, "a failover of '{}' is under way", spec_.name);
        const auto old_writer = writer_;
        SB_CHECK(begin_failover("the operator asked for it", to, like_aurora || spec_.like_aurora));
        return old_writer;
    });
    if (!started) return tl::unexpected<base::Error>(started.error());
    while (Clock::now() - begin < command_timeout) {
        const auto writer = on_loop([this, old_writer = *started]() -> base::Result<std::string> {
            // A stretched failover leaves the old writer open for a while; it is done when another one is, or none will
            // be.
            const bool decided = writer_ != old_writer || steps_.empty();
            const bool open = opened_ && !members_[writer_].port_closed;
            return decided && open ? members_[writer_].server->name() : std::string();
        });
        if (!writer) return tl::unexpected<base::Error>(writer.error());
        if (!writer->empty()) return json::value{{"writer", *writer}, {"duration_ms", ms_since(begin)}};
        std::this_thread::sleep_for(20ms);
    }
    return fail(ErrorKind::UnknownOutcome, "no writer of '{}' was open within {}", spec_.name,
                base::format_duration(command_timeout));
}

json::value Cluster::describe() const {
    json::array members;
    for (const auto& runtime : members_)
        members.push_back({{"id", runtime.server->name()},
                           {"address", runtime.server->address()},
                           {"port", mariadb_port},
                           {"subnet", runtime.server->node().subnet},
                           {"zone", runtime.server->node().zone}});
    json::array endpoints;
    for (const char* role : {"writer", "reader"})
        endpoints.push_back(
            {{"name", spec_.name + (role == std::string_view("writer") ? ".cluster.lab" : ".reader.lab")},
             {"role", role}});
    return {{"id", spec_.name}, {"engine", "mariadb"}, {"members", members}, {"endpoints", endpoints}};
}

json::value Cluster::status() const {
    std::vector<Seen> seen;
    {
        const std::lock_guard lock(mutex_);
        seen = seen_;
    }
    json::array members;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const auto& server = *members_[i].server;
        std::string gtid;
        // A connection of its own: the controller's belongs to the controller's thread.
        mysql::Client client;
        const mysql::ConnectParams params{.host = {},
                                          .port = 0,
                                          .unix_socket = server.socket(),
                                          .user = "root",
                                          .password = {},
                                          .database = {},
                                          .tls_ca_file = {}};
        if (seen[i].state != "paused" && server.alive() && client.connect(params, 200ms))
            if (const auto row = client.query("SELECT @@GLOBAL.gtid_binlog_pos AS v", 200ms))
                gtid = row->cell("v").value_or("");
        members.push_back({{"id", server.name()},
                           {"role", seen[i].role},
                           {"state", seen[i].state},
                           {"address", server.address()},
                           {"subnet", server.node().subnet},
                           {"zone", server.node().zone},
                           {"gtid", gtid}});
    }
    return {{"id", spec_.name}, {"members", members}};
}

}  // namespace signalbox::lab
