#include "app/health_output.hpp"

#include "app/table_output.hpp"
#include "base/table_text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;

json::value score_value(const std::optional<double>& score) {
    return score ? json::value(*score) : json::value(nullptr);
}

std::string score_text(const std::optional<double>& score) {
    return score ? fmt::format("{:.0f}", *score) : std::string("unknown");
}

json::object partition_json(const lake::PartitionTrouble& partition) {
    return {{"partition_name", partition.name},
            {"files", partition.files},
            {"files_after", partition.files_after},
            {"small_files", partition.small_files},
            {"size_bytes", partition.size_bytes},
            {"bytes_to_rewrite", partition.bytes_to_rewrite},
            {"delete_files", partition.delete_files},
            {"dangling_deletes", partition.dangling_deletes},
            {"filter", partition.filter ? json::value(*partition.filter) : json::value(nullptr)}};
}

json::object advice_json(const lake::Advice& advice) {
    json::array partitions;
    for (const std::string& name : advice.partitions) partitions.emplace_back(name);
    return {{"kind", lake::to_string(advice.kind)},
            {"text", advice.text},
            {"gain", advice.gain},
            {"count_before", advice.count_before},
            {"count_after", advice.count_after},
            {"bytes_to_rewrite", advice.bytes_to_rewrite},
            {"partitions", std::move(partitions)},
            {"statement", advice.statement},
            {"note", advice.note}};
}

std::string partitions_text(const lake::Health& health) {
    if (health.partitions.empty()) return {};
    base::TableText table(
        {"PARTITION", "FILES", "COMPACTED", "SMALL", "DELETE FILES", "DANGLING", "SIZE", "TO REWRITE"});
    for (const auto& partition : health.partitions) {
        table.row({partition.name, fmt::format("{}", partition.files), fmt::format("{}", partition.files_after),
                   fmt::format("{}", partition.small_files), fmt::format("{}", partition.delete_files),
                   fmt::format("{}", partition.dangling_deletes), size_text(static_cast<double>(partition.size_bytes)),
                   size_text(static_cast<double>(partition.bytes_to_rewrite))});
    }
    std::string text = "\n" + table.render();
    const std::size_t more =
        health.troubled_partitions - std::min(health.troubled_partitions, health.partitions.size());
    if (more > 0) text += fmt::format("and {} more; --partitions shows more\n", more);
    return text;
}

std::string advice_text(const lake::Health& health) {
    if (health.advice.empty()) return "\nNothing to do.\n";
    std::string text = "\nWhat to do, the largest gain first:\n";
    for (std::size_t i = 0; i < health.advice.size(); ++i) {
        const lake::Advice& advice = health.advice[i];
        text += fmt::format("{}. {} (+{:.0f} points)\n", i + 1, advice.text, advice.gain);
        if (!advice.statement.empty()) text += "     " + advice.statement + "\n";
        if (!advice.note.empty()) text += "   Note: " + advice.note + "\n";
    }
    return text;
}

}  // namespace

json::object health_json(const std::string& table, const lake::Health& health) {
    json::array parts;
    for (const auto& part : health.parts) {
        parts.push_back(json::object{
            {"name", part.name}, {"weight", part.weight}, {"score", score_value(part.score)}, {"text", part.text}});
    }
    json::array partitions;
    for (const auto& partition : health.partitions) partitions.push_back(partition_json(partition));
    json::array advice;
    for (const auto& item : health.advice) advice.push_back(advice_json(item));
    return {{"table", table},
            {"score", score_value(health.score)},
            {"parts", std::move(parts)},
            {"troubled_partitions", health.troubled_partitions},
            {"partitions", std::move(partitions)},
            {"advice", std::move(advice)}};
}

std::string health_text(const std::string& table, const lake::Health& health) {
    base::TableText parts({"PART", "SCORE", "WEIGHT", "FOUND"});
    for (const auto& part : health.parts)
        parts.row({part.name, score_text(part.score), fmt::format("{:g}", part.weight), part.text});
    return fmt::format("{}: health {}{}\n\n", table, score_text(health.score), health.score ? " of 100" : "") +
           parts.render() + partitions_text(health) + advice_text(health);
}

}  // namespace signalbox::app
