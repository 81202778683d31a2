// Backward-weights on sm_90a: the copy engine brings boxes of 64 pixels x 64 channels of the output's
// gradient and (im2col) of the input; warpgroups multiply them with the pixels as summed index. Blocks share
// out the pixels of all tiles evenly (StepShares), and each writes its own partial sums.
#pragma once

#include "conv_gather_wgmma.cuh"
#include "conv_weights.cuh"

namespace divs::kernels {

// Rows: 128, shared by two warpgroups, or 64, where each warpgroup adds up every second stage and writes
// partial sums of its own.
template <int Rows, int Columns, int Stages>
struct GroupWeightTile {
    static constexpr int rows = Rows, columns = Columns, stages = Stages;
    static constexpr int threads = group_threads * (1 + computing_groups);
    static constexpr int groups_down = Rows / 64, shares = computing_groups / groups_down;
    static constexpr int readers = 4 * groups_down;  // warps that use a stage
    static constexpr int depth = 64;                 // pixels a stage
    static constexpr int box_bytes = depth * box_row_bytes;
    static constexpr int left_boxes = rows / box_channels, right_boxes = Columns / box_channels;
    static constexpr int stage_bytes = (left_boxes + right_boxes) * box_bytes;
    static constexpr int slices_bytes = 0;
    static constexpr int shared_bytes = 1024 + Stages * stage_bytes + 2 * Stages * 8;
};

struct WeightMaps {
    TensorMap gradient, input;
};

// Columns as this kernel counts them: boxes of 64 channels, one for each piece of a tap's channels.
constexpr int boxes_of_tap(const WeightGather& g) {
    return pieces_of(g.group_c, g.shape.shift);
}
constexpr int boxes_of(const WeightGather& g) {
    return g.shape.r * g.shape.s * boxes_of_tap(g);
}

// Where a box of the input is read, from the place of its first pixel on.
struct BoxPlace {
    int c = 0, distance_h = 0, distance_w = 0, offset = 0;
};
__device__ inline BoxPlace box_place(const WeightGather& g, const Axis& h, const Axis& w, int box) {
    // Beyond the last box any will do: its products are not written.
    const int per_tap = boxes_of_tap(g), boxes = boxes_of(g), within = box < boxes ? box : boxes - 1;
    const int slot = within / per_tap, tap_h = slot / g.shape.s, tap_w = slot - tap_h * g.shape.s;
    const int piece = piece_begin(within - slot * per_tap, g.group_c, g.shape.shift);
    return {piece / box_channels * box_channels, tap_distance(h, tap_h), tap_distance(w, tap_w),
            frame_offset(piece, g.shape.shift)};
}

// A tile of the weights: its first row, and its first box.
struct WeightTilePlace {
    int row0 = 0, box0 = 0;
};
template <class Tile>
__device__ WeightTilePlace weight_tile_place(const WeightGather& g, int tile) {
    const int across = (boxes_of(g) + Tile::right_boxes - 1) / Tile::right_boxes;
    return {tile / across * Tile::rows, tile % across * Tile::right_boxes};
}

// The copying thread: stages begin...end of one tile.
template <class Tile>
__device__ void copy_weight_tile(const WeightGather& g, const Axis& h, const Axis& w, const WeightMaps& maps,
                                 const Ring<Tile>& ring, const TileSteps& part, RingPlace<Tile::stages>& at) {
    const WeightTilePlace place = weight_tile_place<Tile>(g, part.tile);
    BoxPlace places[Tile::right_boxes];
#pragma unroll
    for (int i = 0; i < Tile::right_boxes; ++i) places[i] = box_place(g, h, w, place.box0 + i);
    const int low_y = lowest_tap(h), low_x = lowest_tap(w);
    for (int step = part.begin; step < part.end; ++step) {
        char* to = ring.tiles + at.stage * Tile::stage_bytes;
        Barrier* full = ring.full + at.stage;
        const int pixel = step * Tile::depth;
        const Pixel first = pixel_of(h, w, pixel);
        const int y = low_y + first.y * h.step, x = low_x + first.x * w.step;
        wait(ring.empty + at.stage, at.parity ^ 1);
        arrive_expecting(full, Tile::stage_bytes);
#pragma unroll
        for (int i = 0; i < Tile::left_boxes; ++i, to += Tile::box_bytes)
            load_box(to, &maps.gradient, full, place.row0 + i * box_channels, pixel);
        if (g.shape.shift > 0) {
            const int clip = first.image / g.shape.frames, frame = first.image - clip * g.shape.frames;
#pragma unroll
            for (int i = 0; i < Tile::right_boxes; ++i, to += Tile::box_bytes)
                load_pixels(to, &maps.input, full, places[i].c, x, y, frame - 1, clip, places[i].distance_w,
                            places[i].distance_h, 1 + places[i].offset);
        } else {
#pragma unroll
            for (int i = 0; i < Tile::right_boxes; ++i, to += Tile::box_bytes)
                load_pixels(to, &maps.input, full, places[i].c, x, y, first.image, places[i].distance_w,
                            places[i].distance_h);
        }
        at.advance();
    }
}

// The sums of 16 rows of a warp. Of a box, only its own piece is written.
template <class Tile>
__device__ void write_weight_tile(const WeightGather& g, int row0, int box0,
                                  const float (&sum)[Tile::columns / 2], float* partial) {
    const int lane = static_cast<int>(threadIdx.x) % 32, per_tap = boxes_of_tap(g), boxes = boxes_of(g);
#pragma unroll
    for (int i = 0; i < Tile::right_boxes; ++i) {
        if (box0 + i >= boxes) break;
        const int slot = (box0 + i) / per_tap;
        const int begin = piece_begin(box0 + i - slot * per_tap, g.group_c, g.shape.shift);
        const int end = piece_end(begin, g.group_c, g.shape.shift), c0 = begin / box_channels * box_channels;
#pragma unroll
        for (int j = 0; j < box_channels / 8; ++j)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const Element e = product_element(lane, half * 2);
                const int row = row0 + e.row, c = c0 + j * 8 + e.column, at = (i * 8 + j) * 4 + half * 2;
                if (row < g.group_k && c >= begin && c < end)
                    *reinterpret_cast<float2*>(
                        partial + static_cast<std::size_t>(row) * static_cast<std::size_t>(g.columns) +
                        static_cast<std::size_t>(slot * g.group_c + c)) = float2{sum[at], sum[at + 1]};
            }
    }
}

