#pragma once
// The part of the configuration that says what is watched in tables: `alarms`, and how a table is first looked at.

#include <string>
#include <vector>

#include "adapters/yaml/document.hpp"
#include "domain/alarms/action_policy.hpp"
#include "engine/table_loop.hpp"

namespace signalbox::app {

// Reads the root's key `alarms`; faults are collected by the reader. Without the key every table gets the default
// alarms; an empty list is none. `actions`: those that an alarm may name.
std::vector<engine::AlarmBinding> read_alarms(yaml::Reader& root, const std::vector<alarms::ActionConfig>& actions);

// `first_look` and `partitions_max` of the mapping that says how tables are watched; the caller finishes the reader.
void read_first_look(yaml::Reader& tables, engine::TableLoopConfig& config);

// The names of all metrics of a table, in their order.
const std::vector<std::string>& table_metric_names();
// Nothing if there is such a metric; else what is wrong, with the name that may have been meant.
std::string metric_fault(const std::string& name);

}  // namespace signalbox::app
