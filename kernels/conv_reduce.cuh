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

inline constexpr int reduce_threads = 256, reduce_slots = 32;  // slots brought together at a time

// Weights of one slot that a block takes.
constexpr int reduce_weights(int slots) {
    return reduce_threads / (slots < 8 ? slots < 4 ? slots < 2 ? 1 : 2 : 4 : 8);
}

// partial: (splits, groups x group_k, slots, group_c). gradient: (K, C / groups, R, S). Read with channels
// fastest and written with slots fastest, by way of shared memory, so that both lie together.
template <class T>
__global__ void __launch_bounds__(reduce_threads)
    conv_reduce_kernel(const __grid_constant__ WeightGather g, const T* __restrict__ partial, int splits,
                       float* __restrict__ gradient) {
    __shared__ float sums[reduce_threads / 8 * (reduce_slots + 1)];
    const ConvShape& x = g.shape;
    const int slots = x.r * x.s, true_k = x.k / x.groups, true_c = x.c / x.groups;
    const int rows = x.groups * g.group_k, here = reduce_weights(slots);
    const int first = static_cast<int>(blockIdx.x) * here, thread = static_cast<int>(threadIdx.x);
    const std::size_t size = static_cast<std::size_t>(rows) * static_cast<std::size_t>(g.columns);
    for (int slot0 = 0; slot0 < slots; slot0 += reduce_slots) {
        const int count = slots - slot0 < reduce_slots ? slots - slot0 : reduce_slots, pitch = count | 1;
        for (int i = thread; i < here * count; i += reduce_threads) {
            const int slot = i / here, weight = i - slot * here;
            const int row = (first + weight) / g.group_c, c = first + weight - row * g.group_c;
            if (row >= rows) continue;
            const T* from = partial + static_cast<std::size_t>(row) * static_cast<std::size_t>(g.columns) +
                            static_cast<std::size_t>((slot0 + slot) * g.group_c + c);
            float sum = 0;
#pragma unroll 4
            for (int split = 0; split < splits; ++split)
                sum += to_float(from[static_cast<std::size_t>(split) * size]);
            sums[weight * pitch + slot] = sum;
        }
        __syncthreads();
        for (int i = thread; i < here * count; i += reduce_threads) {
            const int weight = i / count, slot = i - weight * count;
            const int row = (first + weight) / g.group_c, c = first + weight - row * g.group_c;
            const int group = row / g.group_k, k = row - group * g.group_k;
            if (row < rows && k < true_k && c < true_c)
                gradient[oihw_offset(group * true_k + k, slot0 + slot, c, slots, true_c)] =
                    sums[weight * pitch + slot];
        }
        __syncthreads();
    }
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
