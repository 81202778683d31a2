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

// Writes `count` <= lanes values of one pixel, from `column` of a group on.
template <class T>
__device__ void finish_values(const Gather& g, const Finish<T>& finish, int phase_h, int phase_w, int group,
                              const Pixel& at, int column, int count, float (&value)[lanes<T>], T* target) {
    const int channel = group * g.columns + column;
    ShiftedTarget to{at.image, false};
    bool split = false;
    if (g.shift_out > 0) {
        const int offset = frame_offset(channel, g.shift_out);
        to = shifted_target(at.image, g.frames, offset);
        split = frame_offset(channel + count - 1, g.shift_out) != offset;
    }
    const Axis &h = g.h[phase_h], &w = g.w[phase_w];
    const std::size_t pixel = static_cast<std::size_t>(target_pixel(g, h, w, to.image, at.y, at.x));
    const std::size_t place =
        pixel * static_cast<std::size_t>(g.target_pitch) + static_cast<std::size_t>(channel);
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i)
        if (finish.bias && i < count && column + i < g.true_columns) value[i] += finish.bias[channel + i];
    if (count == lanes<T> && g.columns % lanes<T> == 0 && !split) {
        if (finish.residual) {
            float residual[lanes<T>];
            load(finish.residual + place, residual);
#pragma unroll
            for (int i = 0; i < lanes<T>; ++i) value[i] += residual[i];
        }
#pragma unroll
        for (int i = 0; i < lanes<T>; ++i) value[i] = to.zero ? 0.0F : activate(value[i], finish.activation);
        store(value, target + place);
        return;
    }
#pragma unroll
    for (int i = 0; i < lanes<T>; ++i) {
        if (i >= count) break;
        const ShiftedTarget own = shifted_target(at.image, g.frames, frame_offset(channel + i, g.shift_out));
        const std::size_t own_place = static_cast<std::size_t>(target_pixel(g, h, w, own.image, at.y, at.x)) *
                                          static_cast<std::size_t>(g.target_pitch) +
                                      static_cast<std::size_t>(channel + i);
        float x = value[i];
        if (finish.residual) x += to_float(finish.residual[own_place]);
        target[own_place] = from_float<T>(own.zero ? 0.0F : activate(x, finish.activation));
    }
}

// Rows row0... (of one phase) and columns column0... (of one group) from sums[row][column], `pitch` floats a
// row; `threads` threads share the work.
template <class T>
__device__ void finish_tile(const Gather& g, const Finish<T>& finish, int phase_h, int phase_w, int group,
                            int row0, int column0, int rows, int columns, const float* sums, int pitch,
                            int thread, int threads, T* target) {
    const int per_row = columns / lanes<T>, last = g.rows(phase_h, phase_w);
    for (int i = thread; i < rows * per_row; i += threads) {
        const int row = i / per_row, column = (i - row * per_row) * lanes<T>;
        if (row0 + row >= last || column0 + column >= g.columns) continue;
        const int left = g.columns - column0 - column;
        float value[lanes<T>];
#pragma unroll
        for (int k = 0; k < lanes<T>; k += 4) {
            const float4 four = *reinterpret_cast<const float4*>(sums + row * pitch + column + k);
            value[k] = four.x, value[k + 1] = four.y, value[k + 2] = four.z, value[k + 3] = four.w;
        }
        finish_values(g, finish, phase_h, phase_w, group, pixel_of(g.h[phase_h], g.w[phase_w], row0 + row),
                      column0 + column, left < lanes<T> ? left : lanes<T>, value, target);
    }
}

}  // namespace divs::kernels
