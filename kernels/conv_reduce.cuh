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

// partial: (splits, groups x group_k, slots, group_c). gradient: (K, C / groups, R, S). A thread an element
// of one split, channels fastest, so that the many reads lie together.
template <class T>
__global__ void __launch_bounds__(256)
    conv_reduce_kernel(const __grid_constant__ WeightGather g, const T* __restrict__ partial, int splits,
                       float* __restrict__ gradient) {
    const ConvShape& x = g.shape;
    const int slots = x.r * x.s, true_k = x.k / x.groups, true_c = x.c / x.groups;
    const int size = x.groups * g.group_k * g.columns;
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= size) return;
    const int row = i / g.columns, column = i - row * g.columns;
    const int slot = column / g.group_c, c = column - slot * g.group_c;
    const int group = row / g.group_k, k = row - group * g.group_k;
    if (c >= true_c || k >= true_k) return;
    float sum = 0;
    for (int split = 0; split < splits; ++split)
        sum += to_float(partial[static_cast<std::size_t>(split) * static_cast<std::size_t>(size) +
                                static_cast<std::size_t>(i)]);
    gradient[oihw_offset(group * true_k + k, slot, c, slots, true_c)] = sum;
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
