// Who acknowledges the writer's writes, and from when on: the facts that make a promotion safe (cluster.hpp).

#include "lab/cluster.hpp"

namespace signalbox::lab {

using namespace std::chrono_literals;

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
        if (const auto status = writer.server->acknowledge_alone(true); !status) log_.line("{}", status.error().text());
    }
    if (!alone_) return;
    for (const auto i : usable) {
        if (!members_[i].server->receiving()) continue;
        if (const auto status = writer.server->acknowledge_alone(false); !status) {
            log_.line("{}", status.error().text());
            return;
        }
        auto position = writer.server->written();
        if (!position) return;
        // What was acknowledged alone lies at or before this position: whoever is promoted must have reached it.
        floor_ = std::move(*position);
        alone_ = false;
        log_.line("{}: {} acknowledges again; floor {}", spec_.name, members_[i].server->name(), floor_.text);
        return;
    }
}

// A reader that is gone can acknowledge no more. What it alone may have received lies at or before the writer's
// position of now: that becomes the floor. If the writer can't say, the reader stays on the list, and no promotion is
// safe.
void Cluster::forget_acknowledger(std::size_t index) {
    if (!acknowledgers_.contains(index) || writer_ == nobody || !opened_) return;
    auto& writer = members_[writer_];
    if (!writer.server->alive() || writer.server->paused()) return;
    auto position = writer.server->written();
    if (!position) return;
    floor_ = std::move(*position);
    acknowledgers_.erase(index);
}

}  // namespace signalbox::lab
