// Forward and backward-data as implicit matrix products on the tensor cores of sm_80 and later (mma.sync):
// target (rows = pixels, columns = channels) = gathered source (rows, taps x channels) x weights. Tiles of
// 128 bytes of the sum at a time come in by cp.async, several stages ahead; what lies outside the source
// comes in as zeros.
#pragma once

#include "conv_finish.cuh"
#include "conv_tile.hpp"
#include "matrix_unit.hpp"

namespace divs::kernels {

// Rows and columns of a block's tile; warps that share them; stages of the pipeline.
template <int Rows, int Columns, int WarpsDown, int WarpsAcross, int Stages>
struct GatherTile {
    static constexpr int rows = Rows, columns = Columns, stages = Stages;
    static constexpr int warps_down = WarpsDown, warps_across = WarpsAcross;
    static constexpr int threads = 32 * WarpsDown * WarpsAcross;
    static constexpr int warp_rows = Rows / WarpsDown, warp_columns = Columns / WarpsAcross;
    static constexpr int chunks = 8;  // a row of a stage: 128 bytes
    static constexpr int stage_bytes = (Rows + Columns) * chunks * chunk_bytes;
    static constexpr int sum_pitch = Columns + 8;  // floats
    static constexpr int sum_bytes = Rows * sum_pitch * 4;
    static constexpr int shared_bytes = Stages * stage_bytes > sum_bytes ? Stages* stage_bytes : sum_bytes;
    static_assert(warp_rows % 16 == 0 && warp_columns % 16 == 0 && Columns * chunks % threads == 0 &&
                  Rows * chunks % threads == 0);
};

// What one thread copies: one column of chunks of every (threads / 8)-th row of both tiles.
template <class T, class Tile>
struct GatherCopier {
    static constexpr int step = Tile::threads / Tile::chunks;
    static constexpr int mine = Tile::rows / step, mine_columns = Tile::columns / step;

    __device__ GatherCopier(const Gather& gather, const Axis& axis_h, const Axis& axis_w, const T* from,
                            const T* weights, int group_index, int row0, int first_column)
        : g(gather), h(axis_h), w(axis_w), source(from), group(group_index), column0(first_column) {
        const int thread = static_cast<int>(threadIdx.x);
        chunk = thread % Tile::chunks;
        row = thread / Tile::chunks;
        by_chunks = Divider(g.reduced / lanes<T>);
        total = h.taps * w.taps * (g.reduced / lanes<T>);
        const int rows = g.images * h.positions * w.positions;
#pragma unroll
        for (int i = 0; i < mine; ++i) {
            const int index = row0 + row + i * step;
            pixel[i] = index < rows ? pixel_of(h, w, index) : Pixel{-1, 0, 0};
        }
        weight = weights + static_cast<std::size_t>(group * g.true_columns + column0 + row) *
                               static_cast<std::size_t>(g.weight_pitch);
    }

    // Stage number `step_index` of the sum, to a stage's memory.
    __device__ void copy(int step_index, char* left, char* right) const {
        const int index = step_index * Tile::chunks + chunk;
        const bool inside = index < total;
        const Chunk at = chunk_of(w, by_chunks, lanes<T>, inside ? index : 0);
        const int channel = group * g.reduced + at.channel;
        const int offset = frame_offset(channel, g.shift_in);
#pragma unroll
        for (int i = 0; i < mine; ++i) {
            int from = -1;
            if (inside && pixel[i].image >= 0)
                from = source_pixel(g, h, w, pixel[i], at.tap_h, at.tap_w, offset);
            const T* address = source + (from < 0 ? 0
                                                  : static_cast<std::size_t>(from) *
                                                            static_cast<std::size_t>(g.source_pitch) +
                                                        static_cast<std::size_t>(channel));
            copy_async(left + tile_offset(row + i * step, chunk, Tile::chunks), address, from >= 0);
        }
        const int slot = weight_offset(g, h, w, at);
#pragma unroll
        for (int i = 0; i < mine_columns; ++i) {
            const bool valid = inside && column0 + row + i * step < g.true_columns;
            const T* address =
                valid
                    ? weight + static_cast<std::size_t>(i * step) * static_cast<std::size_t>(g.weight_pitch) +
                          static_cast<std::size_t>(slot)
                    : weight_base();
            copy_async(right + tile_offset(row + i * step, chunk, Tile::chunks), address, valid);
        }
    }
    __device__ const T* weight_base() const {
        return source;
    }  // any address: nothing is read from it

