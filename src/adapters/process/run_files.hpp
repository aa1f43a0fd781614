#pragma once
// The folders of runs on this machine's disk.

#include "ports/run_files.hpp"

namespace signalbox::process {

class RunFiles final : public ports::RunFiles {
  public:
    base::Status make(const std::string& directory) override;
    std::string log_tail(const std::string& directory, int rank, std::size_t bytes_max) override;
};

}  // namespace signalbox::process
