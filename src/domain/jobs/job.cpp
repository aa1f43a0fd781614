#include "domain/jobs/job.hpp"

#include <algorithm>
#include <array>

namespace signalbox::jobs {
namespace {

constexpr std::array<std::string_view, 5> strategies = {"ordered", "random", "capacity", "resilient", "program"};
constexpr std::array<std::string_view, 4> retry_classes = {"transient", "connection", "zone", "permanent"};

template <typename Enum, std::size_t Count>
std::optional<Enum> parse_word(const std::array<std::string_view, Count>& words, std::string_view text) {
    const auto found = std::find(words.begin(), words.end(), text);
    if (found == words.end()) return std::nullopt;
    return static_cast<Enum>(found - words.begin());
}

}  // namespace

std::string_view to_string(Strategy strategy) { return strategies.at(static_cast<std::size_t>(strategy)); }

std::optional<Strategy> parse_strategy(std::string_view text) { return parse_word<Strategy>(strategies, text); }

std::string_view to_string(RetryClass retry) { return retry_classes.at(static_cast<std::size_t>(retry)); }

std::optional<RetryClass> parse_retry_class(std::string_view text) {
    return parse_word<RetryClass>(retry_classes, text);
}

}  // namespace signalbox::jobs
