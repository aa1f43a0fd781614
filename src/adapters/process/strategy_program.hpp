#pragma once
// Runs a user's strategy program: a child in a process group of its own, which is killed at its deadline, or when it
// says more than it may.

#include "ports/strategy_program.hpp"

namespace signalbox::process {

// What a program may write to its standard output.
inline constexpr std::size_t strategy_output_max = 64 * 1024;

class StrategyProgram final : public ports::StrategyProgram {
  public:
    // directory: where it runs.
    explicit StrategyProgram(std::string directory) : directory_(std::move(directory)) {}
    jobs::ProgramAnswer ask(const jobs::StrategyProgram& program, const base::json::object& question) override;

  private:
    std::string directory_;
};

}  // namespace signalbox::process
