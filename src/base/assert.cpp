#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace signalbox::base {

void assertion_failed(const char* condition, const char* why, const char* file, int line) {
    std::fprintf(stderr, "signalbox: broken invariant at %s:%d: %s (%s)\n", file, line, why, condition);
    std::abort();
}

}  // namespace signalbox::base
