#pragma once
// Tables and their alarms as Prometheus families. docs/reference/sinks.md has the names beside AWS's.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/prometheus/text.hpp"
#include "ports/metric_sink.hpp"

namespace signalbox::prometheus_text {

// The family that a metric of a table is shown as: "snapshot.total_files_size", Bytes → "signalbox_table_files_bytes".
// A name that has no family of its own is built from its letters, with its unit behind it. Empty if nothing can be
// built.
std::string family_of(std::string_view metric, std::string_view unit);
// The same of a metric of a partition: "record_count" → "signalbox_table_partition_records".
std::string partition_family_of(std::string_view metric, std::string_view unit);

struct LakePageLimits {
    // Series per table and family of partitions: those of the largest values, and the sum of the rest as "other".
    std::size_t partitions_max = 20;
    std::size_t tables_max = 10'000;
    std::size_t metrics_max = 200;  // of one table
};

// How an alarm stands, for the page.
struct AlarmFigure {
    std::string alarm;
    std::string table;
    std::string metric;
    std::string state;  // OK, ALARM, INSUFFICIENT_DATA
    std::optional<double> value;
    std::optional<double> lower;  // the expected range
    std::optional<double> upper;
};

// What reading the metadata has cost since the start.
struct ReadingFigure {
    std::string kind;  // metadata, manifest_list, manifest
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;
};

// The newest points of each table. Safe from several threads.
class LakePage final : public ports::MetricSink {
  public:
    explicit LakePage(LakePageLimits limits = {}) : limits_(limits) {}

    // The points of a commit replace those of the one before, per table: what is unknown now is not shown with its old
    // value. More points of the same snapshot are added. What is beyond a bound is left out and counted.
    base::Status write(const std::vector<ports::MetricPoint>& points) override;
    void forget(const std::string& table);
    // How the alarms of that table stand; those that it had before are forgotten.
    void set_alarms(const std::string& table, std::vector<AlarmFigure> alarms);
    void set_reading(std::vector<ReadingFigure> reading);
    void render(Page& page) const;

  private:
    struct Value {
        std::string metric;  // as AWS names it
        double value = 0;
    };
    struct Table {
        base::WallTime at{};
        std::int64_t snapshot_id = 0;
        std::uint64_t commits = 0;
        std::map<std::string, Value> values;                                // by family
        std::map<std::string, Value> sums;                                  // by family: of all commits since the start
        std::map<std::string, std::map<std::string, Value>> in_partitions;  // by family and partition
    };
    bool take(Table& table, const ports::MetricPoint& point, bool new_commit) const;
    void render_tables(Page& page) const;
    static void render_alarm(Page& page, const AlarmFigure& alarm);

    const LakePageLimits limits_;
    mutable std::mutex mutex_;
    std::map<std::string, Table> tables_;
    std::map<std::string, std::vector<AlarmFigure>> alarms_;  // by table
    std::vector<ReadingFigure> reading_;
    std::uint64_t left_out_ = 0;
};

}  // namespace signalbox::prometheus_text
