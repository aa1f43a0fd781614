#pragma once
// How every command speaks: errors on standard error as "signalbox: …", results on standard output as a table or JSON.

#include <cstdio>
#include <string>

#include "base/error.hpp"
#include "base/json.hpp"

namespace signalbox::app {

// Prints each line of the error's text and returns its exit code.
inline int report(const base::Error& error) {
    std::fprintf(stderr, "signalbox: %s\n", error.text().c_str());
    return base::exit_code(error.kind);
}

inline void print(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

}  // namespace signalbox::app
