// Compiled for sm_90a alone.
#include <iterator>

#include "conv.hpp"
#include "conv_weights_wgmma.cuh"
#include "tensor_map.hpp"

namespace divs::kernels {
namespace {

template <class Work>
void launch_work(const Gather& g, const GatherMaps& maps, const Finish<bf16>& finish, int multiprocessors,
                 bf16* target, cudaStream_t stream) {
    const int tiles = tiles_of(g, Work::rows, Work::columns);
    allow_shared(conv_gather_group_kernel<Work>, Work::shared_bytes);
    launch(dim3(static_cast<unsigned>(tiles < multiprocessors ? tiles : multiprocessors)),
           dim3(Work::threads), Work::shared_bytes, stream, conv_gather_group_kernel<Work>, g, maps, finish,
           tiles, target);
}

// Channels are shifted as they are written going backward alone, where nothing is added.
template <class Tile>
void launch_gather(const Gather& g, const GatherMaps& maps, const Finish<bf16>& finish, int multiprocessors,
                   bf16* target, cudaStream_t stream) {
    const bool finishes = finish.bias || finish.residual || finish.activation != ConvActivation::none;
    const auto run = g.shift_out > 0  ? launch_work<GatherWork<Tile, Shift::written, false>>
                     : g.shift_in > 0 ? finishes ? launch_work<GatherWork<Tile, Shift::read, true>>
                                                 : launch_work<GatherWork<Tile, Shift::read, false>>
                     : finishes ? launch_work<GatherWork<Tile, Shift::none, true>>
                                      : launch_work<GatherWork<Tile, Shift::none, false>>;
    run(g, maps, finish, multiprocessors, target, stream);
}

template <class Tile>
StepShares shares_of(const WeightGather& g, int blocks) {
    return {ceil_div(g.group_k, Tile::rows) * ceil_div(boxes_of(g), Tile::right_boxes),
            ceil_div(g.pixels, Tile::depth), blocks};
}

// Calls work(tile's type) for a variant of backward-weights.
template <class Work>
auto with_weight_tile(int variant, const Work& work) {
    if (variant == 0) return work(GroupWeightTile<128, 128, 6>{});
    if (variant == 1) return work(GroupWeightTile<128, 256, 4>{});
    if (variant == 2) return work(GroupWeightTile<128, 64, 8>{});
    return work(GroupWeightTile<64, 192, 6>{});
}

constexpr TileSize gather_tiles[] = {{128, 256}, {128, 128}, {128, 64}, {256, 128}};
static_assert(std::size(gather_tiles) == group_gather_variants);

bool axes_fit(const Gather& g) {
    for (int i = 0; i < g.phases_h; ++i)
        for (int j = 0; j < g.phases_w; ++j) {
            const Axis &h = g.h[i], &w = g.w[j];
            if (h.taps == 0 || w.taps == 0 || h.positions == 0 || w.positions == 0) continue;
            const BoxMap map =
                source_map(h, w, g.images, g.reduced, g.source_pitch, 128, g.shift_in, g.frames);
            const int far_h = (h.taps - 1) * (h.pitch < 0 ? -h.pitch : h.pitch);
            const int far_w = (w.taps - 1) * (w.pitch < 0 ? -w.pitch : w.pitch);
            if (!fits_engine(map, far_h > far_w ? far_h : far_w)) return false;
        }
    return true;
}

// All steps of backward-weights have a number.
bool few_steps(const ConvShape& x) {
    const WeightGather g = weight_gather(x);
    const std::int64_t tiles = std::int64_t{ceil_div(g.group_k, 64)} * boxes_of(g);
    return tiles * ceil_div(g.pixels, box_channels) < std::int64_t{1} << 31;
}

}  // namespace

TileSize group_gather_tile(int variant) {
    return gather_tiles[variant];
}
TileSize group_weight_tile(int variant) {
    return with_weight_tile(variant, [](auto tile) { return TileSize{tile.rows, tile.columns}; });
}
StepShares group_weight_shares(int variant, const WeightGather& g, int blocks) {
    return with_weight_tile(variant, [&](auto tile) { return shares_of<decltype(tile)>(g, blocks); });
}
int group_weight_parts(int variant, const WeightGather& g, int blocks) {
    return with_weight_tile(
        variant, [&](auto tile) { return shares_of<decltype(tile)>(g, blocks).most * tile.shares; });
}

bool conv_group_takes(const ConvShape& x) {
    return x.groups == 1 && x.stride_h <= 2 && x.stride_w <= 2 && x.shift % 16 == 0 && x.n % x.frames == 0 &&
           few_steps(x) && axes_fit(forward_gather(x)) && axes_fit(backward_gather(x));
}

void conv_gather_group(int variant, const Gather& g, const bf16* source, const bf16* weights,
                       const Finish<bf16>& finish, int multiprocessors, bf16* target, cudaStream_t stream) {
    const TileSize tile = gather_tiles[variant];
    GatherMaps maps{};
    for (int i = 0; i < g.phases_h; ++i)
        for (int j = 0; j < g.phases_w; ++j)
            if (g.h[i].taps > 0 && g.w[j].taps > 0 && g.rows(i, j) > 0)
                encode_map(source_map(g.h[i], g.w[j], g.images, g.reduced, g.source_pitch, tile.rows,
                                      g.shift_in, g.frames),
                           source, maps.source[i * g.phases_w + j]);
    encode_map(weights_map(g.true_columns, g.weight_pitch / g.reduced, g.reduced, tile.columns), weights,
               maps.weights);
    if (variant == 0)
        launch_gather<GroupTile<128, 256, 4>>(g, maps, finish, multiprocessors, target, stream);
    else if (variant == 1)
        launch_gather<GroupTile<128, 128, 6>>(g, maps, finish, multiprocessors, target, stream);
    else if (variant == 2)
        launch_gather<GroupTile<128, 64, 8>>(g, maps, finish, multiprocessors, target, stream);
    else
        launch_gather<GroupTile<256, 128, 4>>(g, maps, finish, multiprocessors, target, stream);
}

void conv_weights_group(int variant, const WeightGather& g, const bf16* input, const bf16* gradient,
                        int blocks, float* partial, cudaStream_t stream) {
    const Gather forward = forward_gather(g.shape);
    const Axis &h = forward.h[0], &w = forward.w[0];
    WeightMaps maps{};
    encode_map(matrix_map(g.pixels, g.shape.k_pitch(), g.shape.k_pitch(), 64), gradient, maps.gradient);
    encode_map(source_map(h, w, g.shape.n, g.group_c, g.shape.c_pitch(), 64, g.shape.shift, g.shape.frames),
               input, maps.input);
    with_weight_tile(variant, [&](auto tile) {
        using Tile = decltype(tile);
        allow_shared(conv_weights_group_kernel<Tile>, Tile::shared_bytes);
        launch(dim3(static_cast<unsigned>(blocks)), dim3(Tile::threads), Tile::shared_bytes, stream,
               conv_weights_group_kernel<Tile>, g, h, w, maps, shares_of<Tile>(g, blocks), partial);
    });
}

}  // namespace divs::kernels
