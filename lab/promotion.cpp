// A failover: who may take over, how it comes to hold everything, and what happens to the others.

#include <algorithm>

#include "lab/cluster.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {
constexpr auto demote_timeout = 1500ms;
constexpr auto drain_timeout = 20s;
}  // namespace

bool Cluster::writer_is_well() const {
    const auto& runtime = members_[writer_];
    return runtime.server->alive() && !runtime.server->paused() && reachable(runtime) && opened_;
}

base::Status Cluster::may_fail_over(const std::string& to) const {
    if (!to.empty()) {
        SB_TRY(const std::size_t target, index_of(to));
        const auto& runtime = members_[target];
        if (target == writer_) return fail(ErrorKind::Conflict, "{} is already the writer", to);
        if (!runtime.attached || !runtime.server->alive() || runtime.server->paused() || !reachable(runtime))
            return fail(ErrorKind::Conflict, "{} can't take over: it is not a reader in good health", to);
    }
    const bool has_reader =
        std::any_of(members_.begin(), members_.end(), [](const Runtime& runtime) { return runtime.attached; });
    if (writer_is_well() && (alone_ || !has_reader))
        return fail(ErrorKind::Conflict, "nobody can take over: no reader of '{}' has all that {} has acknowledged",
                    spec_.name, members_[writer_].server->name());
    return {};
}

base::Status Cluster::begin_failover(const std::string& reason, const std::string& to, bool like_aurora) {
    SB_CHECK(may_fail_over(to));
    const auto old_writer = writer_;
    const bool planned = writer_is_well();
    const bool has_reader =
        std::any_of(members_.begin(), members_.end(), [](const Runtime& runtime) { return runtime.attached; });
    std::size_t target = nobody;
    if (!to.empty()) {
        SB_TRY(target, index_of(to));
    }
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

// Makes a healthy writer stop, so that no client's write is cut in two: it takes no more writes, and everything it has
// is with the target (if it is known yet).
base::Status Cluster::demote(std::size_t old_writer, std::size_t target) {
    auto& server = *members_[old_writer].server;
    SB_TRY(const Position position, server.quiesce(demote_timeout));
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const bool wanted = target == nobody ? i != old_writer && members_[i].attached : i == target;
        if (wanted && members_[i].server->reach(position, demote_timeout)) return {};
    }
    return fail(ErrorKind::Timeout, "nobody has reached {} of {} in time", position.text, server.name());
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
        // A receiver that stops may say goodbye to its writer over a new connection, and wait for it. Where packets
        // vanish that would take seconds.
        if (silent && !network_.set_unreachable(server.name(), old_writer.node().address, true))
            log_.line("{}: may stop receiving late", server.name());
        auto position = server.stop_receiving();
        if (silent) (void)network_.set_unreachable(server.name(), old_writer.node().address, false);
        if (!position) {
            log_.line("{}: {}", server.name(), position.error().text());
            return;
        }
        const std::lock_guard lock(mutex);
        received.push_back({i, std::move(*position)});
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
    if (!most->position.covers(floor_))
        return fail(ErrorKind::Conflict, "{} has received {}, less than {}, which may have been acknowledged",
                    members_[most->index].server->name(), most->position.text, floor_.text);
    return best->index;
}

// Brings the target to the most that anybody has received: from what it holds itself, or, if another one has received
// more, from that one over a cable of the controller's own, since the networks may be cut.
base::Status Cluster::catch_up(std::size_t target, const std::vector<Received>& received) {
    const Received* own = nullptr;
    const Received* most = nullptr;
    for (const auto& candidate : received) {
        if (candidate.index == target) own = &candidate;
        if (!most || candidate.position.covers(most->position)) most = &candidate;
    }
    auto& server = *members_[target].server;
    SB_CHECK(server.reach(own->position, drain_timeout));
    if (own->position.covers(most->position)) return {};
    auto& source = *members_[most->index].server;
    log_.line("{} fetches {} from {}", server.name(), most->position.text, source.name());
    SB_CHECK(source.reach(most->position, drain_timeout));
    SB_TRY(const auto cable, network_.connect_out_of_band(source.name(), server.name()));
    auto fetched = [&]() -> base::Status {
        SB_CHECK(server.follow({cable.first, engine_.port()}));
        SB_CHECK(server.reach(most->position, drain_timeout));
        SB_TRY(const auto held, server.stop_receiving());
        return {};
    }();
    network_.disconnect_out_of_band(source.name());
    return fetched;
}

base::Status Cluster::take_over(std::size_t target) {
    SB_TRY(floor_, members_[target].server->take_over());
    acknowledgers_.clear();
    for (auto& runtime : members_) runtime.attached = false;
    writer_ = target;
    return {};
}

base::Status Cluster::open(std::size_t target) {
    auto& server = *members_[target].server;
    alone_ = std::none_of(members_.begin(), members_.end(), [&](const Runtime& other) {
        return &other != &members_[target] && other.phase == Phase::Up && other.server->alive() && !other.claiming &&
               !other.server->paused() && reachable(other);
    });
    if (alone_) log_.line("{}: no reader is left; {} may acknowledge alone", spec_.name, server.name());
    SB_CHECK(server.open(alone_));
    members_[target].health->reset();
    opened_ = true;
    without_readers_since_ = Clock::now();
    return {};
}

void Cluster::repoint_readers() {
    std::vector<std::size_t> readers;
    for (std::size_t i = 0; i < members_.size(); ++i)
        if (i != writer_ && members_[i].phase == Phase::Up && !members_[i].claiming && members_[i].server->alive() &&
            !members_[i].server->paused())
            readers.push_back(i);
    for (const auto i : readers) acknowledgers_.insert(i);
    std::vector<base::Status> outcomes(members_.size());
    on_each(readers, [&](std::size_t i) { outcomes[i] = members_[i].server->follow(writers_source()); });
    for (const auto i : readers) {
        members_[i].attached = outcomes[i].has_value();
        members_[i].received = Clock::now();
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

}  // namespace signalbox::lab
