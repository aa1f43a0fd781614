#include "adapters/probing/result_set.hpp"

#include <algorithm>

namespace signalbox::probing {

bool ResultSet::has(std::string_view column) const {
    return std::any_of(columns.begin(), columns.end(),
                       [&](const std::string& name) { return base::equal_ignoring_case(name, column); });
}

std::optional<std::string> ResultSet::cell(std::size_t row, std::string_view column) const {
    if (row >= rows.size()) return std::nullopt;
    for (std::size_t i = 0; i < columns.size() && i < rows[row].size(); ++i) {
        if (base::equal_ignoring_case(columns[i], column)) return rows[row][i];
    }
    return std::nullopt;
}

}  // namespace signalbox::probing
