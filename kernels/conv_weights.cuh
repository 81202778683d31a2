// Backward-weights as an implicit matrix product on the tensor cores of sm_80 and later (mma.sync): gradient
// (rows = output channels, columns = taps x input channels) = output gradient, transposed, x gathered input,
// summed over the pixels of the output. Both lie with the summed index as rows. Blocks share out the pixels
// too; each writes its own partial sums, and conv_reduce.cuh adds those in a fixed order.
#pragma once

#include "conv_geometry.hpp"
#include "conv_tile.hpp"
#include "matrix_unit.hpp"
#include "vector.hpp"

namespace divs::kernels {

template <class T, int Rows, int Columns, int WarpsDown, int WarpsAcross, int Stages>
struct WeightTile {
    static constexpr int rows = Rows, columns = Columns, stages = Stages;
    static constexpr int warps_down = WarpsDown, warps_across = WarpsAcross;
    static constexpr int threads = 32 * WarpsDown * WarpsAcross;
    static constexpr int warp_rows = Rows / WarpsDown, warp_columns = Columns / WarpsAcross;
    static constexpr int depth = 128 / static_cast<int>(sizeof(T));  // pixels a stage
    static constexpr int row_chunks = Rows / lanes<T>, column_chunks = Columns / lanes<T>;
    static constexpr int stage_bytes = depth * (row_chunks + column_chunks) * chunk_bytes;
    static constexpr int shared_bytes = Stages * stage_bytes;
    static_assert(warp_rows % 16 == 0 && warp_columns % 16 == 0 && threads % row_chunks == 0 &&
                  threads % column_chunks == 0 && depth * row_chunks % threads == 0 &&
                  depth * column_chunks % threads == 0);
};

// Of `pixels`, in whole stages, the part that split number `index` of `splits` sums: [begin, end).
struct PixelRange {
    int begin, end;
};
constexpr PixelRange pixels_of_split(int pixels, int depth, int splits, int index) {
    const int stages = ceil_div(pixels, depth), share = ceil_div(stages, splits);
    const int begin = share * index * depth, end = share * (index + 1) * depth;
    return {begin < pixels ? begin : pixels, end < pixels ? end : pixels};
}

template <class T>
constexpr int word_tile_offset(int row, int chunk, int chunks) {
    return sizeof(T) == 4 ? tile_offset_words(row, chunk, chunks) : tile_offset(row, chunk, chunks);
}

template <class T, class Tile>
struct WeightCopier {
    __device__ WeightCopier(const WeightGather& gather, const T* x, const T* dy, int group, int row0,
                            int column0)
        : g(gather), input(x), gradient(dy) {
        const int thread = static_cast<int>(threadIdx.x);
        left_chunk = thread % Tile::row_chunks;
        left_row = thread / Tile::row_chunks;
        const int k = row0 + left_chunk * lanes<T>;
        left_valid = k < g.group_k;
        left_channel = group * g.group_k + k;
        right_chunk = thread % Tile::column_chunks;
        right_row = thread / Tile::column_chunks;
        const int column = column0 + right_chunk * lanes<T>;
        right_valid = column < g.columns;
        const int slot = column / g.group_c, channel = column - slot * g.group_c;
        tap_h = g.by_s.quotient(slot);
        tap_w = g.by_s.remainder(slot, tap_h);
        right_channel = group * g.group_c + channel;
        offset = frame_offset(right_channel, g.shape.shift);
    }

    __device__ void copy(int pixel0, int end, char* left, char* right) const {
        constexpr int left_step = Tile::threads / Tile::row_chunks,
                      right_step = Tile::threads / Tile::column_chunks;
#pragma unroll
        for (int i = 0; i < Tile::depth / left_step; ++i) {
            const int row = left_row + i * left_step, pixel = pixel0 + row;
            const bool valid = left_valid && pixel < end;
            const std::size_t at =
                valid ? static_cast<std::size_t>(pixel) * static_cast<std::size_t>(g.shape.k_pitch()) +
                            static_cast<std::size_t>(left_channel)
                      : 0;
            copy_async(left + word_tile_offset<T>(row, left_chunk, Tile::row_chunks), gradient + at, valid);
        }
#pragma unroll
        for (int i = 0; i < Tile::depth / right_step; ++i) {
            const int row = right_row + i * right_step, pixel = pixel0 + row;
            const int from = right_valid && pixel < end ? input_pixel(g, pixel, tap_h, tap_w, offset) : -1;
            const std::size_t at =
                from >= 0 ? static_cast<std::size_t>(from) * static_cast<std::size_t>(g.shape.c_pitch()) +
                                static_cast<std::size_t>(right_channel)
                          : 0;
            copy_async(right + word_tile_offset<T>(row, right_chunk, Tile::column_chunks), input + at,
                       from >= 0);
        }
    }

