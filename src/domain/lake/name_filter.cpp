#include "domain/lake/name_filter.hpp"

#include <algorithm>

namespace signalbox::lake {

bool fits_pattern(std::string_view text, std::string_view pattern) {
    std::size_t at = 0;
    std::size_t in_pattern = 0;
    // Where to go on if what follows the last star does not fit: one character later.
    std::size_t star = std::string_view::npos;
    std::size_t resume = 0;
    while (at < text.size()) {
        if (in_pattern < pattern.size() && pattern[in_pattern] == '*') {
            star = in_pattern++;
            resume = at;
        } else if (in_pattern < pattern.size() && (pattern[in_pattern] == '?' || pattern[in_pattern] == text[at])) {
            ++in_pattern;
            ++at;
        } else if (star != std::string_view::npos) {
            in_pattern = star + 1;
            at = ++resume;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', in_pattern) == std::string_view::npos;
}

bool NameFilter::passes(std::string_view name) const {
    const auto fits = [name](const std::string& pattern) { return fits_pattern(name, pattern); };
    if (std::any_of(exclude.begin(), exclude.end(), fits)) return false;
    return include.empty() || std::any_of(include.begin(), include.end(), fits);
}

}  // namespace signalbox::lake
