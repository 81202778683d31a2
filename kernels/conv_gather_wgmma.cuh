// Forward and backward-data on sm_90a: one warp has the tensor copy engine bring tiles of pixels (im2col) and
// of weights into a ring of stages; two warpgroups multiply them (wgmma) and write the target. Blocks stay,
// and take tile after tile, so that copies for the next tile run while the last is being written.
#pragma once

#include "conv_boxes.hpp"
#include "conv_finish.cuh"
#include "conv_tile.hpp"
#include "warpgroup_unit.hpp"

namespace divs::kernels {

inline constexpr int group_threads = 128, computing_groups = 2;

// Rows: 128 or 256, shared by two warpgroups; columns: 64, 128 or 256.
template <int Rows, int Columns, int Stages>
struct GroupTile {
    static constexpr int rows = Rows, columns = Columns, stages = Stages;
    static constexpr int threads = group_threads * (1 + computing_groups), readers = 4 * computing_groups;
    static constexpr int blocks_down = Rows / (64 * computing_groups);  // products of 64 rows, a warpgroup
    static constexpr int left_bytes = Rows * box_row_bytes, right_bytes = Columns * box_row_bytes;
    static constexpr int stage_bytes = left_bytes + right_bytes;
    // What a warp writes at a time: 8 rows of 128 bytes. The pitch, in floats, keeps four rows apart in
    // banks.
    static constexpr int slice_rows = 8, slice = 64, slice_pitch = slice + 8;
    static constexpr int slice_bytes = slice_rows * slice_pitch * 4;
    static constexpr int slices_bytes = 4 * computing_groups * slice_bytes;
    // 1024 more, for dynamic shared memory starts on 16 bytes only.
    static constexpr int shared_bytes = 1024 + Stages * stage_bytes + slices_bytes + 2 * Stages * 8;
};

struct GatherMaps {
    TensorMap source[4];  // by phase; those of phases without taps are not used
    TensorMap weights;
};

// The value that all lanes of a warp have, so that the compiler knows it.
__device__ inline int uniform(int value) {
    return __shfl_sync(0xFFFFFFFFU, value, 0);
}

// A place in the ring of stages, and the parity of the phases that its barriers are in.
template <int Stages>
struct RingPlace {
    int stage = 0, parity = 0;
    __device__ void advance() {
        if (++stage == Stages) stage = 0, parity ^= 1;
    }
};

template <class Tile>
struct Ring {
    char* tiles;
    char* slices;
    Barrier *full, *empty;

