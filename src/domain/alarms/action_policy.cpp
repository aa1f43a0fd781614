#include "domain/alarms/action_policy.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"

namespace signalbox::alarms {
namespace {

constexpr base::Duration after_max = std::chrono::hours(1);
// 2^30 times the base is beyond every backoff_max.
constexpr int doublings_max = 30;

constexpr ActionTrigger all_triggers[] = {ActionTrigger::Alarm, ActionTrigger::Ok, ActionTrigger::InsufficientData};

// FNV-1a, 64 bits, from a starting value of the caller's.
std::uint64_t fold(std::uint64_t hash, std::string_view text) {
    constexpr std::uint64_t prime = 0x100000001b3;
    for (const char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * prime;
    return hash;
}

std::string eight_bytes(std::uint64_t value) {
    std::string bytes;
    for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>((value >> shift) & 0xFF);
    return bytes;
}

}  // namespace

std::string_view to_string(ActionTrigger trigger) {
    switch (trigger) {
        case ActionTrigger::Alarm:
            return "ALARM";
        case ActionTrigger::Ok:
            return "OK";
        case ActionTrigger::InsufficientData:
            return "INSUFFICIENT_DATA";
    }
    return "?";
}

std::optional<ActionTrigger> parse_action_trigger(std::string_view text) {
    for (const ActionTrigger trigger : all_triggers)
        if (text == to_string(trigger)) return trigger;
    return std::nullopt;
}

std::string_view kind_of(const ActionConfig& config) {
    constexpr std::string_view kinds[] = {"webhook", "command", "job", "pause"};
    return kinds[config.what.index()];
}

std::string action_id(std::string_view alarm, std::string_view table, std::string_view transition,
                      std::string_view action) {
    std::string all;
    // With its length in front, so that no two different lists of parts are one text.
    for (const std::string_view part : {alarm, table, transition, action})
        all += std::to_string(part.size()) + ":" + std::string(part);
    // The first start is FNV's own; the second hashes the same text behind another letter.
    constexpr std::uint64_t start = 0xcbf29ce484222325;
    return "act_" + base::to_hex(eight_bytes(fold(start, all)) + eight_bytes(fold(fold(start, "2"), all)));
}

std::vector<const ActionConfig*> called_for(const std::vector<ActionConfig>& actions,
                                            const std::vector<std::string>& names, ActionTrigger entered) {
    std::vector<const ActionConfig*> found;
    for (const std::string& name : names) {
        const auto one = std::find_if(actions.begin(), actions.end(),
                                      [&](const ActionConfig& action) { return action.name == name; });
        if (one == actions.end() || !one->on.contains(entered)) continue;
        if (std::find(found.begin(), found.end(), &*one) == found.end()) found.push_back(&*one);
    }
    return found;
}

std::optional<base::WallTime> rate_limited_until(const RateLimit& limit, std::vector<base::WallTime> begun,
                                                 base::WallTime now) {
    if (limit.count <= 0) return std::nullopt;
    // What lies in the future was begun before the clock was set back: it would hold actions up for as long.
    std::erase_if(begun, [&](base::WallTime at) { return at > now || now - at >= limit.interval; });
    const auto count = static_cast<std::size_t>(limit.count);
    if (begun.size() < count) return std::nullopt;
    std::sort(begun.begin(), begun.end());
    // Room is made when all but count - 1 of them have left the interval.
    return begun[begun.size() - count] + limit.interval;
}

std::optional<base::WallTime> next_try(const ActionRetry& retry, int tries, base::WallTime queued_at,
                                       std::optional<base::Duration> after, double jitter, base::WallTime now) {
    if (tries >= retry.tries_max) return std::nullopt;
    const int doublings = std::clamp(tries - 1, 0, doublings_max);
    const double longest = std::min(static_cast<double>(retry.backoff_base.count()) * std::ldexp(1.0, doublings),
                                    static_cast<double>(retry.backoff_max.count()));
    base::Duration pause(static_cast<base::Duration::rep>(longest * jitter));
    if (after) pause = std::max(pause, std::clamp(*after, base::Duration::zero(), after_max));
    const base::WallTime at = now + pause;
    if (at - queued_at > retry.age_max) return std::nullopt;
    return at;
}

std::string fill_placeholders(std::string_view text,
                              const std::vector<std::pair<std::string_view, std::string_view>>& values) {
    std::string filled;
    while (!text.empty()) {
        const std::size_t open = text.find('{');
        filled += text.substr(0, open);
        if (open == std::string_view::npos) break;
        text.remove_prefix(open);
        const std::size_t close = text.find('}');
        const std::string_view key = close == std::string_view::npos ? std::string_view() : text.substr(1, close - 1);
        const auto known =
            std::find_if(values.begin(), values.end(), [&](const auto& one) { return one.first == key; });
        if (close == std::string_view::npos || known == values.end()) {
            filled += '{';
            text.remove_prefix(1);
        } else {
            filled += known->second;
            text.remove_prefix(close + 1);
        }
    }
    return filled;
}

}  // namespace signalbox::alarms
