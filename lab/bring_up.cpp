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

base::Status Cluster::first_writer() {
    SB_CHECK(members_.front().server->create_accounts(spec_));
    writer_ = 0;
    alone_ = true;
    opened_ = true;
    without_readers_since_ = Clock::now();
    return {};
}

bool Cluster::all_attached() {
    if (members_.size() > 1 && alone_) return false;
    const auto position = members_[writer_].server->written();
    if (!position) return false;
    return std::all_of(members_.begin(), members_.end(), [&](Runtime& runtime) {
        if (&runtime == &members_[writer_]) return true;
        if (!runtime.attached) return false;
        return runtime.server->reach(*position, 200ms) && runtime.server->receiving() && runtime.health->healthy();
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
        SB_CHECK(runtime.server->start(&runtime == &members_.front() ? Member::Recovery::AsWriter
                                                                     : Member::Recovery::AsReader));
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
        runtime.health = std::make_unique<Health>(runtime.server->make_pulse(), spec_.detect);
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
