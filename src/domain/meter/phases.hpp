#pragma once
// The phases of one failover, each found in the samples alone. Part of analysis.cpp; others use analysis.hpp.

#include "domain/meter/analysis.hpp"

namespace signalbox::meter {

// What the phases of one fault are looked for in.
struct PhaseScope {
    const Recording* recording = nullptr;  // its samples are sorted by completion
    const std::vector<PathResult>* paths = nullptr;
    MonoTime from{};         // what happened before it was before the failover
    MonoTime to{};           // the next fault, or the end of the measurement
    MonoTime start{};        // of the failover: its announcement if there was one, else the fault
    std::string old_writer;  // servers' own names (Recording::texts)
    std::string new_writer;
};

// The last "failover-started" in the minute before the fault.
std::optional<MonoTime> announced_start(const Recording& recording, MonoTime fault);

std::vector<Phase> find_phases(const PhaseScope& scope);

}  // namespace signalbox::meter
