#include "engine/event_book.hpp"

#include <algorithm>

namespace signalbox::engine {
namespace {

using base::MonoTime;
namespace json = base::json;

std::string cut(const std::string& text) { return text.substr(0, EventBook::text_max); }

std::string difference(const EventBook::Sight& before, const EventBook::Sight& after) {
    if (before == after) return "nothing changed";
    if (after.epoch != before.epoch) return fmt::format("epoch {}, writer '{}'", after.epoch, after.writer);
    return fmt::format("{}, new connections {}", after.state, after.held ? "wait" : "are routed");
}

}  // namespace

bool EventBook::take(const ports::ExternalEvent& event, const Sight& sight, MonoTime now) {
    if (now - second_ >= std::chrono::seconds(1)) {
        if (uncounted_ > 0) {
            entries_.push_back({"events-not-recorded", {{"count", uncounted_}, {"per_second_max", per_second_max}}});
        }
        second_ = now;
        in_second_ = uncounted_ = 0;
    }
    // Probes that were woken so often in one second see whatever there is to see.
    if (++in_second_ > per_second_max) {
        ++uncounted_;
        return false;
    }
    json::object which{{"source", cut(event.source)}, {"id", cut(event.id)}, {"kind", cut(event.kind)}};
    json::object data = which;
    data["text"] = cut(event.text);
    entries_.push_back({"event", std::move(data)});
    open_.push_back({now, std::move(which), sight});
    return true;
}

void EventBook::probed(const std::string& member, MonoTime sent_at) {
    if (open_.empty()) return;
    MonoTime& newest = asked_[member];
    newest = std::max(newest, sent_at);
}

std::vector<EventBook::Entry> EventBook::due(const std::vector<std::string>& members, const Sight& sight,
                                             MonoTime now) {
    std::vector<Entry> out = std::exchange(entries_, {});
    if (uncounted_ > 0 && now - second_ >= std::chrono::seconds(1)) {
        out.push_back({"events-not-recorded", {{"count", uncounted_}, {"per_second_max", per_second_max}}});
        uncounted_ = 0;
    }
    while (!open_.empty()) {
        Open& first = open_.front();
        const bool asked = std::all_of(members.begin(), members.end(), [&](const std::string& member) {
            const auto probe = asked_.find(member);
            return probe != asked_.end() && probe->second > first.at;
        });
        const bool late = now - first.at >= settle_max;
        // What goes on may yet come of it.
        const bool settled = asked && (sight == first.before || sight.state == "following");
        if (!settled && !late) break;
        json::object data = std::move(first.which);
        data["outcome"] = difference(first.before, sight);
        data["after_ms"] = base::to_ms(now - first.at);
        if (!asked) data["note"] = "not every member was probed within a second";
        out.push_back({"event-outcome", std::move(data)});
        open_.pop_front();
    }
    if (open_.empty()) asked_.clear();
    return out;
}

MonoTime EventBook::next_deadline() const {
    MonoTime due = MonoTime::max();
    if (!open_.empty()) due = open_.front().at + settle_max;
    if (uncounted_ > 0) due = std::min(due, second_ + std::chrono::seconds(1));
    return due;
}

}  // namespace signalbox::engine
