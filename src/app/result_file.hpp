#pragma once
// Files that a command writes its results to.

#include <string>

#include "base/error.hpp"

namespace signalbox::app {

// Replaces the file. Errors: Unavailable.
base::Status write_file(const std::string& path, const std::string& text);
// Fails before the work if its result could not be written after it; an empty path is none. Errors: InvalidArgument.
base::Status check_writable(const std::string& path);

}  // namespace signalbox::app
