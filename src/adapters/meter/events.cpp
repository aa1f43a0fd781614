#include "adapters/meter/events.hpp"

#include <algorithm>

#include "adapters/http/client.hpp"
#include "adapters/meter/probe.hpp"

namespace signalbox::meter {
namespace {

using base::ErrorKind;

constexpr std::size_t events_max = 10'000;
constexpr auto poll_wait = std::chrono::milliseconds(500);  // short, so that stop() is quick
constexpr Duration answer_patience = std::chrono::seconds(3);
constexpr auto pause_after_error = std::chrono::milliseconds(200);

struct Batch {
    std::uint64_t last = 0;
    std::vector<Event> events;
};

base::Result<Batch> poll_events(const http::Client& client, std::uint64_t after, std::chrono::milliseconds wait) {
    SB_TRY(const auto reply,
           client.get(fmt::format("/v1/events?after={}&wait_ms={}", after, wait.count()), wait + answer_patience));
    Batch batch{after, {}};
    const auto* object = reply.if_object();
    const auto* items = object != nullptr ? object->if_contains("items") : nullptr;
    if (items == nullptr || !items->is_array()) {
        return base::fail(ErrorKind::CorruptData, "the answer to GET /v1/events has no list 'items'");
    }
    for (const auto& item : items->get_array()) {
        const auto* fields = item.if_object();
        const auto* sequence = fields != nullptr ? fields->if_contains("sequence") : nullptr;
        const auto* kind = fields != nullptr ? fields->if_contains("kind") : nullptr;
        if (sequence == nullptr || kind == nullptr || !kind->is_string() || !sequence->is_number()) continue;
        const auto* message = fields->if_contains("message");
        batch.last = std::max(batch.last, sequence->to_number<std::uint64_t>());
        batch.events.push_back(
            Event{mono_now(), std::string(kind->get_string()),
                  message != nullptr && message->is_string() ? std::string(message->get_string()) : ""});
    }
    return batch;
}

}  // namespace

base::Result<std::unique_ptr<EventListener>> EventListener::start(const std::string& source) {
    const auto past = poll_events(http::Client(source), 0, std::chrono::milliseconds(0));
    if (!past) return base::in_context(past.error(), "event source " + source);
    return std::unique_ptr<EventListener>(new EventListener(source, past->last));
}

EventListener::EventListener(std::string source, std::uint64_t after) : source_(std::move(source)), after_(after) {
    thread_ = std::jthread([this](const std::stop_token& stop) { listen(stop); });
}

EventListener::~EventListener() = default;

void EventListener::listen(const std::stop_token& stop) {
    const http::Client client(source_);
    while (!stop.stop_requested() && events_.size() < events_max) {
        auto batch = poll_events(client, after_, poll_wait);
        if (!batch) {
            std::this_thread::sleep_for(pause_after_error);
            continue;
        }
        after_ = batch->last;
        events_.insert(events_.end(), batch->events.begin(), batch->events.end());
    }
}

std::vector<Event> EventListener::stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    return std::move(events_);
}

}  // namespace signalbox::meter
