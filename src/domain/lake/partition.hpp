#pragma once
// Partitions across a table's specs. A partition is the set of its non-null values by field id, so that the same values
// under an older and a newer spec are one partition (as in Iceberg's own partitions table).

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "domain/lake/metadata.hpp"

namespace signalbox::lake {

// A value as manifests store it: dates and times are numbers, decimals and UUIDs are bytes.
struct PartitionValue {
    std::int32_t field_id = 0;
    std::variant<std::monostate, bool, std::int64_t, double, std::string_view> value;
};

// Writes the partition's key over `key`: equal for equal partitions, different for others. Sorts the values by field
// id.
void partition_key(std::vector<PartitionValue>& values, std::string& key);

// The values of a key, by field id, without nulls; texts point into it. `key` was made by partition_key.
std::vector<PartitionValue> partition_values(std::string_view key);

// Whether partition_key can have written it.
bool is_partition_key(std::string_view key);

// The name that people know: "day=2024-01-31/region=eu" in the spec's order, "(unpartitioned)" for a spec without
// fields; null is "null". Characters that would break a name are written as %XX. `key` was made by partition_key.
std::string partition_name(std::string_view key, const PartitionSpec& spec);

}  // namespace signalbox::lake