// A computing warpgroup: all parts of tiles of this block.
template <class Tile>
__device__ void compute_weight_tiles(const WeightGather& g, const Ring<Tile>& ring, const StepShares& shares,
                                     float* partial) {
    const int group = uniform(static_cast<int>(threadIdx.x) / group_threads - 1);
    const int warp = static_cast<int>(threadIdx.x) / 32 % 4, lane = static_cast<int>(threadIdx.x) % 32;
    const int down = group % Tile::groups_down, share = group / Tile::groups_down;
    const std::uint32_t tiles_at = shared_address(ring.tiles);
    const std::uint64_t lefts = matrix_descriptor(
        tiles_at + static_cast<std::uint32_t>(down * Tile::box_bytes), Tile::box_bytes, 1024);
    const std::uint64_t rights =
        matrix_descriptor(tiles_at + Tile::left_boxes * Tile::box_bytes, Tile::box_bytes, 1024);
    const std::size_t size = static_cast<std::size_t>(g.group_k) * static_cast<std::size_t>(g.columns);
    const int block = static_cast<int>(blockIdx.x);
    const int to = shares.begin(block + 1);
    RingPlace<Tile::stages> at;
    if (share > 0) at.advance();
    int next = share,
        known = 0;  // of this block's stages: this warpgroup's next, and those of the parts so far
    for (int from = shares.begin(block); from < to;) {
        const TileSteps steps = tile_steps(shares, from, to);
        float sum[Tile::columns / 2] = {};
        int before = -1;
        known += steps.end - steps.begin;
        for (; next < known; next += Tile::shares) {
            wait(ring.full + at.stage, at.parity);
            const std::uint64_t left = moved(lefts, at.stage * Tile::stage_bytes);
            const std::uint64_t right = moved(rights, at.stage * Tile::stage_bytes);
            begin_products();
#pragma unroll
            for (int k = 0; k < Tile::depth * box_row_bytes; k += 16 * box_row_bytes)
                multiply_async<1, 1>(sum, moved(left, k), moved(right, k));
            commit_products();
            wait_products<1>();
            if (before >= 0 && lane == 0) arrive(ring.empty + before);
            before = at.stage;
#pragma unroll
            for (int i = 0; i < Tile::shares; ++i) at.advance();
        }
        wait_products<0>();
        if (before >= 0 && lane == 0) arrive(ring.empty + before);
        const WeightTilePlace place = weight_tile_place<Tile>(g, steps.tile);
        // The last part of a tile leaves zeros where other tiles have more parts.
        const int part = block - shares.first_block(steps.tile),
                  end = steps.end == shares.steps ? shares.most : part + 1;
#pragma unroll 1
        for (int p = part; p < end; ++p) {
            write_weight_tile<Tile>(g, place.row0 + down * 64 + warp * 16, place.box0, sum,
                                    partial + static_cast<std::size_t>(p * Tile::shares + share) * size);
#pragma unroll
            for (float& s : sum) s = 0;
        }
        from += steps.end - steps.begin;
    }
}

// h, w: the axes of the forward gather. partial: (most parts x Tile's shares, group_k, columns), float32;
// every element is written.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, 1)
    conv_weights_group_kernel(const __grid_constant__ WeightGather g, const __grid_constant__ Axis h,
                              const __grid_constant__ Axis w, const __grid_constant__ WeightMaps maps,
                              const __grid_constant__ StepShares shares, float* __restrict__ partial) {
    const Ring<Tile> ring(dynamic_shared<char>());
    ring.start();
    if (threadIdx.x < group_threads) {
        give_registers<40>();
        if (uniform(static_cast<int>(threadIdx.x) / 32) == 0 && elected()) {
            const int block = static_cast<int>(blockIdx.x);
            const int to = shares.begin(block + 1);
            RingPlace<Tile::stages> at;
            for (int from = shares.begin(block); from < to;) {
                const TileSteps steps = tile_steps(shares, from, to);
                copy_weight_tile(g, h, w, maps, ring, steps, at);
                from += steps.end - steps.begin;
            }
        }
    } else {
        take_registers<232>();
        compute_weight_tiles(g, ring, shares, partial);
    }
}

}  // namespace divs::kernels