    __device__ explicit Ring(char* shared) {
        tiles = shared + (1024 - shared_address(shared) % 1024) % 1024;
        slices = tiles + Tile::stages * Tile::stage_bytes;
        full = reinterpret_cast<Barrier*>(slices + Tile::slices_bytes);
        empty = full + Tile::stages;
    }
    __device__ void start() const {
        if (threadIdx.x == 0) {
            for (int i = 0; i < Tile::stages; ++i) {
                start_barrier(full + i, 1);
                start_barrier(empty + i, Tile::readers);  // a lane of each warp that uses a stage
            }
            publish_barriers();
        }
        __syncthreads();
    }
};

// What a kernel has to do besides adding up products: shift channels in time, as they are read or as they are
// written, and more than write the sums.
enum class Shift { none, read, written };
template <class Tile, Shift Channels, bool More>
struct GatherWork : Tile {
    static constexpr Shift shift = Channels;
    static constexpr bool finishes = More;
};

// The copying thread: all stages of all tiles of this block.
template <class Tile>
__device__ void copy_gather_tiles(const Gather& g, const GatherMaps& maps, const Ring<Tile>& ring,
                                  int tiles) {
    RingPlace<Tile::stages> at;
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
        const TilePosition place = tile_position(g, Tile::rows, Tile::columns, tile);
        const Axis &h = g.h[place.phase_h], &w = g.w[place.phase_w];
        const TensorMap* source = maps.source + place.phase_h * g.phases_w + place.phase_w;
        const Pixel first = pixel_of(h, w, place.row0);
        const int y = lowest_tap(h) + first.y * h.step, x = lowest_tap(w) + first.x * w.step;
        constexpr bool shifts = Tile::shift == Shift::read;
        const int clip = shifts ? first.image / g.frames : 0, frame = first.image - clip * g.frames;
        const Distances down = distances(h), across = distances(w);
        int slot_h = h.slot * g.slots_w + w.slot, distance_h = down.first;
        for (int i = 0; i < h.taps; ++i, slot_h += h.slot_step * g.slots_w, distance_h += down.step) {
            int slot = slot_h, distance_w = across.first;
            for (int j = 0; j < w.taps; ++j, slot += w.slot_step, distance_w += across.step)
                for (int piece = 0; piece < g.reduced;) {
                    const int c = shifts ? piece / box_channels * box_channels : piece;
                    char* to = ring.tiles + at.stage * Tile::stage_bytes;
                    Barrier* full = ring.full + at.stage;
                    wait(ring.empty + at.stage, at.parity ^ 1);  // the first round finds stages empty
                    arrive_expecting(full, Tile::stage_bytes);
                    if constexpr (shifts)
                        load_pixels(to, source, full, c, x, y, frame - 1, clip, distance_w, distance_h,
                                    1 + frame_offset(piece, g.shift_in));
                    else
                        load_pixels(to, source, full, c, x, y, first.image, distance_w, distance_h);
                    load_box(to + Tile::left_bytes, &maps.weights, full, c, slot, place.column0);
                    piece = shifts ? piece_end(piece, g.reduced, g.shift_in) : piece + box_channels;
                    at.advance();
                }
        }
    }
}

// Writes the sums of 16 rows of one warp, a slice at a time, by way of the warp's own shared memory: a pack
// of a row for each lane, and the same rows and columns of all slices, so that places are looked up once.
template <class Tile>
__device__ void finish_sums(const Gather& g, const Finish<bf16>& finish, const TilePosition& place, int row0,
                            const float (&sum)[Tile::columns / 2], float* slice, bf16* target) {
    constexpr int halves = 2, rows_at_once = 32 * lanes<bf16> / Tile::slice;
    constexpr int turns = Tile::slice_rows / rows_at_once;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int line = lane * lanes<bf16> / Tile::slice, column = lane * lanes<bf16> % Tile::slice;
    TargetRow rows[halves][turns];
#pragma unroll
    for (int half = 0; half < halves; ++half)
#pragma unroll
        for (int i = 0; i < turns; ++i)
            rows[half][i] = target_row(g, place.phase_h, place.phase_w,
                                       row0 + half * Tile::slice_rows + i * rows_at_once + line);
#pragma unroll
    for (int first = 0; first < Tile::columns; first += Tile::slice)
#pragma unroll
        for (int half = 0; half < halves; ++half) {
#pragma unroll
            for (int j = 0; j < Tile::slice / 8; ++j) {
                const Element e = product_element(lane, 0);
                const int i = (first / 8 + j) * 4 + half * 2;
                *reinterpret_cast<float2*>(slice + e.row * Tile::slice_pitch + j * 8 + e.column) =
                    float2{sum[i], sum[i + 1]};
            }
            __syncwarp();
#pragma unroll
            for (int i = 0; i < turns; ++i) {
                const int channel = place.column0 + first + column;
                if (rows[half][i].pixel < 0 || channel >= g.columns) continue;
                float value[lanes<bf16>];
                read_sums(slice + (i * rows_at_once + line) * Tile::slice_pitch + column, value);
                TargetRow to = rows[half][i];
                if constexpr (Tile::shift == Shift::written) {
                    to = target_of(g, to, channel);
                    if (to.zero)
#pragma unroll
                        for (float& v : value) v = 0;
                }
                if constexpr (Tile::finishes)
                    finish_pack(g, finish, to, 0, channel, value, target);
                else
                    store(value, target + element_of(g, to, channel));
            }
            __syncwarp();
        }
}

