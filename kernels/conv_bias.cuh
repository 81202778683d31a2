// The gradient of a bias: a gradient's sums over pixels, channel by channel, in a fixed order.
#pragma once

#include "conv_geometry.hpp"
#include "launch.hpp"
#include "vector.hpp"

namespace divs::kernels {

inline constexpr int bias_threads = 256, bias_lanes = 16;
template <class T>
inline constexpr int bias_channels = bias_lanes* lanes<T>;  // of a block

// partial: (shares, pitch). Blocks: (shares of the pixels, blocks of channels).
template <class T>
__global__ void __launch_bounds__(bias_threads)
    conv_bias_kernel(const T* __restrict__ gradient, std::size_t pixels, int pitch,
                     float* __restrict__ partial) {
    constexpr int width = bias_channels<T>, rows = bias_threads / bias_lanes;
    __shared__ float sums[rows][width];
    const int thread = static_cast<int>(threadIdx.x), row = thread / bias_lanes;
    const int mine = thread % bias_lanes * lanes<T>, channel0 = static_cast<int>(blockIdx.y) * width;
    float sum[lanes<T>] = {};
    if (channel0 + mine < pitch)
        for (std::size_t p = static_cast<std::size_t>(blockIdx.x) * rows + static_cast<std::size_t>(row);
             p < pixels; p += static_cast<std::size_t>(gridDim.x) * rows) {
            float value[lanes<T>];
            load(gradient + p * static_cast<std::size_t>(pitch) + channel0 + mine, value);
#pragma unroll
            for (int i = 0; i < lanes<T>; ++i) sum[i] += value[i];
        }
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) sums[row][mine + i] = sum[i];
    __syncthreads();
    if (thread >= width || channel0 + thread >= pitch) return;
    float total = 0;
    for (int i = 0; i < rows; ++i) total += sums[i][thread];
    partial[static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(pitch) +
            static_cast<std::size_t>(channel0 + thread)] = total;
}

__global__ void __launch_bounds__(256)
    conv_bias_reduce_kernel(const float* __restrict__ partial, int shares, int pitch, int channels,
                            float* __restrict__ sums) {
    const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (c >= channels) return;
    float sum = 0;
    for (int i = 0; i < shares; ++i)
        sum += partial[static_cast<std::size_t>(i) * static_cast<std::size_t>(pitch) +
                       static_cast<std::size_t>(c)];
    sums[c] = sum;
}

}  // namespace divs::kernels
