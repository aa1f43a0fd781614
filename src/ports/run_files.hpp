#pragma once
// The folders of runs, with their logs and exit statuses.

#include <string>

#include "base/error.hpp"

namespace signalbox::ports {

class RunFiles {
  public:
    virtual ~RunFiles() = default;
    // Makes the folder, which only our user can read; it may exist. Unavailable with the path.
    virtual base::Status make(const std::string& directory) = 0;
    // The end of what a node wrote, at most so many bytes; empty if there is none.
    virtual std::string log_tail(const std::string& directory, int rank, std::size_t bytes_max) = 0;
};

}  // namespace signalbox::ports
