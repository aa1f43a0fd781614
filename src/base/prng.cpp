#include "base/prng.hpp"

#include "base/assert.hpp"

namespace signalbox::base {
namespace {
std::uint64_t rotate_left(std::uint64_t value, int count) { return (value << count) | (value >> (64 - count)); }
}  // namespace

Prng::Prng(std::uint64_t seed) {
    for (std::uint64_t& word : state_) {
        seed += 0x9E3779B97F4A7C15ULL;
        std::uint64_t mixed = seed;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
        word = mixed ^ (mixed >> 31);
    }
}

std::uint64_t Prng::next() {
    const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate_left(state_[3], 45);
    return result;
}

std::uint64_t Prng::below(std::uint64_t bound) {
    SB_ASSERT(bound > 0, "a random number below zero does not exist");
    const std::uint64_t limit = bound * (UINT64_MAX / bound);
    std::uint64_t value = next();
    while (value >= limit) value = next();
    return value % bound;
}

double Prng::unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

}  // namespace signalbox::base
