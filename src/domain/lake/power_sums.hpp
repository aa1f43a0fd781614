#pragma once
// Mean, deviation and skew of whole numbers from n, Σx, Σx² and Σx³, kept exactly modulo 2¹²⁸: sums of parts can be
// added and taken away again, in any order, without an error that grows. A further sum tells whether they fit 128 bits.

#include <cstdint>
#include <optional>

namespace signalbox::lake {

class BlobWriter;
class BlobReader;

class PowerSums {
  public:
    void add(std::int64_t value);
    void add(const PowerSums& other);
    // Takes away what was added before.
    void subtract(const PowerSums& other);

    std::int64_t count() const { return count_; }
    // nullopt without values, and while a sum does not fit 128 bits (values past 2·10¹²).
    std::optional<double> mean() const;
    // The sample standard deviation; nullopt also below 2 values.
    std::optional<double> deviation() const;
    // Bias-corrected Fisher–Pearson skew, √(n(n−1))/(n−2) · m₃/m₂^1.5; 0 if all values are equal; nullopt also below 3.
    std::optional<double> skew() const;

    void encode(BlobWriter& out) const;
    static PowerSums decode(BlobReader& in);
    friend bool operator==(const PowerSums&, const PowerSums&) = default;

  private:
    struct Centred {
        double m2 = 0;
        double m3 = 0;
    };
    std::optional<Centred> centred() const;
    bool fits() const;

    std::int64_t count_ = 0;
    unsigned __int128 sum_ = 0;  // these wrap around
    unsigned __int128 sum2_ = 0;
    unsigned __int128 sum3_ = 0;
    unsigned __int128 size_ = 0;  // Σ of 1 + about |x|³/2⁹⁶: never wraps around
};

}  // namespace signalbox::lake