    const WeightGather& g;
    const T *input, *gradient;
    int left_chunk, left_row, left_channel, right_chunk, right_row, right_channel, tap_h, tap_w, offset;
    bool left_valid, right_valid;
};

// A word of a tile of float32.
__device__ inline std::uint32_t tile_word(const char* tile, int row, int column, int chunks) {
    return *reinterpret_cast<const std::uint32_t*>(tile + tile_offset_words(row, column / 4, chunks) +
                                                   column % 4 * 4);
}

// Factors of one step of the sum (16 pixels of bfloat16, 8 of float32) from tiles whose rows are pixels.
template <class Tile>
__device__ void load_left(std::uint32_t (&a)[4], const char* tile, int pixel, int column, int lane, bf16) {
    const TilePlace p = left_place_transposed(lane);
    load_matrices_transposed(a, tile + tile_offset(pixel + p.row, column / 8 + p.chunk, Tile::row_chunks));
}
template <class Tile>
__device__ void load_right(std::uint32_t (&b)[4], const char* tile, int pixel, int column, int lane, bf16) {
    const TilePlace p = right_place_transposed(lane);
    load_matrices_transposed(b, tile + tile_offset(pixel + p.row, column / 8 + p.chunk, Tile::column_chunks));
}
template <class Tile>
__device__ void load_left(std::uint32_t (&a)[4], const char* tile, int pixel, int column, int lane, float) {
    const int k = lane & 3, m = lane >> 2;
#pragma unroll
    for (int i = 0; i < 4; ++i)
        a[i] = tile_word(tile, pixel + k + i / 2 * 4, column + m + i % 2 * 8, Tile::row_chunks);
}
template <class Tile>
__device__ void load_right(std::uint32_t (&b)[4], const char* tile, int pixel, int column, int lane, float) {
    const int k = lane & 3, n = lane >> 2;
#pragma unroll
    for (int i = 0; i < 4; ++i)
        b[i] = tile_word(tile, pixel + k + i % 2 * 4, column + n + i / 2 * 8, Tile::column_chunks);
}

template <class T, class Tile>
__device__ void multiply_pixels(const char* left, const char* right,
                                float (&sum)[Tile::warp_rows / 16][Tile::warp_columns / 8][4]) {
    constexpr int step = 32 / static_cast<int>(sizeof(T));  // pixels an instruction sums
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int row0 = warp / Tile::warps_across * Tile::warp_rows;
    const int column0 = warp % Tile::warps_across * Tile::warp_columns;
#pragma unroll
    for (int pixel = 0; pixel < Tile::depth; pixel += step) {
        std::uint32_t a[Tile::warp_rows / 16][4], b[Tile::warp_columns / 16][4];
#pragma unroll
        for (int i = 0; i < Tile::warp_rows / 16; ++i)
            load_left<Tile>(a[i], left, pixel, row0 + i * 16, lane, T{});
#pragma unroll
        for (int j = 0; j < Tile::warp_columns / 16; ++j)
            load_right<Tile>(b[j], right, pixel, column0 + j * 16, lane, T{});
#pragma unroll
        for (int i = 0; i < Tile::warp_rows / 16; ++i)
#pragma unroll
            for (int j = 0; j < Tile::warp_columns / 8; ++j)
                multiply(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1], T{});
    }
}

// partial: (splits, groups x group_k, columns), float32; every element of it is written.
template <class T, class Tile>
__global__ void __launch_bounds__(Tile::threads)
    conv_weights_kernel(const __grid_constant__ WeightGather g, const T* __restrict__ input,
                        const T* __restrict__ gradient, int splits, float* __restrict__ partial) {
    const int column_tiles = (g.columns + Tile::columns - 1) / Tile::columns;
    const int tile = static_cast<int>(blockIdx.x), row_tile = tile / column_tiles;
    const int row0 = row_tile * Tile::rows, column0 = (tile - row_tile * column_tiles) * Tile::columns;
    const int group = static_cast<int>(blockIdx.y), split = static_cast<int>(blockIdx.z);
    const PixelRange range = pixels_of_split(g.pixels, Tile::depth, splits, split);

    char* shared = dynamic_shared<char>();
    const WeightCopier<T, Tile> copier(g, input, gradient, group, row0, column0);
    const int steps = (range.end - range.begin + Tile::depth - 1) / Tile::depth;
    auto left = [&](int stage) { return shared + stage * Tile::stage_bytes; };
    auto right = [&](int stage) { return left(stage) + Tile::depth * Tile::row_chunks * chunk_bytes; };
    auto copy = [&](int step, int stage) {
        copier.copy(range.begin + step * Tile::depth, range.end, left(stage), right(stage));
    };
    float sum[Tile::warp_rows / 16][Tile::warp_columns / 8][4] = {};
#pragma unroll
    for (int stage = 0; stage < Tile::stages - 1; ++stage) {
        if (stage < steps) copy(stage, stage);
        commit_copies();
    }
    int stage = 0, ahead = Tile::stages - 1;
    for (int step = 0; step < steps; ++step) {
        wait_copies<Tile::stages - 2>();
        __syncthreads();
        if (step + Tile::stages - 1 < steps) copy(step + Tile::stages - 1, ahead);
        commit_copies();
        multiply_pixels<T, Tile>(left(stage), right(stage), sum);
        if (++stage == Tile::stages) stage = 0;
        if (++ahead == Tile::stages) ahead = 0;
    }
    wait_copies<0>();

    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    float* to = partial + static_cast<std::size_t>(split * g.shape.groups + group) *
                              static_cast<std::size_t>(g.group_k) * static_cast<std::size_t>(g.columns);
#pragma unroll
    for (int i = 0; i < Tile::warp_rows / 16; ++i)
#pragma unroll
        for (int j = 0; j < Tile::warp_columns / 8; ++j)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const Element e = product_element(lane, half * 2);
                const int row = row0 + warp / Tile::warps_across * Tile::warp_rows + i * 16 + e.row;
                const int column =
                    column0 + warp % Tile::warps_across * Tile::warp_columns + j * 8 + e.column;
                if (row < g.group_k && column < g.columns)  // columns are even
                    *reinterpret_cast<float2*>(
                        to + static_cast<std::size_t>(row) * static_cast<std::size_t>(g.columns) + column) =
                        float2{sum[i][j][half * 2], sum[i][j][half * 2 + 1]};
            }
}

}  // namespace divs::kernels
