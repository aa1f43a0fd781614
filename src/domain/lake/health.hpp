#pragma once
// How good a table's shape is, where its trouble lies, and what to do about it, in the order of what it brings
// (docs/reference/table-health.md has the thresholds and why they are what they are).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/lake/metadata.hpp"
#include "domain/lake/state.hpp"

namespace signalbox::lake {

// A side of a table's health. The score is their mean by weight, over those that are known.
struct HealthPart {
    std::string name;  // "small-files", "deletes", "manifests", "history", "drift"; a caller adds its own
    double weight = 0;
    std::optional<double> score;  // 0–100; nullopt: unknown
    std::string text;             // what was found, one line
};
// 0–100; nullopt if nothing is known.
std::optional<double> health_score(const std::vector<HealthPart>& parts);

// A partition that compaction or clean-up would improve.
struct PartitionTrouble {
    std::string name;
    std::int64_t files = 0;        // live data files
    std::int64_t files_after = 0;  // once it is compacted
    std::int64_t small_files = 0;
    std::int64_t size_bytes = 0;        // of its data
    std::int64_t bytes_to_rewrite = 0;  // at most
    std::int64_t delete_files = 0;
    std::int64_t dangling_deletes = 0;
    std::optional<std::string> filter;  // as a condition on columns in Spark's SQL; nullopt: none can say it
};

enum class AdviceKind {
    CompactPartitions,
    RemoveDanglingDeletes,
    RewriteManifests,
    ExpireSnapshots,
    LimitMetadataFiles,
};
std::string_view to_string(AdviceKind kind);  // "compact-partitions", "remove-dangling-deletes", …

struct Advice {
    AdviceKind kind = AdviceKind::CompactPartitions;
    std::string text;                     // what and why, one line
    double gain = 0;                      // points that the score is estimated to win
    std::int64_t count_before = 0;        // files, manifests, snapshots: what the advice is about
    std::int64_t count_after = 0;         // estimated
    std::int64_t bytes_to_rewrite = 0;    // at most; 0 where nothing of size is rewritten
    std::vector<std::string> partitions;  // names of those that it is about; empty: the whole table
    std::string statement;                // for Spark, ready to run
    std::string note;                     // what the statement can't say; may be empty
};

struct HealthOptions {
    std::string table;                  // "db.orders", as the statements name it
    std::string catalog = "catalog";    // as Spark knows it
    std::size_t partitions_max = 10;    // in the list and in an advice
    std::int64_t now_ms = 0;            // since 1970: snapshots are old against it
    std::optional<std::int64_t> drift;  // fields of the last summary that are wrong; nullopt: not looked at
};

struct Health {
    std::optional<double> score;
    std::vector<HealthPart> parts;
    std::vector<PartitionTrouble> partitions;  // those with most to win first, at most partitions_max
    std::size_t troubled_partitions = 0;       // how many there are
    std::vector<Advice> advice;                // the largest gain first
};

Health assess(const TableMetadata& metadata, const TableState& state, const HealthOptions& options);

}  // namespace signalbox::lake
