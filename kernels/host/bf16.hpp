// bfloat16 on the host, by the names and with the rounding of CUDA's.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "cuda_runtime_api.h"

namespace divs::kernels {

struct bf16 {
    std::uint16_t bits;
};

}  // namespace divs::kernels

inline float __bfloat162float(divs::kernels::bf16 x) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

// To the nearest, ties to even; a NaN stays one.
inline divs::kernels::bf16 __float2bfloat16_rn(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if (std::isnan(x)) return {0x7FFF};
    return {static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}
