#include "lab/health.hpp"

namespace signalbox::lab {

using namespace std::chrono_literals;

Health::Health(std::unique_ptr<Pulse> pulse, base::Duration detect)
    : pulse_(std::move(pulse)), interval_(detect / misses_max), thread_([this] { loop(); }) {}

Health::~Health() {
    stopping_ = true;
    thread_.join();
}

void Health::loop() {
    auto due = Clock::now();
    while (!stopping_) {
        std::this_thread::sleep_until(due);
        const auto begin = Clock::now();
        const bool late = begin - due > interval_ / 2;
        bool good = pulse_->ask(interval_);
        // A connection that was cut says little: the server may have restarted. The next one decides.
        if (!good && Clock::now() - begin < interval_ / 2) {
            pulse_->close();
            good = pulse_->connect(interval_);
        }
        // Who gets no processor time can't tell whose lateness it was.
        const bool overslept = Clock::now() - begin > interval_ * 2;
        if (good)
            misses_ = 0;
        else if (!late && !overslept)
            ++misses_;
        due = std::max(begin + interval_, Clock::now() + 1ms);
    }
}

}  // namespace signalbox::lab
