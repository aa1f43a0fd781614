#pragma once
// Listens to a cloud's failover events while a measurement runs, by long polls. Events are a line in the picture and
// nothing more: no outage is taken from them.

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "domain/meter/sample.hpp"

namespace signalbox::meter {

class EventListener {
  public:
    // source: "unix:/run/…/api.sock" or "http://host:port", with GET /v1/events?after=SEQ&wait_ms=MS as
    // docs/reference/lab-api.md describes. Only events after this call count. Errors: the source does not answer as
    // described.
    static base::Result<std::unique_ptr<EventListener>> start(const std::string& source);
    ~EventListener();
    EventListener(const EventListener&) = delete;
    EventListener& operator=(const EventListener&) = delete;

    // Ends the listening (within a second) and hands over what came.
    std::vector<Event> stop();

  private:
    EventListener(std::string source, std::uint64_t after);
    void listen(const std::stop_token& stop);

    const std::string source_;
    std::uint64_t after_ = 0;
    std::vector<Event> events_;  // the thread's until it is joined
    std::jthread thread_;
};

}  // namespace signalbox::meter
