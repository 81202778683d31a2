// Partial sums of a weight gradient become the gradient: added in the order of the splits, so that the result
// repeats bit for bit, and brought into the order of the master weights, OIHW.
#pragma once

#include "conv_geometry.hpp"
#include "launch.hpp"
#include "vector.hpp"

namespace divs::kernels {

// Where weight (k, slot, c) of partial sums lies in OIHW; slots = R * S.
constexpr std::size_t oihw_offset(int k, int slot, int c, int slots, int channels) {
    return (static_cast<std::size_t>(k) * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)) *
               static_cast<std::size_t>(slots) +
           static_cast<std::size_t>(slot);
}

inline constexpr int reduce_threads = 256;

// partial: (splits, groups x group_k, slots, group_c). gradient: (K, C / groups, R, S). A block has `Weights`
// channels of one row: read with channels fastest and written with slots fastest, by way of shared memory,
// so that both lie together. Blocks: (rows, parts of a row).
template <class T, int Weights>
__global__ void __launch_bounds__(reduce_threads, 4)
    conv_reduce_kernel(const __grid_constant__ WeightGather g, const T* __restrict__ partial, int splits,
                       float* __restrict__ gradient) {
    float* sums = dynamic_shared<float>();  // (Weights, slots)
    const ConvShape& x = g.shape;
    const int slots = x.r * x.s, true_k = x.k / x.groups, true_c = x.c / x.groups;
    const int row = static_cast<int>(blockIdx.x), group = row / g.group_k, k = row - group * g.group_k;
    const int c0 = static_cast<int>(blockIdx.y) * Weights, thread = static_cast<int>(threadIdx.x);
    if (k >= true_k) return;
    const int weight = thread % Weights, c = c0 + weight;
    const std::size_t size =
        static_cast<std::size_t>(x.groups * g.group_k) * static_cast<std::size_t>(g.columns);
    if (c < true_c)
        for (int slot = thread / Weights; slot < slots; slot += reduce_threads / Weights) {
            const T* from = partial + static_cast<std::size_t>(row) * static_cast<std::size_t>(g.columns) +
                            static_cast<std::size_t>(slot * g.group_c + c);
            float sum = 0;
            int split = 0;
            for (; split + 4 <= splits; split += 4) {  // four reads in flight, added in order
                float part[4];
#pragma unroll
                for (int i = 0; i < 4; ++i)
                    part[i] = to_float(from[static_cast<std::size_t>(split + i) * size]);
#pragma unroll
                for (int i = 0; i < 4; ++i) sum += part[i];
            }
            for (; split < splits; ++split) sum += to_float(from[static_cast<std::size_t>(split) * size]);
            sums[weight * slots + slot] = sum;
        }
    __syncthreads();
    const int count = (true_c - c0 < Weights ? true_c - c0 : Weights) * slots;
    float* to = gradient + oihw_offset(group * true_k + k, 0, c0, slots, true_c);
    for (int i = thread; i < count; i += reduce_threads) to[i] = sums[i];
}

// Packs master weights: krsc or, `transposed`, crsk, as convolution.hpp has them.
template <class T>
__global__ void __launch_bounds__(256)
    conv_pack_kernel(const __grid_constant__ ConvShape x, bool transposed, const float* __restrict__ master,
                     T* __restrict__ packed) {
    const int slots = x.r * x.s, true_k = x.k / x.groups, true_c = x.c / x.groups;
    const int inner = transposed ? x.group_k() : x.group_c(), outer = transposed ? x.c : x.k;
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >=
        static_cast<std::size_t>(outer) * static_cast<std::size_t>(slots) * static_cast<std::size_t>(inner))
        return;
    const int line = static_cast<int>(i / static_cast<std::size_t>(inner));
    const int in = static_cast<int>(i - static_cast<std::size_t>(line) * static_cast<std::size_t>(inner));
    const int out = line / slots, slot = line - out * slots;
    const int group = out / (transposed ? true_c : true_k),
              within = out - group * (transposed ? true_c : true_k);
    const int k = transposed ? in : within, c = transposed ? within : in;
    const bool exists = k < true_k && c < true_c;
    packed[i] =
        from_float<T>(exists ? master[oihw_offset(group * true_k + k, slot, c, slots, true_c)] : 0.0F);
}

}  // namespace divs::kernels
