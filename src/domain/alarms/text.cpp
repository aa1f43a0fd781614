#include <cmath>

#include "domain/alarms/alarm_internal.hpp"

namespace signalbox::alarms {

std::string number_text(double value) {
    if (!std::isfinite(value)) return value > 0 ? "∞" : "-∞";
    if (std::abs(value) >= 1e15) return fmt::format("{:.4g}", value);
    if (std::abs(value) < 100 && value != std::floor(value)) return fmt::format("{:.4g}", value);
    std::string digits = fmt::format("{:.0f}", std::abs(value));
    for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(static_cast<std::size_t>(at), ",");
    return (value < 0 && digits != "0" ? "-" : "") + digits;
}

std::string commit_text(const CommitRef& commit) {
    if (commit.snapshot_id == 0) return {};
    std::string text = fmt::format("snapshot {}", commit.snapshot_id);
    if (!commit.operation.empty()) text += " (" + commit.operation + ")";
    text += " at " + base::format_time(commit.at);
    if (!commit.author.empty()) text += " by " + commit.author;
    return text;
}

void add_commit(base::json::object& evidence, const CommitRef& commit) {
    if (commit.snapshot_id == 0) return;
    // As text: JSON numbers of many readers are doubles, which round these ids.
    evidence["snapshot_id"] = std::to_string(commit.snapshot_id);
    evidence["commit_at"] = base::format_time(commit.at);
    if (!commit.author.empty()) evidence["author"] = commit.author;
    if (!commit.operation.empty()) evidence["operation"] = commit.operation;
}

std::string span_text(base::Duration duration) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
    if (seconds < 120) return fmt::format("{}s", seconds);
    const auto minutes = seconds / 60;
    if (minutes < 60) return fmt::format("{}m", minutes);
    if (minutes < 48 * 60)
        return minutes % 60 == 0 ? fmt::format("{}h", minutes / 60)
                                 : fmt::format("{}h {}m", minutes / 60, minutes % 60);
    const auto hours = minutes / 60;
    return hours % 24 == 0 ? fmt::format("{}d", hours / 24) : fmt::format("{}d {}h", hours / 24, hours % 24);
}

}  // namespace signalbox::alarms
