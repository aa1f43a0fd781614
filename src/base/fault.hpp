#pragma once
// A named fault of something that was checked: with a stable code that people search for, what was found, and the
// remedy. Subjects that check (networks) and subjects that decide by the result (jobs) share it.

#include <string>
#include <string_view>

namespace signalbox::base {

enum class Severity {
    Notice,    // worth knowing; it changes nothing
    Degraded,  // usable, but worse than it could be
    Unusable,
};

std::string_view to_string(Severity severity);

struct Fault {
    std::string code;  // "SB-NET-011", never reused for another meaning
    std::string name;  // "no-way-out"
    Severity severity = Severity::Notice;
    // True if it rests on a signal alone (a zone's reported health): such faults never rule out every candidate.
    bool signal = false;
    std::string message;  // what was found, naming the thing
    std::string remedy;   // what to do
    friend bool operator==(const Fault&, const Fault&) = default;
};

}  // namespace signalbox::base
