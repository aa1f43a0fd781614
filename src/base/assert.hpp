#pragma once
// SB_ASSERT(condition, "why it must hold"): a broken invariant ends the program in every build, before it can do harm.

namespace signalbox::base {
[[noreturn]] void assertion_failed(const char* condition, const char* why, const char* file, int line);
}

#define SB_ASSERT(condition, why) \
    ((condition) ? static_cast<void>(0) : ::signalbox::base::assertion_failed(#condition, why, __FILE__, __LINE__))
