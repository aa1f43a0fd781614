#include "base/table_text.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace signalbox::base {
namespace {

std::size_t width(const std::string& cell) {
    return static_cast<std::size_t>(std::count_if(
        cell.begin(), cell.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

bool numeric(const std::string& cell) { return cell.empty() || cell == "-" || parse_double(cell).has_value(); }

}  // namespace

TableText::TableText(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void TableText::row(std::vector<std::string> cells) {
    SB_ASSERT(cells.size() == rows_.front().size(), "a row has as many cells as the header");
    rows_.push_back(std::move(cells));
}

std::string TableText::render() const {
    const std::size_t columns = rows_.front().size();
    std::vector<std::size_t> widths(columns, 0);
    std::vector<bool> right(columns, rows_.size() > 1);
    for (std::size_t r = 0; r < rows_.size(); ++r) {
        for (std::size_t c = 0; c < columns; ++c) {
            widths[c] = std::max(widths[c], width(rows_[r][c]));
            if (r > 0 && !numeric(rows_[r][c])) right[c] = false;
        }
    }
    std::string out;
    for (const auto& row : rows_) {
        std::string line;
        for (std::size_t c = 0; c < columns; ++c) {
            const std::string padding(widths[c] - width(row[c]), ' ');
            line += right[c] ? padding + row[c] : row[c] + padding;
            if (c + 1 < columns) line += "  ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out;
}

}  // namespace signalbox::base
