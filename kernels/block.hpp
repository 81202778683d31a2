// Sums over the threads of a warp and of a block.
#pragma once

#include "launch.hpp"

namespace divs::kernels {

inline constexpr unsigned all_lanes = 0xFFFFFFFFU;

template <class T>
__device__ T warp_sum(T value) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(all_lanes, value, step);
    return value;
}

// The sum of a block of `Threads` threads (whole warps), to all of its threads. Once a kernel.
template <int Threads, class T>
__device__ T block_sum(T value) {
    constexpr int warps = Threads / 32;
    __shared__ T parts[warps];
    value = warp_sum(value);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    T sum = parts[0];
#pragma unroll
    for (int i = 1; i < warps; ++i) sum += parts[i];
    return sum;
}

inline unsigned blocks_for(std::size_t work, int block) {
    return static_cast<unsigned>((work + static_cast<std::size_t>(block) - 1) /
                                 static_cast<std::size_t>(block));
}

}  // namespace divs::kernels
