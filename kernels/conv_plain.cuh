// The plain kernels: any shape, any groups, any shift, float32 arithmetic on the CUDA cores. What no faster
// kernel takes runs here, and so does exact float32.
#pragma once

#include "conv_finish.cuh"
#include "conv_geometry.hpp"
#include "launch.hpp"

namespace divs::kernels {

inline constexpr int plain_tile = 64, plain_depth = 16, plain_threads = 256;

// A 64 x 64 tile of products, 4 x 4 a thread. left(row, k) and right(column, k) give factors, 0 outside;
// `along_k` says that neighbouring k lie together in memory, else neighbouring rows do.
template <class Left, class Right>
__device__ void plain_products(int steps, bool along_k, const Left& left, const Right& right,
                               float (&sum)[4][4]) {
    __shared__ float a[plain_depth][plain_tile + 4], b[plain_depth][plain_tile + 4];
    const int thread = static_cast<int>(threadIdx.x), x = thread % 16, y = thread / 16;
    for (int step = 0; step < steps; ++step) {
#pragma unroll
        for (int i = 0; i < plain_tile * plain_depth / plain_threads; ++i) {
            const int index = thread + i * plain_threads;
            const int k = along_k ? index % plain_depth : index / plain_tile;
            const int row = along_k ? index / plain_depth : index % plain_tile;
            a[k][row] = left(row, step * plain_depth + k);
            b[k][row] = right(row, step * plain_depth + k);
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < plain_depth; ++k) {
            float l[4], r[4];
#pragma unroll
            for (int i = 0; i < 4; ++i) l[i] = a[k][y * 4 + i], r[i] = b[k][x * 4 + i];
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) sum[i][j] += l[i] * r[j];
        }
        __syncthreads();
    }
}

template <class T>
__global__ void __launch_bounds__(plain_threads, 2)
    conv_plain_gather_kernel(const __grid_constant__ Gather g, const T* __restrict__ source,
                             const T* __restrict__ weights, const __grid_constant__ Finish<T> finish,
                             T* __restrict__ target) {
    const int column_tiles = (g.columns + plain_tile - 1) / plain_tile;
    const int tile = static_cast<int>(blockIdx.x), row_tile = tile / column_tiles;
    const int row0 = row_tile * plain_tile, column0 = (tile - row_tile * column_tiles) * plain_tile;
    const int phase = static_cast<int>(blockIdx.y), group = static_cast<int>(blockIdx.z);
    const int phase_h = phase / g.phases_w, phase_w = phase - phase_h * g.phases_w;
    const int rows = g.rows(phase_h, phase_w);
    if (row0 >= rows) return;
    const Axis &h = g.h[phase_h], &w = g.w[phase_w];
    const Divider by_channels(g.reduced);
    const int total = h.taps * w.taps * g.reduced;
    auto left = [&](int row, int k) {
        if (row0 + row >= rows || k >= total) return 0.0F;
        const Chunk at = chunk_of(w, by_channels, 1, k);
        const int channel = group * g.reduced + at.channel;
        const int from = source_pixel(g, h, w, pixel_of(h, w, row0 + row), at.tap_h, at.tap_w,
                                      frame_offset(channel, g.shift_in));
        return from < 0
                   ? 0.0F
                   : to_float(
                         source[static_cast<std::size_t>(from) * static_cast<std::size_t>(g.source_pitch) +
                                static_cast<std::size_t>(channel)]);
    };
    auto right = [&](int column, int k) {
        if (column0 + column >= g.true_columns || k >= total) return 0.0F;
        const Chunk at = chunk_of(w, by_channels, 1, k);
        return to_float(weights[static_cast<std::size_t>(group * g.true_columns + column0 + column) *
                                    static_cast<std::size_t>(g.weight_pitch) +
                                static_cast<std::size_t>(weight_offset(g, h, w, at))]);
    };
    float sum[4][4] = {};
    plain_products((total + plain_depth - 1) / plain_depth, true, left, right, sum);

    const int thread = static_cast<int>(threadIdx.x), x = thread % 16, y = thread / 16;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int row = row0 + y * 4 + i;
        const TargetRow to = target_row(g, phase_h, phase_w, row);
        if (to.pixel < 0) continue;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int column = column0 + x * 4 + j;
            if (column >= g.columns) continue;
            float value[lanes<T>] = {sum[i][j]};
            finish_values(g, finish, to, group, column, 1, value, target);
        }
        // Channels behind the last are zero; with one group the columns cover them.
        if (g.groups > 1 && group == g.groups - 1 && column0 == 0 && x == 0)
            for (int c = g.groups * g.columns; c < g.target_pitch; ++c)
                target[static_cast<std::size_t>(to.pixel) * static_cast<std::size_t>(g.target_pitch) +
                       static_cast<std::size_t>(c)] = from_float<T>(0.0F);
    }
}

