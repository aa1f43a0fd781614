#include "domain/routing/traffic.hpp"

#include <utility>

namespace signalbox::routing {

bool WriterTraffic::advance(std::uint64_t epoch) {
    if (epoch < epoch_) return false;
    epoch_ = epoch;
    return true;
}

bool WriterTraffic::hold(std::uint64_t epoch) {
    if (!advance(epoch)) return false;
    if (state_ == State::Routed) state_ = State::Held;
    return true;
}

bool WriterTraffic::fence(std::uint64_t epoch) {
    if (!advance(epoch)) return false;
    if (state_ == State::Routed || state_ == State::Held) fenced_ = address_;
    state_ = State::Fenced;
    return true;
}

bool WriterTraffic::route(std::uint64_t epoch, std::string member, base::HostPort address) {
    if (!advance(epoch)) return false;
    state_ = State::Routed;
    member_ = std::move(member);
    address_ = std::move(address);
    fenced_.reset();
    return true;
}

}  // namespace signalbox::routing
