// What the kernels of batch normalisation share, forward and backward: how threads go over pixels,
// how sums are joined, and how kernels are started.
#pragma once

#include <type_traits>

#include "block.hpp"
#include "norm.hpp"
#include "vector.hpp"

namespace divs::kernels::norms {

inline constexpr unsigned block = 256;         // threads
inline constexpr unsigned blocks_at_once = 2;  // on a multiprocessor: leaves each thread 128 registers
inline constexpr unsigned strip_rows = 32;     // threads that share out the strips of a channel

// Where this thread works: a pack of channels, and every `rows`-th pixel from `first` to `end`.
struct Place {
    int channel;  // first of its pack
    std::size_t first, end, rows;
    bool active;
};

template <int N>
__device__ Place place_of(const NormShape& shape) {
    const std::size_t strip = (shape.pixels + gridDim.y - 1) / gridDim.y, begin = blockIdx.y * strip;
    Place place;
    place.channel = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) * N);
    place.first = begin + threadIdx.y;
    place.end = begin + strip < shape.pixels ? begin + strip : shape.pixels;
    place.rows = blockDim.y;
    place.active = place.channel < shape.pitch;
    return place;
}

// Visits the pixels of a place, `Together` at a time: first all of them are read (read(element) gives a
// pack), so that as many reads are in flight, then all are used (use(pack, element)).
template <int Together, class Read, class Use>
__device__ void each_pixel(const Place& place, int pitch, const Read& read, const Use& use) {
    const std::size_t step = place.rows * static_cast<std::size_t>(pitch);
    const std::size_t end = place.end * static_cast<std::size_t>(pitch);
    std::size_t at = place.first * static_cast<std::size_t>(pitch) + static_cast<std::size_t>(place.channel);
    for (; at + (Together - 1) * step < end; at += Together * step) {
        decltype(read(at)) packs[Together];
#pragma unroll
        for (int i = 0; i < Together; ++i) packs[i] = read(at + static_cast<std::size_t>(i) * step);
#pragma unroll
        for (int i = 0; i < Together; ++i) use(packs[i], at + static_cast<std::size_t>(i) * step);
    }
#pragma unroll 1
    for (; at < end; at += step) use(read(at), at);
}

template <class T>
__device__ Pack<T> read_pack(const T* from) {
    return *reinterpret_cast<const Pack<T>*>(from);
}

// Sums two values a channel over the rows of the block, in shared memory, and writes them as the strip's
// part: partial (strips, 2, pitch).
template <int N>
__device__ void join_rows(const float (&a)[N], const float (&b)[N], const Place& place, int pitch,
                          float* partial) {
    float* shared = dynamic_shared<float>();  // (rows, packs, 2 N)
    const unsigned width = blockDim.x * 2 * N;
    float* mine = shared + threadIdx.y * width + threadIdx.x * 2 * N;
#pragma unroll
    for (int k = 0; k < N; ++k) {
        mine[k] = a[k];
        mine[N + k] = b[k];
    }
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) {
#pragma unroll
            for (int k = 0; k < 2 * N; ++k) mine[k] += mine[half * width + k];
        }
    }
    if (threadIdx.y != 0 || !place.active) return;
    float* strip = partial + static_cast<std::size_t>(blockIdx.y) * 2 * pitch;
#pragma unroll
    for (int k = 0; k < N; ++k) {
        strip[place.channel + k] = mine[k];
        strip[pitch + place.channel + k] = mine[N + k];
    }
}

// Joins the strips of 32 channels, in double, for the first row of threads: each row has strips as many apart
// as there are rows.
__device__ inline void join_strips(const float* partial, unsigned strips, int pitch, int channel, double& a,
                                   double& b) {
    __shared__ double shared[2][strip_rows][32];
    double sum_a = 0, sum_b = 0;
    constexpr unsigned together = 4;  // strips whose reads are in flight at once
    for (unsigned first = threadIdx.y; channel < pitch && first < strips; first += together * strip_rows) {
        float part_a[together] = {}, part_b[together] = {};
#pragma unroll
        for (unsigned i = 0; i < together; ++i)
            if (const unsigned s = first + i * strip_rows; s < strips) {
                part_a[i] = partial[static_cast<std::size_t>(s) * 2 * pitch + channel];
                part_b[i] = partial[static_cast<std::size_t>(s) * 2 * pitch + pitch + channel];
            }
#pragma unroll
        for (unsigned i = 0; i < together; ++i) {
            sum_a += static_cast<double>(part_a[i]);
            sum_b += static_cast<double>(part_b[i]);
        }
    }
    shared[0][threadIdx.y][threadIdx.x] = sum_a;
    shared[1][threadIdx.y][threadIdx.x] = sum_b;
    __syncthreads();
    a = b = 0;
    for (unsigned row = 0; threadIdx.y == 0 && row < strip_rows; ++row) {
        a += shared[0][row][threadIdx.x];
        b += shared[1][row][threadIdx.x];
    }
}

// The normalised, scaled and moved value of the channels of a pack is x factor + constant.
template <int N>
struct Line {
    float factor[N], constant[N];
};

template <int N>
__device__ void read_line(const NormState& state, const NormParameters& parameters, int channel, int channels,
                          Line<N>& line) {
    float mean[N];
    load(state.mean + channel, mean);
    load(state.inverse + channel, line.factor);
#pragma unroll
    for (int k = 0; k < N; ++k) {
        const bool used = channel + k < channels;
        line.factor[k] *= used ? parameters.weight[channel + k] : 0.0F;
        line.constant[k] = (used ? parameters.bias[channel + k] : 0.0F) - mean[k] * line.factor[k];
    }
}

// Calls work(constant) with the curve as a type's value.
template <class Work>
void with_curve(Curve curve, const Work& work) {
    if (curve == Curve::none) return work(std::integral_constant<Curve, Curve::none>{});
    if (curve == Curve::relu) return work(std::integral_constant<Curve, Curve::relu>{});
    work(std::integral_constant<Curve, Curve::relu6>{});
}

inline dim3 grid_of(const NormGrid& grid) {
    return dim3(grid.column_blocks, grid.strips);
}
inline dim3 block_of(const NormGrid& grid) {
    return dim3(grid.packs_a_block, grid.rows_a_block);
}
template <class T>
std::size_t shared_of() {
    return block * 2 * lanes<T> * sizeof(float);
}
inline unsigned channel_blocks(int pitch) {
    return blocks_for(static_cast<std::size_t>(pitch), 32);
}

}  // namespace divs::kernels::norms
