#include "divs/core/random.hpp"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace divs {
namespace {

__extension__ using Wide = unsigned __int128;

std::uint64_t mix(std::uint64_t x) noexcept {  // the finaliser of SplitMix64 (Steele, Lea, Flood, 2014)
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

double to_unit(std::uint64_t bits) noexcept { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> k) noexcept {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c[0];
        const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c[2];
        c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
             static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
        k[0] += 0x9E3779B9U;
        k[1] += 0xBB67AE85U;
    }
    return c;
}

Random::Random(std::uint64_t seed, Stream stream, std::uint64_t a, std::uint64_t b) noexcept {
    const std::uint64_t key = mix(mix(mix(mix(seed) ^ static_cast<std::uint64_t>(stream)) ^ a) ^ b);
    key_ = {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
}

std::uint64_t Random::bits(std::uint64_t index) const noexcept {
    const auto r = philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), 0, 0}, key_);
    return (std::uint64_t{r[1]} << 32) | r[0];
}

double Random::uniform(std::uint64_t index) const noexcept { return to_unit(bits(index)); }

double Random::uniform(std::uint64_t index, double low, double high) const noexcept {
    return low + (high - low) * uniform(index);
}

std::uint64_t Random::below(std::uint64_t index, std::uint64_t bound) const noexcept {
    // The bias of the multiply-shift is below bound / 2^64.
    return static_cast<std::uint64_t>((static_cast<Wide>(bits(index)) * bound) >> 64);
}

double Random::normal(std::uint64_t index) const noexcept {  // Box and Muller, 1958
    const auto r = philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), 1, 0}, key_);
    const double u = to_unit((std::uint64_t{r[1]} << 32) | r[0]);
    const double v = to_unit((std::uint64_t{r[3]} << 32) | r[2]);
    return std::sqrt(-2.0 * std::log1p(-u)) * std::cos(2.0 * std::numbers::pi * v);
}

std::vector<std::uint32_t> Random::permutation(std::uint32_t n) const {
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0U);
    for (std::uint32_t i = n; i > 1; --i) std::swap(order[i - 1], order[below(i, i)]);
    return order;
}

}  // namespace divs
