#include "lab/events.hpp"

#include "lab/log.hpp"

namespace signalbox::lab {

void Events::add(const std::string& cluster, const std::string& kind, const std::string& message) {
    {
        const std::lock_guard lock(mutex_);
        ++last_;
        events_.emplace_back(
            last_,
            base::json::object{
                {"sequence", last_}, {"at", now_text()}, {"cluster", cluster}, {"kind", kind}, {"message", message}});
        if (events_.size() > kept_max) events_.pop_front();
    }
    changed_.notify_all();
}

base::json::array Events::after(std::uint64_t sequence, base::Duration wait) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, wait, [&] { return stopped_ || last_ > sequence; });
    base::json::array items;
    for (const auto& [number, event] : events_)
        if (number > sequence) items.push_back(event);
    return items;
}

void Events::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    changed_.notify_all();
}

}  // namespace signalbox::lab
