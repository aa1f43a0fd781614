#pragma once
// JSON as values (Boost.JSON), the form of every journal entry, API body and --output json.

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace signalbox::base {

namespace json = boost::json;

// Depth and size are bounded; an error names the byte at which the text stops being JSON.
Result<json::value> parse_json(std::string_view text);
// With line breaks and two spaces of indent, keys in their order, for people and files.
std::string pretty_json(const json::value& value);

}  // namespace signalbox::base
