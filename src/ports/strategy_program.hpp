#pragma once
// A user's own strategy: a program that orders a job's connections.

#include "base/json.hpp"
#include "domain/jobs/decision.hpp"

namespace signalbox::ports {

class StrategyProgram {
  public:
    virtual ~StrategyProgram() = default;
    // Asks the program, which gets the question as JSON and answers with names, a line each, within its deadline.
    // Blocking. Whatever goes wrong is the answer's fault: the caller falls back, and says so.
    virtual jobs::ProgramAnswer ask(const jobs::StrategyProgram& program, const base::json::object& question) = 0;
};

}  // namespace signalbox::ports
