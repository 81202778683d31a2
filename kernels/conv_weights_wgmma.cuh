// Backward-weights on sm_90a: the copy engine brings boxes of 64 pixels x 64 channels of the output's
// gradient and (im2col) of the input; warpgroups multiply them with the pixels as summed index. As in
// conv_weights.cuh, blocks share out the pixels, and each writes its own partial sums.
#pragma once

#include "conv_gather_wgmma.cuh"
#include "conv_weights.cuh"

namespace divs::kernels {

template <int Columns, int Stages>
struct GroupWeightTile {
    static constexpr int rows = 64 * computing_groups, columns = Columns, stages = Stages;
    static constexpr int threads = group_threads * (1 + computing_groups);
    static constexpr int depth = 64;  // pixels a stage
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

template <class Tile>
__device__ void copy_weight_tile(const WeightGather& g, const Axis& h, const Axis& w, const WeightMaps& maps,
                                 const Ring<Tile>& ring, int row0, int box0, const PixelRange& range) {
    RingPlace<Tile::stages> at;
    const int per_tap = boxes_of_tap(g), boxes = boxes_of(g);
    for (int pixel = range.begin; pixel < range.end; pixel += Tile::depth) {
        char* to = ring.tiles + at.stage * Tile::stage_bytes;
        Barrier* full = ring.full + at.stage;
        const Pixel first = pixel_of(h, w, pixel);
        const int y = lowest_tap(h) + first.y * h.step, x = lowest_tap(w) + first.x * w.step;
        const int frames = g.shape.frames, clip = first.image / frames, frame = first.image - clip * frames;
        wait(ring.empty + at.stage, at.parity ^ 1);
        arrive_expecting(full, Tile::stage_bytes);
        for (int i = 0; i < Tile::left_boxes; ++i, to += Tile::box_bytes)
            load_box(to, &maps.gradient, full, row0 + i * box_channels, pixel);
        for (int i = 0; i < Tile::right_boxes; ++i, to += Tile::box_bytes) {
            // Beyond the last box any will do: its products are not written.
            const int box = box0 + i < boxes ? box0 + i : boxes - 1, slot = box / per_tap;
            const int piece = piece_begin(box - slot * per_tap, g.group_c, g.shape.shift);
            const int c = piece / box_channels * box_channels;
            const int tap_h = slot / g.shape.s, tap_w = slot - tap_h * g.shape.s;
            if (g.shape.shift > 0)
                load_pixels(to, &maps.input, full, c, x, y, frame - 1, clip, tap_distance(w, tap_w),
                            tap_distance(h, tap_h), 1 + frame_offset(piece, g.shape.shift));
            else
                load_pixels(to, &maps.input, full, c, x, y, first.image, tap_distance(w, tap_w),
                            tap_distance(h, tap_h));
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

template <class Tile>
__device__ void compute_weight_tile(const WeightGather& g, const Ring<Tile>& ring, int row0, int box0,
                                    int steps, float* partial) {
    const int group = uniform(static_cast<int>(threadIdx.x) / group_threads - 1);
    const int warp = static_cast<int>(threadIdx.x) / 32 % 4, lane = static_cast<int>(threadIdx.x) % 32;
    const std::uint32_t tiles_at = shared_address(ring.tiles);
    const std::uint64_t lefts = matrix_descriptor(
        tiles_at + static_cast<std::uint32_t>(group * Tile::box_bytes), Tile::box_bytes, 1024);
    const std::uint64_t rights =
        matrix_descriptor(tiles_at + Tile::left_boxes * Tile::box_bytes, Tile::box_bytes, 1024);
    RingPlace<Tile::stages> at;
    float sum[Tile::columns / 2] = {};
    int before = -1;
    for (int step = 0; step < steps; ++step) {
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
        at.advance();
    }
    wait_products<0>();
    write_weight_tile<Tile>(g, row0 + group * 64 + warp * 16, box0, sum, partial);
}

// h, w: the axes of the forward gather. partial: (splits, group_k, columns), float32; every element is
// written.
template <class Tile>
__global__ void __launch_bounds__(Tile::threads, 1)
    conv_weights_group_kernel(const __grid_constant__ WeightGather g, const __grid_constant__ Axis h,
                              const __grid_constant__ Axis w, const __grid_constant__ WeightMaps maps,
                              int splits, float* __restrict__ partial) {
    const Ring<Tile> ring(dynamic_shared<char>());
    ring.start();
    const int across = (boxes_of(g) + Tile::right_boxes - 1) / Tile::right_boxes;
    const int tile = static_cast<int>(blockIdx.x), split = static_cast<int>(blockIdx.y);
    const int row0 = tile / across * Tile::rows, box0 = tile % across * Tile::right_boxes;
    const PixelRange range = pixels_of_split(g.pixels, Tile::depth, splits, split);
    if (threadIdx.x < group_threads) {
        give_registers<40>();
        if (threadIdx.x == 0) copy_weight_tile(g, h, w, maps, ring, row0, box0, range);
    } else {
        take_registers<232>();
        const int steps = (range.end - range.begin + Tile::depth - 1) / Tile::depth;
        compute_weight_tile(g, ring, row0, box0, steps,
                            partial + static_cast<std::size_t>(split) * static_cast<std::size_t>(g.group_k) *
                                          static_cast<std::size_t>(g.columns));
    }
}

}  // namespace divs::kernels
