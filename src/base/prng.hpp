#pragma once
// The one source of pseudo-random numbers for pure code: seeded by the caller, the same sequence everywhere.

#include <cstdint>

namespace signalbox::base {

// xoshiro256** seeded by splitmix64 (Blackman and Vigna, public domain description).
class Prng {
  public:
    explicit Prng(std::uint64_t seed);
    std::uint64_t next();
    // Uniform in [0, bound); bound > 0.
    std::uint64_t below(std::uint64_t bound);
    // Uniform in [0, 1).
    double unit();
    bool chance(double probability) { return unit() < probability; }

  private:
    std::uint64_t state_[4];
};

}  // namespace signalbox::base
