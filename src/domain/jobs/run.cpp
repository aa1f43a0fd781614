#include "domain/jobs/run.hpp"

#include <array>

#include "base/assert.hpp"

namespace signalbox::jobs {
namespace {

constexpr std::array run_states = {"WAITING",   "STARTING", "RUNNING", "STOPPING", "STOPPED",
                                   "SUCCEEDED", "FAILED",   "TIMEOUT", "ERROR",    "EXPIRED"};
constexpr std::array exit_hows = {"exited", "signaled", "timeout", "stopped", "unstartable", "lost"};

template <typename Enum, std::size_t Count>
std::optional<Enum> parse_word(const std::array<const char*, Count>& words, std::string_view text) {
    for (std::size_t i = 0; i < Count; ++i)
        if (text == words[i]) return static_cast<Enum>(i);
    return std::nullopt;
}

}  // namespace

std::string_view to_string(RunState state) { return run_states.at(static_cast<std::size_t>(state)); }

std::optional<RunState> parse_run_state(std::string_view text) { return parse_word<RunState>(run_states, text); }

bool is_final(RunState state) {
    return state != RunState::Waiting && state != RunState::Starting && state != RunState::Running &&
           state != RunState::Stopping;
}

std::string_view to_string(ExitHow how) { return exit_hows.at(static_cast<std::size_t>(how)); }

std::optional<ExitHow> parse_exit_how(std::string_view text) { return parse_word<ExitHow>(exit_hows, text); }

std::string Exit::text() const {
    switch (how) {
        case ExitHow::Exited:
            return fmt::format("exit {}", code);
        case ExitHow::Signaled:
            return fmt::format("signal {}", signal);
        case ExitHow::TimedOut:
            return "timed out";
        case ExitHow::Stopped:
            return "stopped";
        case ExitHow::Unstartable:
            return "not startable";
        case ExitHow::Lost:
            break;
    }
    return "lost";
}

std::string run_id(std::string_view random_bytes) {
    SB_ASSERT(random_bytes.size() == 32, "a run id has 64 hexadecimal digits");
    return "jr_" + base::to_hex(random_bytes);
}

std::string attempt_id(const std::string& first_id, int attempt) {
    return attempt == 0 ? first_id : fmt::format("{}_attempt_{}", first_id, attempt);
}

std::string first_attempt_id(const std::string& id) { return id.substr(0, id.find("_attempt_")); }

std::string node_token(const Run& run, int rank) { return fmt::format("{}-{}", run.id, rank); }

}  // namespace signalbox::jobs
