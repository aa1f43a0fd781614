#pragma once
// Starts a supervisor that detaches itself, and learns whether it took its node.

#include <string>
#include <utility>
#include <vector>

#include "base/time.hpp"

namespace signalbox::process {

struct Spawn {
    std::vector<std::string> command;      // the program by its path, then its arguments
    std::vector<std::string> environment;  // "K=V"; the whole environment
    std::string directory;                 // where it runs
};

struct SpawnResult {
    enum class Kind {
        Detached,  // it said that it took the node, and lives on its own
        Refused,   // it ended by itself without taking the node
        Unknown,   // neither, within the time
    };
    Kind kind = Kind::Unknown;
    std::string text;  // what it said, or what went wrong
};

// The process gets /dev/null as its input, no descriptor of ours, a session of its own, and default signals. It leaves
// no zombie. Safe to call in a process with threads. Text with a NUL byte must not occur.
SpawnResult spawn_detached(const Spawn& spawn, base::Duration timeout);

// What a plain process gets besides what is configured for it: PATH, LANG, HOME and USER of this account, the same
// whoever calls. Nothing of the caller's own environment, which may hold secrets.
std::vector<std::pair<std::string, std::string>> plain_environment();

}  // namespace signalbox::process
