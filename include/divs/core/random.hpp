// Seeded random numbers without state: every number is a function of its key, so nothing depends on the order of
// calls, on the rank that asks or on a restart.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace divs {

// What a number is for. Two streams with the same other keys are independent.
enum class Stream : std::uint32_t { initialise, shuffle, augment, dropout, synth, test };

// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) noexcept;

// The key of one family of numbers: (seed, stream, a, b), e.g. (seed, augment, epoch, sample).
// element() and its kin then give the number of one index.
class Random {
  public:
    Random(std::uint64_t seed, Stream stream, std::uint64_t a = 0, std::uint64_t b = 0) noexcept;

    std::uint64_t bits(std::uint64_t index) const noexcept;
    double uniform(std::uint64_t index) const noexcept;                              // [0, 1)
    double uniform(std::uint64_t index, double low, double high) const noexcept;     // [low, high)
    std::uint64_t below(std::uint64_t index, std::uint64_t bound) const noexcept;    // [0, bound), bound > 0
    double normal(std::uint64_t index) const noexcept;                               // mean 0, deviation 1

    // A random order of 0..n-1 (Fisher-Yates).
    std::vector<std::uint32_t> permutation(std::uint32_t n) const;

  private:
    std::array<std::uint32_t, 2> key_;
};

}  // namespace divs
