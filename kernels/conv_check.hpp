// What a tuner needs to try convolutions out: random tensors, and samples of results worked out by the
// definition, with none of the arithmetic of the kernels that are tried.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "bf16.hpp"
#include "conv_geometry.hpp"

namespace divs::kernels {

// Uniform in (-1, 1), a function of (seed, element); zeros behind the channels of each pixel.
template <class T>
void fill_random(T* to, std::size_t pixels, int channels, int pitch, std::uint64_t seed, cudaStream_t stream);

// *count += elements that are not finite.
template <class T>
void count_not_finite(const T* values, std::size_t size, unsigned* count, cudaStream_t stream);

struct ConvSampleInput {
    ConvShape shape;
    int direction = 0;  // 0 forward, 1 backward-data, 2 backward-weights
    const float *master = nullptr, *bias = nullptr, *weight_gradient = nullptr;
    const void *in = nullptr, *out = nullptr, *residual = nullptr;
    ConvActivation activation = ConvActivation::none;
};
// results[i]: (expected, got) of the i-th of `samples` elements of the direction's result.
template <class T>
void conv_sample(const ConvSampleInput& input, int samples, std::uint64_t seed, float2* results,
                 cudaStream_t stream);

}  // namespace divs::kernels
