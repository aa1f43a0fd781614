#pragma once
// How the answer to a topology query becomes rows: the same for every engine.

#include <variant>
#include <vector>

#include "adapters/probing/result_set.hpp"
#include "domain/clusters/evidence.hpp"

namespace signalbox::probing {

// Columns by name, as clusters::TopologyConfig has them. A row without a name or a writer, a value of unknown form, and
// an answer without rows (no topology knows nobody) are failures of kind Incomplete.
std::variant<std::vector<clusters::TopologyRow>, clusters::ProbeFailure> read_topology(const ResultSet& answer);

// Microseconds since 1970 of "2026-01-02 03:04:05[.678901][+00[:00]]" (also with a T or a final Z); without an offset
// it is taken as UTC.
std::optional<std::int64_t> parse_stamp(std::string_view text);

}  // namespace signalbox::probing
