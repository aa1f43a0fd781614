#pragma once
// A partition as a condition on the table's columns, in Spark's SQL.

#include <optional>
#include <string>
#include <string_view>

#include "domain/lake/metadata.hpp"

namespace signalbox::lake {

// A text as Spark's string literal, in single quotes.
std::string sql_text(std::string_view text);
// A name of several parts with dots between, each part in backquotes where it needs them.
std::string sql_name(std::string_view name);

// "ordered_at >= TIMESTAMP '…' AND ordered_at < … AND region = 'eu'"; empty for the one partition of an unpartitioned
// spec. nullopt where a condition can't say it: a bucket, a transform or a value that SQL has no literal for, a column
// that is gone. `key` was made by partition_key under that spec.
std::optional<std::string> partition_filter(std::string_view key, const PartitionSpec& spec);

}  // namespace signalbox::lake
