#pragma once
// Keeps the number of series that partitions make within a bound.

#include <string_view>
#include <vector>

#include "ports/metric_sink.hpp"

namespace signalbox::sinks {

// The partition that stands for all that were left out. A real one is named KEY=VALUE or (unpartitioned).
inline constexpr std::string_view other_partitions = "other";

// Of each metric of each commit, the partitions of the `max` largest values (of equal ones, the first by name), and the
// sum of all others as `other_partitions`. Points without a value are not among them; points of tables stay. What is
// left keeps its order, the sums follow behind the commit's last point.
std::vector<ports::MetricPoint> limit_partitions(const std::vector<ports::MetricPoint>& points, std::size_t max);

}  // namespace signalbox::sinks
