#pragma once
// Mean, deviation and skew of whole numbers from n, Σx, Σx² and Σx³, kept exactly in 128 bits: sums of parts can be
// added and taken away again without a rounding error that grows.

#include <cstdint>
#include <optional>

namespace signalbox::lake {

class PowerSums {
  public:
    void add(std::int64_t value);
    void add(const PowerSums& other);
    // Takes away what was added before.
    void subtract(const PowerSums& other);

    std::int64_t count() const { return count_; }
    // nullopt without values, and once a sum has outgrown 128 bits (values past 5·10¹²).
    std::optional<double> mean() const;
    // The sample standard deviation; nullopt also below 2 values.
    std::optional<double> deviation() const;
    // Bias-corrected Fisher–Pearson skew, √(n(n−1))/(n−2) · m₃/m₂^1.5; 0 if all values are equal; nullopt also below 3.
    std::optional<double> skew() const;

  private:
    struct Centred {
        double m2 = 0;
        double m3 = 0;
    };
    std::optional<Centred> centred() const;

    std::int64_t count_ = 0;
    __int128 sum_ = 0;
    __int128 sum2_ = 0;
    __int128 sum3_ = 0;
    bool overflowed_ = false;
};

}  // namespace signalbox::lake
