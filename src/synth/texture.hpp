// Lattice noise for surfaces: cheap, seamless, a function of place and seed.
#pragma once

#include <cmath>
#include <cstdint>

namespace divs::synth {

inline std::uint32_t lattice_hash(int x, int y, std::uint32_t seed) noexcept {
    std::uint32_t h =
        static_cast<std::uint32_t>(x) * 0x8DA6B343U ^ static_cast<std::uint32_t>(y) * 0xD8163841U ^ seed;
    h = (h ^ (h >> 15)) * 0x2C1B3C6DU;
    h = (h ^ (h >> 12)) * 0x297A2D39U;
    return h ^ (h >> 15);
}

// [0, 1)
inline float lattice_value(int x, int y, std::uint32_t seed) noexcept {
    return static_cast<float>(lattice_hash(x, y, seed) >> 8) * 0x1p-24F;
}

// Smooth noise with a period of one lattice cell, [0, 1).
inline float value_noise(float x, float y, std::uint32_t seed) noexcept {
    const float fx = std::floor(x), fy = std::floor(y);
    const int ix = static_cast<int>(fx), iy = static_cast<int>(fy);
    float u = x - fx, v = y - fy;
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    const float a = lattice_value(ix, iy, seed), b = lattice_value(ix + 1, iy, seed);
    const float c = lattice_value(ix, iy + 1, seed), d = lattice_value(ix + 1, iy + 1, seed);
    return a + (b - a) * u + (c - a) * v + (a - b - c + d) * u * v;
}

// Three octaves, about [0, 1).
inline float cloudy_noise(float x, float y, std::uint32_t seed) noexcept {
    return 0.57F * value_noise(x, y, seed) + 0.28F * value_noise(2.1F * x, 2.1F * y, seed + 1) +
           0.15F * value_noise(4.3F * x, 4.3F * y, seed + 2);
}

}  // namespace divs::synth
