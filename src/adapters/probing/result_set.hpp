#pragma once
// What a database answers to one statement, whatever its protocol.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.hpp"

namespace signalbox::probing {

// Rows as text; a SQL NULL is nullopt. For a statement without rows, `columns` is empty.
struct ResultSet {
    std::vector<std::string> columns;
    std::vector<std::vector<std::optional<std::string>>> rows;
    std::uint64_t affected_rows = 0;
    std::uint64_t last_insert_id = 0;

    bool has(std::string_view column) const;
    // The cell under that column (case ignored) in that row; nullopt if there is no row, no column or NULL.
    std::optional<std::string> cell(std::size_t row, std::string_view column) const;
    // The same in the first row.
    std::optional<std::string> cell(std::string_view column) const { return cell(0, column); }
};

}  // namespace signalbox::probing
