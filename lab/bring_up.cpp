// How a cluster comes up: all servers at once, then the first one as the writer, then the others behind it.

#include <algorithm>
#include <filesystem>

#include "lab/cluster.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {
constexpr std::size_t log_tail_lines = 25;
}

base::Status Cluster::create_accounts(Member& writer) {
    std::string sql;
    for (const auto& database : spec_.databases) sql += fmt::format("CREATE DATABASE `{}`; ", database);
    sql += fmt::format("CREATE USER '{0}'@'%' IDENTIFIED BY '{1}'; GRANT REPLICATION SLAVE ON *.* TO '{0}'@'%'; ",
                       replication_user, replication_password_);
    sql += fmt::format("CREATE USER '{}'@'%' IDENTIFIED BY '{}'; ", health_user, health_password_);
    SB_CHECK(writer.execute(sql, 20s));
    for (const auto& user : spec_.users) {
        SB_CHECK(writer.execute(fmt::format("CREATE USER '{}'@'%' IDENTIFIED BY '{}'", user.name, user.password)));
        for (const auto& grant : user.grants)
            if (const auto status = writer.execute(fmt::format("GRANT {} TO '{}'@'%'", grant, user.name)); !status)
                return base::in_context(
                    status.error(), fmt::format("cluster '{}', user '{}', grant '{}'", spec_.name, user.name, grant));
    }
    return {};
}

base::Status Cluster::first_writer() {
    auto& writer = *members_.front().server;
    SB_CHECK(writer.execute("SET GLOBAL rpl_semi_sync_slave_enabled=0; SET GLOBAL read_only=0"));
    SB_CHECK(create_accounts(writer));
    writer_ = 0;
    alone_ = true;
    opened_ = true;
    without_readers_since_ = Clock::now();
    return {};
}

bool Cluster::all_attached() {
    if (members_.size() > 1 && alone_) return false;
    const auto position = members_[writer_].server->value("@@GLOBAL.gtid_binlog_pos");
    if (!position) return false;
    return std::all_of(members_.begin(), members_.end(), [&](Runtime& runtime) {
        if (&runtime == &members_[writer_]) return true;
        if (!runtime.attached) return false;
        const auto waited = runtime.server->query(fmt::format("SELECT MASTER_GTID_WAIT('{}', 0.2) AS v", *position));
        const auto replication = runtime.server->query("SHOW SLAVE STATUS");
        return waited && waited->cell("v") == "0" && replication && replication->cell("Slave_IO_Running") == "Yes" &&
               runtime.health->healthy();
    });
}

base::Status Cluster::bring_up(base::Duration timeout, const std::function<void(const std::string&)>& progress) {
    const auto deadline = Clock::now() + timeout;
    const auto failure = [&](const Runtime& runtime, const std::string& what) {
        return fail(ErrorKind::Unavailable, "{}: {}; the end of its log:\n{}", runtime.server->name(), what,
                    tail_of(runtime.server->error_log(), log_tail_lines));
    };
    for (auto& runtime : members_) {
        SB_CHECK(runtime.server->make_data());
        SB_CHECK(runtime.server->start(Member::Recovery::AsWriter));
        runtime.phase = Phase::Starting;
    }
    for (auto& runtime : members_) {
        while (!runtime.server->ready()) {
            if (!runtime.server->alive())
                return failure(runtime, "its server ended at the start: " + runtime.server->exit_text());
            if (Clock::now() > deadline)
                return failure(runtime, "its server did not answer within " + base::format_duration(timeout));
            std::this_thread::sleep_for(10ms);
        }
        runtime.phase = Phase::Up;
        progress(fmt::format("{} runs at {} in {}", runtime.server->name(), runtime.server->address(),
                             runtime.server->node().subnet));
    }
    SB_CHECK(first_writer());
    for (auto& runtime : members_)
        runtime.health = std::make_unique<Health>(runtime.server->address(), health_password_, spec_.detect);
    thread_ = std::thread([this] { loop(); });
    for (;;) {
        const auto done = on_loop([this]() -> base::Result<bool> {
            ready_ = ready_ || all_attached();
            return ready_;
        });
        SB_TRY(const bool is_ready, done);
        if (is_ready) break;
        if (Clock::now() > deadline)
            return failure(members_.back(),
                           "the readers did not follow the writer within " + base::format_duration(timeout));
        std::this_thread::sleep_for(20ms);
    }
    progress(fmt::format("cluster {}: {} writes, {} follow", spec_.name, members_.front().server->name(),
                         members_.size() - 1));
    return {};
}

}  // namespace signalbox::lab
