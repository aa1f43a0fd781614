// What operators and the API ask of a cluster.

#include "lab/cluster.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;
namespace json = base::json;

namespace {

long ms_since(Clock::time_point begin) {
    return static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count());
}

}  // namespace

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
        auto& runtime = members_[index];
        SB_CHECK(network_.set_blackhole(member, false));
        runtime.blackholed = false;
        runtime.health->reset();
        // Who claimed starts again as a reader.
        return runtime.claiming ? runtime.server->kill() : base::Status();
    });
}

base::Status Cluster::claim_member(const std::string& member) {
    return on_loop([this, member]() -> base::Status {
        SB_TRY(const auto index, index_of(member));
        auto& runtime = members_[index];
        if (index == writer_) return fail(ErrorKind::Conflict, "{} is the writer", member);
        if (runtime.phase != Phase::Up || runtime.server->paused())
            return fail(ErrorKind::Conflict, "{} is not up", member);
        SB_CHECK(runtime.server->claim());
        runtime.claiming = true;
        runtime.attached = false;
        forget_acknowledger(index);
        return {};
    });
}

base::Status Cluster::may_begin() const {
    if (writer_ == nobody || !ready_) return fail(ErrorKind::Conflict, "cluster '{}' is not up", spec_.name);
    if (reopening_ != nobody || !steps_.empty() || planned_)
        return fail(ErrorKind::Conflict, "a failover of '{}' is under way", spec_.name);
    return {};
}

base::Status Cluster::begin_planned_failover(const std::string& to) {
    return on_loop([this, to]() -> base::Status {
        SB_CHECK(may_begin());
        SB_CHECK(may_fail_over(to));
        planned_ = to;
        return {};
    });
}

base::Result<json::value> Cluster::failover(const std::string& to, bool like_aurora) {
    const auto begin = Clock::now();
    const auto started = on_loop([this, to, like_aurora]() -> base::Result<std::size_t> {
        SB_CHECK(may_begin());
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
                           {"port", engine_.port()},
                           {"subnet", runtime.server->node().subnet},
                           {"zone", runtime.server->node().zone}});
    json::array endpoints;
    for (const char* role : {"writer", "reader"})
        endpoints.push_back(
            {{"name", spec_.name + (role == std::string_view("writer") ? ".cluster.lab" : ".reader.lab")},
             {"role", role}});
    return {{"id", spec_.name},
            {"engine", spec_.engine},
            {"port", engine_.port()},
            {"members", members},
            {"endpoints", endpoints}};
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
        const std::string position = seen[i].quiet ? std::string() : server.shown_position();
        members.push_back({{"id", server.name()},
                           {"role", seen[i].role},
                           {"state", seen[i].state},
                           {"address", server.address()},
                           {"subnet", server.node().subnet},
                           {"zone", server.node().zone},
                           {"position", position}});
    }
    return {{"id", spec_.name}, {"engine", spec_.engine}, {"members", members}};
}

}  // namespace signalbox::lab
