// Activations. A slope is worked out from the output, so that nothing else need be kept.
#pragma once

#include "bf16.hpp"

namespace divs::kernels {

enum class Curve { none, relu, relu6 };

__host__ __device__ inline float bend(Curve curve, float x) {
    if (curve == Curve::none) return x;
    const float positive = x < 0 ? 0.0F : x;  // a NaN stays one
    return curve == Curve::relu6 && positive > 6 ? 6.0F : positive;
}

__host__ __device__ inline float slope(Curve curve, float y) {
    return curve == Curve::none || (y > 0 && (curve == Curve::relu || y < 6)) ? 1.0F : 0.0F;
}

}  // namespace divs::kernels
