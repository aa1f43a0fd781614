#pragma once
// Which tables of a catalog are watched, by their names.

#include <string>
#include <string_view>
#include <vector>

namespace signalbox::lake {

// Whether the whole text fits the pattern: '*' is any text (dots too), '?' any one character, all else itself. Takes at
// most pattern × text steps.
bool fits_pattern(std::string_view text, std::string_view pattern);

struct NameFilter {
    std::vector<std::string> include;  // empty: all
    std::vector<std::string> exclude;  // goes before include

    bool passes(std::string_view name) const;
};

}  // namespace signalbox::lake
