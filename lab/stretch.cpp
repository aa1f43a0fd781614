// A failover stretched to the times that were published for Aurora MySQL 2.10 (seconds after its start): the old
// replica restarts as the writer until 5.5; the old writer restarts as a reader for 4.5, refuses writes as read-only
// for 4.5 more, until the writer's name moves; the reader's name follows; the end is announced at 32.4. The
// published 14.0 and 13.5 for the two names stand beside "the reader's name moves after the writer's": both hold within
// the half second that a reproduction is allowed when they move at 13.65 and 13.7, which leaves room for an observer
// who is late.

#include "lab/cluster.hpp"

namespace signalbox::lab {

using namespace std::chrono_literals;

namespace {
constexpr auto replica_back = 5500ms;
constexpr auto writer_restarts = 4800ms;
constexpr auto writer_back = 9300ms;
constexpr auto writer_name_moves = 13650ms;
constexpr auto reader_name_moves = 13700ms;
constexpr auto completed = 32400ms;
}  // namespace

void Cluster::stretch(std::size_t old_writer, std::size_t target, bool planned) {
    const auto begin = Clock::now();
    names_held_ = true;
    const auto at = [&](base::Duration after, std::function<void()> act) {
        steps_.push_back({begin + after, std::move(act)});
    };
    const auto give_up = [this](const base::Error& error) {
        log_.line("failover of {}: {}", spec_.name, error.text());
        for (std::size_t i = 0; i < members_.size(); ++i) set_port_closed(i, false);
        steps_.clear();
        names_held_ = false;
        // Whoever holds the term: the old writer until the target took over, and never again after it.
        elect_old_writer_again(writer_);
    };
    // Closes the old writer for good and lets the target hold everything; it stays closed to clients until its time.
    const auto promote = [this, old_writer, target, planned, give_up] {
        if (planned)
            if (const auto status = demote(old_writer, target); !status) log_.line("{}", status.error().text());
        opened_ = false;
        auto& old_runtime = members_[old_writer];
        const auto promoted = [&]() -> base::Status {
            SB_CHECK(old_runtime.server->kill());
            set_port_closed(old_writer, true);
            old_runtime.phase = Phase::Down;
            old_runtime.attached = false;
            if (alone_)
                return base::fail(base::ErrorKind::Conflict, "{} acknowledged alone", old_runtime.server->name());
            const auto received = stop_receiving();
            SB_TRY(const auto chosen, choose(received, members_[target].server->name()));
            SB_CHECK(catch_up(chosen, received));
            return take_over(chosen);
        }();
        if (!promoted) give_up(promoted.error());
    };
    const auto restart_target = [this, target] {
        auto& runtime = members_[target];
        set_port_closed(target, true);
        (void)runtime.server->kill();
        if (const auto status = runtime.server->start(Member::Recovery::AsReader); !status)
            log_.line("{}", status.error().text());
        runtime.phase = Phase::Starting;
        runtime.attached = false;
        if (target != writer_) forget_acknowledger(target);
    };
    if (planned) {
        restart_target();
        at(writer_restarts, promote);
    } else {
        // The writer is gone: the target first takes all that was received, then it may restart.
        promote();
        if (reopening_ != nobody) return;
        restart_target();
    }
    at(replica_back, [this, target, give_up] {
        auto& runtime = members_[target];
        for (const auto deadline = Clock::now() + 10s; !runtime.server->ready() && Clock::now() < deadline;)
            std::this_thread::sleep_for(5ms);
        runtime.phase = Phase::Up;
        const auto status = open(target);
        set_port_closed(target, false);
        if (!status) return give_up(status.error());
        repoint_readers();
        log_.line("{} is the writer", runtime.server->name());
    });
    at(writer_back, [this, old_writer] { set_port_closed(old_writer, false); });
    at(writer_name_moves, [this] { move_names(); });
    at(reader_name_moves, [this, old_writer] {
        reader_name_ = old_writer;
        names_.set_alias(spec_.name + ".reader.lab", members_[old_writer].server->name() + ".lab");
        log_.line("{}.reader.lab is {}", spec_.name, members_[old_writer].server->name());
    });
    at(completed, [this] {
        names_held_ = false;
        complete(fmt::format("{} is the writer", members_[writer_].server->name()));
    });
}

}  // namespace signalbox::lab