// partial: (splits, groups x group_k, columns), as in conv_weights.cuh.
template <class T>
__global__ void __launch_bounds__(plain_threads, 2)
    conv_plain_weights_kernel(const __grid_constant__ WeightGather g, const T* __restrict__ input,
                              const T* __restrict__ gradient, int splits, float* __restrict__ partial) {
    const int column_tiles = (g.columns + plain_tile - 1) / plain_tile;
    const int tile = static_cast<int>(blockIdx.x), row_tile = tile / column_tiles;
    const int row0 = row_tile * plain_tile, column0 = (tile - row_tile * column_tiles) * plain_tile;
    const int group = static_cast<int>(blockIdx.y), split = static_cast<int>(blockIdx.z);
    const int stages = (g.pixels + plain_depth - 1) / plain_depth, share = (stages + splits - 1) / splits;
    const int begin = share * split * plain_depth;
    const int end = begin + share * plain_depth < g.pixels ? begin + share * plain_depth : g.pixels;
    const Divider by_channels(g.group_c);
    auto left = [&](int row, int k) {
        const int pixel = begin + k;
        if (row0 + row >= g.group_k || pixel >= end) return 0.0F;
        return to_float(
            gradient[static_cast<std::size_t>(pixel) * static_cast<std::size_t>(g.shape.k_pitch()) +
                     static_cast<std::size_t>(group * g.group_k + row0 + row)]);
    };
    auto right = [&](int column, int k) {
        const int pixel = begin + k;
        if (column0 + column >= g.columns || pixel >= end) return 0.0F;
        const int slot = by_channels.quotient(column0 + column);
        const int channel = group * g.group_c + by_channels.remainder(column0 + column, slot);
        const int tap_h = g.by_s.quotient(slot);
        const int from =
            input_pixel(g, pixel, tap_h, g.by_s.remainder(slot, tap_h), frame_offset(channel, g.shape.shift));
        return from < 0
                   ? 0.0F
                   : to_float(
                         input[static_cast<std::size_t>(from) * static_cast<std::size_t>(g.shape.c_pitch()) +
                               static_cast<std::size_t>(channel)]);
    };
    float sum[4][4] = {};
    plain_products(begin < end ? (end - begin + plain_depth - 1) / plain_depth : 0, false, left, right, sum);
    const int thread = static_cast<int>(threadIdx.x), x = thread % 16, y = thread / 16;
    float* to = partial + static_cast<std::size_t>(split * g.shape.groups + group) *
                              static_cast<std::size_t>(g.group_k) * static_cast<std::size_t>(g.columns);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int row = row0 + y * 4 + i, column = column0 + x * 4 + j;
            if (row < g.group_k && column < g.columns)
                to[static_cast<std::size_t>(row) * static_cast<std::size_t>(g.columns) +
                   static_cast<std::size_t>(column)] = sum[i][j];
        }
}

}  // namespace divs::kernels
