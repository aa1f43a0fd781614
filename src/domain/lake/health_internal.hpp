#pragma once
// The figures that a table's health is judged by: what an advice would change in them tells what it would bring.

#include "domain/lake/health.hpp"

namespace signalbox::lake {

constexpr std::int64_t expirable_max = 500;  // snapshots past their age that lose all points

struct HealthFigures {
    std::int64_t data_files = 0;
    std::int64_t data_records = 0;
    std::int64_t avoidable_files = 0;  // data files that compaction would take away
    std::int64_t delete_files = 0;
    std::int64_t deleted_records = 0;
    std::int64_t dangling_position = 0;
    std::int64_t dangling_equality = 0;
    std::int64_t manifests = 0;
    std::optional<std::int64_t> manifests_after;  // that would do; nullopt: sizes are unknown
    std::int64_t manifests_merge = 0;             // so many too many lose all points
    std::int64_t snapshots = 0;
    std::int64_t expirable = 0;
    std::int64_t age_max_ms = 0;
    std::int64_t keep_min = 0;
    std::int64_t metadata_files = 0;
    std::int64_t metadata_kept = 0;  // that the table's properties mean to keep
    std::optional<std::int64_t> drift;
};

std::vector<HealthPart> health_parts(const HealthFigures& figures);
std::vector<Advice> health_advice(const HealthFigures& figures, const std::vector<PartitionTrouble>& partitions,
                                  const HealthOptions& options);

}  // namespace signalbox::lake
