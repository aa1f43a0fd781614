#pragma once
// A table for people: columns padded to their widest cell, two spaces between them, no trailing blanks.

#include <string>
#include <vector>

namespace signalbox::base {

class TableText {
  public:
    explicit TableText(std::vector<std::string> header);
    // A row has as many cells as the header.
    void row(std::vector<std::string> cells);
    // Header and rows, each ended by a line break. Widths count code points, not bytes. Cells that look like numbers
    // are right-aligned when every cell of their column does.
    std::string render() const;

  private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace signalbox::base