// Adds the products of channels first...last of a box of each factor; a whole box in one go.
template <class Tile>
__device__ void multiply_box(std::uint64_t left, std::uint64_t right, int first, int last,
                             float (&sum)[Tile::blocks_down][Tile::columns / 2]) {
    auto multiply = [&](int k) {  // 16 channels
#pragma unroll
        for (int i = 0; i < Tile::blocks_down; ++i)
            multiply_async<0, 0>(sum[i], moved(left, i * 64 * box_row_bytes + k), moved(right, k));
    };
    if (Tile::shift != Shift::read || last - first == box_channels) {
#pragma unroll
        for (int k = 0; k < box_row_bytes; k += 32) multiply(k);
    } else {
#pragma unroll 1
        for (int k = first * 2; k < last * 2; k += 32) multiply(k);
    }
}

// A computing warpgroup: all tiles of this block.
template <class Tile>
__device__ void compute_gather_tiles(const Gather& g, const Finish<bf16>& finish, const Ring<Tile>& ring,
                                     int tiles, bf16* target) {
    const int group = uniform(static_cast<int>(threadIdx.x) / group_threads - 1);
    const int warp = static_cast<int>(threadIdx.x) / 32 % 4, lane = static_cast<int>(threadIdx.x) % 32;
    const int pieces = pieces_of(g.reduced, g.shift_in);
    float* slice = reinterpret_cast<float*>(ring.slices + (group * 4 + warp) * Tile::slice_bytes);
    // Of this group's rows, and of the columns, in stage 0.
    const std::uint32_t tiles_at = shared_address(ring.tiles);
    const std::uint64_t lefts = matrix_descriptor(
        tiles_at + static_cast<std::uint32_t>(group * Tile::blocks_down * 64 * box_row_bytes), 16, 1024);
    const std::uint64_t rights = matrix_descriptor(tiles_at + Tile::left_bytes, 16, 1024);
    RingPlace<Tile::stages> at;
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
        const TilePosition place = tile_position(g, Tile::rows, Tile::columns, tile);
        const int steps = g.h[place.phase_h].taps * g.w[place.phase_w].taps * pieces;
        float sum[Tile::blocks_down][Tile::columns / 2] = {};
        int before = -1, piece = 0;
        for (int step = 0; step < steps; ++step) {
            wait(ring.full + at.stage, at.parity);
            const std::uint64_t left = moved(lefts, at.stage * Tile::stage_bytes);
            const std::uint64_t right = moved(rights, at.stage * Tile::stage_bytes);
            begin_products();
            if constexpr (Tile::shift == Shift::read) {
                const int end = piece_end(piece, g.reduced, g.shift_in), first = piece % box_channels;
                multiply_box<Tile>(left, right, first, first + end - piece, sum);
                piece = end < g.reduced ? end : 0;
            } else {
                multiply_box<Tile>(left, right, 0, box_channels, sum);
            }
            commit_products();
            wait_products<1>();  // those of the step before are done: its stage is free
            if (before >= 0 && lane == 0) arrive(ring.empty + before);
            before = at.stage;
            at.advance();
        }
        wait_products<0>();
        if (before >= 0 && lane == 0) arrive(ring.empty + before);
#pragma unroll
        for (int i = 0; i < Tile::blocks_down; ++i)
            finish_sums<Tile>(g, finish, place, place.row0 + (group * Tile::blocks_down + i) * 64 + warp * 16,
                              sum[i], slice, target);
    }
}

template <class Tile>
__global__ void __launch_bounds__(Tile::threads, 1)
    conv_gather_group_kernel(const __grid_constant__ Gather g, const __grid_constant__ GatherMaps maps,
                             const __grid_constant__ Finish<bf16> finish, int tiles,
                             bf16* __restrict__ target) {
    const Ring<Tile> ring(dynamic_shared<char>());
    ring.start();
    if (threadIdx.x < group_threads) {
        give_registers<40>();
        if (uniform(static_cast<int>(threadIdx.x) / 32) == 0 && elected())
            copy_gather_tiles(g, maps, ring, tiles);
    } else {
        take_registers<232>();
        compute_gather_tiles(g, finish, ring, tiles, target);
    }
}

}  // namespace divs::kernels
