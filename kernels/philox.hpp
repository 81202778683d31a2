// The random function of core/random, for kernels: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) under
// a key mixed by the finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace divs::kernels {

__host__ __device__ inline std::uint64_t random_mix(std::uint64_t x) {
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

__host__ __device__ inline std::uint64_t random_key(std::uint64_t seed, std::uint64_t stream, std::uint64_t a,
                                                    std::uint64_t b) {
    return random_mix(random_mix(random_mix(random_mix(seed) ^ stream) ^ a) ^ b);
}

// The 64 bits of one index.
__host__ __device__ inline std::uint64_t random_bits(std::uint64_t key, std::uint64_t index) {
    std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32),
                  c2 = 0, c3 = 0;
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c0, p1 = std::uint64_t{0xCD9E8D57U} * c2;
        const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
        const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c1 = static_cast<std::uint32_t>(p1);
        c3 = static_cast<std::uint32_t>(p0);
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    return (std::uint64_t{c1} << 32) | c0;
}

}  // namespace divs::kernels
