// The end of a gather kernel: sums of a tile, float32 in shared memory, become target pixels.
#pragma once

#include "conv_geometry.hpp"
#include "launch.hpp"
#include "vector.hpp"

namespace divs::kernels {

__device__ inline float activate(float x, ConvActivation activation) {
    if (activation == ConvActivation::none) return x;
    x = x < 0.0F ? 0.0F : x;  // a NaN stays one
    return activation == ConvActivation::relu6 && x > 6.0F ? 6.0F : x;
}

// Where a row of a phase is written.
struct TargetRow {
    int pixel = -1, image = 0;  // -1: behind the last row
    bool zero = false;          // written as zeros, not as what the row's sums are
};

__device__ inline TargetRow target_row(const Gather& g, int phase_h, int phase_w, int row) {
    if (row >= g.rows(phase_h, phase_w)) return {};
    const Axis &h = g.h[phase_h], &w = g.w[phase_w];
    const Pixel at = pixel_of(h, w, row);
    return {target_pixel(g, h, w, at.image, at.y, at.x), at.image};
}

// The same for a channel that may be shifted to another frame.
__device__ inline TargetRow target_of(const Gather& g, TargetRow row, int channel) {
    if (const int offset = frame_offset(channel, g.shift_out); offset != 0) {
        const int frame = g.by_frames.remainder(row.image, g.by_frames.quotient(row.image));
        const ShiftedTarget to = shifted_target(row.image, frame, g.frames, offset);
        row.pixel += (to.image - row.image) * g.target_h * g.target_w;
        row.zero = to.zero;
    }
    return row;
}

__device__ inline std::size_t element_of(const Gather& g, const TargetRow& row, int channel) {
    return static_cast<std::size_t>(row.pixel) * static_cast<std::size_t>(g.target_pitch) +
           static_cast<std::size_t>(channel);
}

// Writes a whole pack of one pixel, of channels that are shifted alike: `to` is target_of() any of them.
template <class T>
__device__ void finish_pack(const Gather& g, const Finish<T>& finish, const TargetRow& to, int group,
                            int column, float (&value)[lanes<T>], T* target) {
    const int channel = group * g.columns + column;
    const std::size_t place = element_of(g, to, channel);
    if (finish.bias) {
#pragma unroll
        for (int i = 0; i < lanes<T>; ++i)
            if (column + i < g.true_columns) value[i] += finish.bias[channel + i];
    }
    if (finish.residual) {
        float residual[lanes<T>];
        load(finish.residual + place, residual);
#pragma unroll
        for (int i = 0; i < lanes<T>; ++i) value[i] += residual[i];
    }
    if (finish.activation != ConvActivation::none) {
#pragma unroll
        for (float& v : value) v = activate(v, finish.activation);
    }
    if (to.zero) {
#pragma unroll
        for (float& v : value) v = 0;
    }
    store(value, target + place);
}

// Writes `count` <= lanes values of one pixel, from `column` of a group on.
template <class T>
__device__ void finish_values(const Gather& g, const Finish<T>& finish, const TargetRow& row, int group,
                              int column, int count, float (&value)[lanes<T>], T* target) {
    const int channel = group * g.columns + column;
    if (count == lanes<T> && g.columns % lanes<T> == 0 &&
        frame_offset(channel, g.shift_out) == frame_offset(channel + count - 1, g.shift_out))
        return finish_pack(g, finish, target_of(g, row, channel), group, column, value, target);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) {
        if (i >= count) break;
        const TargetRow to = target_of(g, row, channel + i);
        const std::size_t place = element_of(g, to, channel + i);
        float x = value[i];
        if (finish.bias && column + i < g.true_columns) x += finish.bias[channel + i];
        if (finish.residual) x += to_float(finish.residual[place]);
        target[place] = from_float<T>(to.zero ? 0.0F : activate(x, finish.activation));
    }
}

// Reads a pack of sums from shared memory.
template <int N>
__device__ void read_sums(const float* sums, float (&value)[N]) {
#pragma unroll
    for (int k = 0; k < N; k += 4) {
        const float4 four = *reinterpret_cast<const float4*>(sums + k);
        value[k] = four.x, value[k + 1] = four.y, value[k + 2] = four.z, value[k + 3] = four.w;
    }
}

// Rows row0... (of one phase) and columns column0... (of one group) from sums[row][column], `pitch` floats a
// row; `threads` threads share the work.
template <class T>
__device__ void finish_tile(const Gather& g, const Finish<T>& finish, int phase_h, int phase_w, int group,
                            int row0, int column0, int rows, int columns, const float* sums, int pitch,
                            int thread, int threads, T* target) {
    const int per_row = columns / lanes<T>;
    const bool whole = g.columns % lanes<T> == 0 && g.shift_out % lanes<T> == 0;
    for (int i = thread; i < rows * per_row; i += threads) {
        const int row = i / per_row, within = (i - row * per_row) * lanes<T>, column = column0 + within;
        TargetRow to = target_row(g, phase_h, phase_w, row0 + row);
        if (to.pixel < 0 || column >= g.columns) continue;
        float value[lanes<T>];
        read_sums(sums + row * pitch + within, value);
        if (whole) {
            if (g.shift_out > 0) to = target_of(g, to, group * g.columns + column);
            finish_pack(g, finish, to, group, column, value, target);
        } else {
            const int left = g.columns - column;
            finish_values(g, finish, to, group, column, left < lanes<T> ? left : lanes<T>, value, target);
        }
    }
}

}  // namespace divs::kernels
