// Depthwise convolutions (as many groups as channels, one output channel each): bound by memory, so a thread
// takes 16 bytes of channels and leaves the reuse of neighbouring pixels to the caches. Weights are read from
// the master, (C, 1, R, S) float32, into shared memory once a block.
#pragma once

#include "conv_finish.cuh"
#include "conv_geometry.hpp"
#include "launch.hpp"

namespace divs::kernels {

inline constexpr int depthwise_lanes = 16,
                     depthwise_threads = 256;  // packs of channels side by side; threads
inline constexpr int depthwise_pixels = depthwise_threads / depthwise_lanes;
inline constexpr int depthwise_taps = 9;  // whose weight sums a thread keeps in registers

template <class T>
inline constexpr int depthwise_channels = depthwise_lanes* lanes<T>;  // of a block

// Forward and backward-data. Blocks: (shares of the pixels, phases, blocks of channels). Dynamic shared
// memory: taps x channels of a block, float32.
template <class T>
__global__ void __launch_bounds__(depthwise_threads, 4)
    conv_depthwise_gather_kernel(const __grid_constant__ Gather g, int channels, int slots,
                                 const T* __restrict__ source, const float* __restrict__ weights,
                                 const __grid_constant__ Finish<T> finish, T* __restrict__ target) {
    constexpr int width = depthwise_channels<T>;
    const int phase = static_cast<int>(blockIdx.y), channel0 = static_cast<int>(blockIdx.z) * width;
    const int phase_h = phase / g.phases_w, phase_w = phase - phase_h * g.phases_w;
    const int thread = static_cast<int>(threadIdx.x);
    float* weight = dynamic_shared<float>();  // (slots, width)
    for (int i = thread; i < slots * width; i += depthwise_threads) {
        const int c = i % width, slot = i / width;
        weight[i] = channel0 + c < channels
                        ? weights[static_cast<std::size_t>(channel0 + c) * static_cast<std::size_t>(slots) +
                                  static_cast<std::size_t>(slot)]
                        : 0.0F;
    }
    __syncthreads();
    const int mine = thread % depthwise_lanes * lanes<T>, channel = channel0 + mine;
    if (channel >= g.target_pitch) return;
    const Axis &h = g.h[phase_h], &w = g.w[phase_w];
    const int rows = g.rows(phase_h, phase_w), offset = frame_offset(channel, g.shift_in);
    for (int row = static_cast<int>(blockIdx.x) * depthwise_pixels + thread / depthwise_lanes; row < rows;
         row += static_cast<int>(gridDim.x) * depthwise_pixels) {
        const Pixel at = pixel_of(h, w, row);
        float sum[lanes<T>] = {};
        for (int i = 0; i < h.taps; ++i)
            for (int j = 0; j < w.taps; ++j) {
                const int from = source_pixel(g, h, w, at, i, j, offset);
                if (from < 0) continue;
                float value[lanes<T>];
                load(source + static_cast<std::size_t>(from) * static_cast<std::size_t>(g.source_pitch) +
                         channel,
                     value);
                const int slot = (h.slot + i * h.slot_step) * g.slots_w + w.slot + j * w.slot_step;
#pragma unroll
                for (int k = 0; k < lanes<T>; ++k) sum[k] += value[k] * weight[slot * width + mine + k];
            }
        finish_values(g, finish, target_row(g, phase_h, phase_w, row), 0, channel, lanes<T>, sum, target);
    }
}

// partial: (shares, slots, pitch), float32. Blocks: (shares of the pixels, blocks of channels, groups of
// taps).
template <class T>
__global__ void __launch_bounds__(depthwise_threads)
    conv_depthwise_weights_kernel(const __grid_constant__ WeightGather g, const T* __restrict__ input,
                                  const T* __restrict__ gradient, float* __restrict__ partial) {
    constexpr int width = depthwise_channels<T>;
    __shared__ float sums[depthwise_pixels][width];
    const int thread = static_cast<int>(threadIdx.x), lane = thread / depthwise_lanes;
    const int mine = thread % depthwise_lanes * lanes<T>;
    const int channel = static_cast<int>(blockIdx.y) * width + mine, pitch = g.shape.c_pitch();
    const int slots = g.shape.r * g.shape.s, slot0 = static_cast<int>(blockIdx.z) * depthwise_taps;
    const int offset = frame_offset(channel, g.shape.shift);
    float sum[depthwise_taps][lanes<T>] = {};
    if (channel < pitch)
        for (int pixel = static_cast<int>(blockIdx.x) * depthwise_pixels + lane; pixel < g.pixels;
             pixel += static_cast<int>(gridDim.x) * depthwise_pixels) {
            float dy[lanes<T>];
            load(gradient + static_cast<std::size_t>(pixel) * static_cast<std::size_t>(pitch) + channel, dy);
#pragma unroll
            for (int i = 0; i < depthwise_taps; ++i) {
                const int slot = slot0 + i, tap_h = g.by_s.quotient(slot);
                const int from =
                    slot < slots ? input_pixel(g, pixel, tap_h, g.by_s.remainder(slot, tap_h), offset) : -1;
                if (from < 0) continue;
                float x[lanes<T>];
                load(input + static_cast<std::size_t>(from) * static_cast<std::size_t>(pitch) + channel, x);
#pragma unroll
                for (int k = 0; k < lanes<T>; ++k) sum[i][k] += x[k] * dy[k];
            }
        }
#pragma unroll
    for (int i = 0; i < depthwise_taps; ++i) {
#pragma unroll
        for (int k = 0; k < lanes<T>; ++k) sums[lane][mine + k] = sum[i][k];
        __syncthreads();
        const int c = static_cast<int>(blockIdx.y) * width + thread;
        if (thread < width && c < pitch && slot0 + i < slots) {
            float total = 0;
            for (int p = 0; p < depthwise_pixels; ++p) total += sums[p][thread];
            partial[(static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(slots) +
                     static_cast<std::size_t>(slot0 + i)) *
                        static_cast<std::size_t>(pitch) +
                    static_cast<std::size_t>(c)] = total;
        }
        __syncthreads();
    }
}

// gradient: (C, 1, R, S). A thread a weight.
__global__ void __launch_bounds__(256)
    conv_depthwise_reduce_kernel(int channels, int pitch, int slots, const float* __restrict__ partial,
                                 int shares, float* __restrict__ gradient) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= slots * channels) return;
    const int slot = i / channels, c = i - slot * channels;
    float sum = 0;
    for (int share = 0; share < shares; ++share)
        sum += partial[(static_cast<std::size_t>(share) * static_cast<std::size_t>(slots) +
                        static_cast<std::size_t>(slot)) *
                           static_cast<std::size_t>(pitch) +
                       static_cast<std::size_t>(c)];
    gradient[static_cast<std::size_t>(c) * static_cast<std::size_t>(slots) + static_cast<std::size_t>(slot)] =
        sum;
}

}  // namespace divs::kernels