    const Gather& g;
    const Axis &h, &w;
    const T* source;
    const T* weight;
    int group, column0, chunk = 0, row = 0, total = 0;
    Divider by_chunks;
    Pixel pixel[mine];
};

// The products of one stage, added to a warp's sums.
template <class T, class Tile>
__device__ void multiply_stage(const char* left, const char* right,
                               float (&sum)[Tile::warp_rows / 16][Tile::warp_columns / 8][4]) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int row0 = warp / Tile::warps_across * Tile::warp_rows;
    const int column0 = warp % Tile::warps_across * Tile::warp_columns;
    const TilePlace l = left_place(lane), r = right_place(lane);
#pragma unroll
    for (int k = 0; k < Tile::chunks; k += 2) {
        std::uint32_t a[Tile::warp_rows / 16][4], b[Tile::warp_columns / 16][4];
#pragma unroll
        for (int i = 0; i < Tile::warp_rows / 16; ++i)
            load_matrices(a[i], left + tile_offset(row0 + i * 16 + l.row, k + l.chunk, Tile::chunks));
#pragma unroll
        for (int j = 0; j < Tile::warp_columns / 16; ++j)
            load_matrices(b[j], right + tile_offset(column0 + j * 16 + r.row, k + r.chunk, Tile::chunks));
#pragma unroll
        for (int i = 0; i < Tile::warp_rows / 16; ++i)
#pragma unroll
            for (int j = 0; j < Tile::warp_columns / 8; ++j)
                multiply(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1], T{});
    }
}

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::threads)
    conv_gather_kernel(const __grid_constant__ Gather g, const T* __restrict__ source,
                       const T* __restrict__ weights, const __grid_constant__ Finish<T> finish,
                       T* __restrict__ target) {
    const int column_tiles = (g.columns + Tile::columns - 1) / Tile::columns;
    const int tile = static_cast<int>(blockIdx.x), row_tile = tile / column_tiles;
    const int row0 = row_tile * Tile::rows, column0 = (tile - row_tile * column_tiles) * Tile::columns;
    const int phase = static_cast<int>(blockIdx.y), group = static_cast<int>(blockIdx.z);
    const int phase_h = phase / g.phases_w, phase_w = phase - phase_h * g.phases_w;
    if (row0 >= g.rows(phase_h, phase_w)) return;
    const Axis &h = g.h[phase_h], &w = g.w[phase_w];

    char* shared = dynamic_shared<char>();
    const GatherCopier<T, Tile> copier(g, h, w, source, weights, group, row0, column0);
    const int steps = (copier.total + Tile::chunks - 1) / Tile::chunks;
    auto left = [&](int stage) { return shared + stage * Tile::stage_bytes; };
    auto right = [&](int stage) { return left(stage) + Tile::rows * Tile::chunks * chunk_bytes; };
    float sum[Tile::warp_rows / 16][Tile::warp_columns / 8][4] = {};

#pragma unroll
    for (int stage = 0; stage < Tile::stages - 1; ++stage) {
        if (stage < steps) copier.copy(stage, left(stage), right(stage));
        commit_copies();
    }
    int stage = 0, ahead = Tile::stages - 1;
    for (int step = 0; step < steps; ++step) {
        wait_copies<Tile::stages - 2>();
        __syncthreads();  // this step's tiles are there, and all are done with the last step's
        if (step + Tile::stages - 1 < steps) copier.copy(step + Tile::stages - 1, left(ahead), right(ahead));
        commit_copies();
        multiply_stage<T, Tile>(left(stage), right(stage), sum);
        if (++stage == Tile::stages) stage = 0;
        if (++ahead == Tile::stages) ahead = 0;
    }
    wait_copies<0>();
    __syncthreads();

    float* sums = reinterpret_cast<float*>(shared);
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
    for (int i = 0; i < Tile::warp_rows / 16; ++i)
#pragma unroll
        for (int j = 0; j < Tile::warp_columns / 8; ++j)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const Element e = product_element(lane, half * 2);
                const int row = warp / Tile::warps_across * Tile::warp_rows + i * 16 + e.row;
                const int column = warp % Tile::warps_across * Tile::warp_columns + j * 8 + e.column;
                *reinterpret_cast<float2*>(sums + row * Tile::sum_pitch + column) =
                    float2{sum[i][j][half * 2], sum[i][j][half * 2 + 1]};
            }
    __syncthreads();
    finish_tile(g, finish, phase_h, phase_w, group, row0, column0, Tile::rows, Tile::columns, sums,
                Tile::sum_pitch, static_cast<int>(threadIdx.x), Tile::threads, target);
}

}  // namespace divs::kernels
