// The first layer: 3 channels, stride 2. A patch of the picture lies in shared memory with its three channels
// together, so that the values under one row of the kernel are neighbours, S x 3 of them, and stand in for 8
// x `thirds` steps of a matrix product on the tensor cores, bfloat16; the weights of the surplus are zero.
// Backward-weights reads the same patch the other way round.
#pragma once

#include "conv_finish.cuh"
#include "conv_geometry.hpp"
#include "conv_tile.hpp"
#include "matrix_unit.hpp"

namespace divs::kernels {

template <int R, int S>
struct FirstLayer {
    static constexpr int stride = 2, channels = 3;
    static constexpr int lines = 4, across = 32;            // output pixels of a tile
    static constexpr int columns = 64;                      // output channels of a block
    static constexpr int eighths = (S * channels + 7) / 8;  // of 8 values, for one row of the kernel
    static constexpr int steps = (R * eighths + 1) / 2;     // of 16 values
    static constexpr int patch_lines = (lines - 1) * stride + R;
    static constexpr int patch_pixels = (across - 1) * stride + S;
    // Elements; an even number, and room for what the last pixel's surplus reads.
    static constexpr int patch_pitch = round_up((across - 1) * stride * channels + eighths * 8, 2);
    static constexpr int patch_bytes = round_up(patch_lines * patch_pitch * 2, 16);
    static constexpr int weight_chunks =
        steps * 2 + 1;  // odd: the eight rows of a matrix lie in different banks
    static constexpr int weight_bytes = columns * weight_chunks * chunk_bytes;
    static constexpr int threads = 32 * lines;
    static constexpr int slice = 32, slice_pitch = slice + 4, slice_bytes = 16 * slice_pitch * 4;
    static constexpr int shared_bytes = weight_bytes + patch_bytes + lines * slice_bytes;
    // Backward-weights: a warp a row of the kernel; gradients of a tile's pixels beside the patch.
    static constexpr int weight_threads = 32 * R;
    static constexpr int gradient_bytes = lines * across * columns * 2;
    static constexpr int weight_shared_bytes = gradient_bytes + patch_bytes;
};

// Where value `eighth` * 8 + i of the summed index lies in the patch, from the pixel's corner: row eighth /
// eighths of the kernel. The surplus eighth of an odd number reads the last row again.
template <class Layer>
constexpr int patch_offset(int eighth, int kernel_rows) {
    const int row = eighth / Layer::eighths < kernel_rows ? eighth / Layer::eighths : kernel_rows - 1;
    return row * Layer::patch_pitch + eighth % Layer::eighths * 8;
}

// Tile number `index`: image, first line and first column of the output.
template <class Layer>
constexpr Pixel first_tile(const WeightGather& g, int index) {
    const int across = ceil_div(g.q, Layer::across), down = ceil_div(g.p, Layer::lines);
    return {index / (across * down), index / across % down * Layer::lines, index % across * Layer::across};
}
template <class Layer>
constexpr int first_tiles(const WeightGather& g) {
    return g.shape.n * ceil_div(g.q, Layer::across) * ceil_div(g.p, Layer::lines);
}

// The patch under a tile; zeros outside the picture and behind its pixels.
template <class Layer>
__device__ void load_patch(const WeightGather& g, const Pixel& tile, const bf16* input, bf16* patch,
                           int thread, int threads) {
    constexpr int surplus = Layer::patch_pitch - Layer::patch_pixels * Layer::channels;
    const int y0 = tile.y * Layer::stride - g.shape.pad_h, x0 = tile.x * Layer::stride - g.shape.pad_w;
    for (int i = thread; i < Layer::patch_lines * Layer::patch_pixels; i += threads) {
        const int line = i / Layer::patch_pixels, pixel = i - line * Layer::patch_pixels;
        const int y = y0 + line, x = x0 + pixel;
        Pack<bf16> value{};
        if (static_cast<unsigned>(y) < static_cast<unsigned>(g.shape.h) &&
            static_cast<unsigned>(x) < static_cast<unsigned>(g.shape.w))
            value = *reinterpret_cast<const Pack<bf16>*>(
                input +
                (static_cast<std::size_t>(tile.image * g.shape.h + y) * static_cast<std::size_t>(g.shape.w) +
                 static_cast<std::size_t>(x)) *
                    static_cast<std::size_t>(channel_step));
        bf16* to = patch + line * Layer::patch_pitch + pixel * Layer::channels;
        to[0] = value.value[0], to[1] = value.value[1], to[2] = value.value[2];
    }
    if constexpr (surplus > 0)
        for (int i = thread; i < Layer::patch_lines * surplus; i += threads) {
            const int line = i / surplus;
            patch[line * Layer::patch_pitch + Layer::patch_pixels * Layer::channels + i - line * surplus] =
                from_float<bf16>(0.0F);
        }
}

// Weights (columns, summed index) in shared memory, from krsc with 8 channels a tap.
template <int R, int S>
__device__ void load_first_weights(const Gather& g, const bf16* weights, int column0, char* to) {
    using Layer = FirstLayer<R, S>;
    const int values = Layer::weight_chunks * 8;
    for (int i = static_cast<int>(threadIdx.x); i < Layer::columns * values; i += Layer::threads) {
        const int column = i / values, k = i - column * values, row = k / (Layer::eighths * 8);
        const int within = k - row * Layer::eighths * 8, s = within / Layer::channels;
        bf16 value = from_float<bf16>(0.0F);
        if (row < R && s < S && column0 + column < g.true_columns)
            value = weights[static_cast<std::size_t>(column0 + column) *
                                static_cast<std::size_t>(g.weight_pitch) +
                            static_cast<std::size_t>((row * S + s) * channel_step + within -
                                                     s * Layer::channels)];
        reinterpret_cast<bf16*>(to)[i] = value;
    }
}

// A warp makes a line of 32 pixels x 64 channels.
template <int R, int S>
__global__ void __launch_bounds__(FirstLayer<R, S>::threads, 4)
    conv_first_kernel(const __grid_constant__ Gather g, const __grid_constant__ WeightGather shape,
                      const bf16* __restrict__ input, const bf16* __restrict__ weights,
                      const __grid_constant__ Finish<bf16> finish, bf16* __restrict__ target) {
    using Layer = FirstLayer<R, S>;
    char* shared = dynamic_shared<char>();
    bf16* patch = reinterpret_cast<bf16*>(shared + Layer::weight_bytes);
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
    float* slice = reinterpret_cast<float*>(shared + Layer::weight_bytes + Layer::patch_bytes +
                                            warp * Layer::slice_bytes);
    const int column0 = static_cast<int>(blockIdx.y) * Layer::columns, tiles = first_tiles<Layer>(shape);
    load_first_weights<R, S>(g, weights, column0, shared);
    const TilePlace place = right_place(lane);
    for (int index = static_cast<int>(blockIdx.x); index < tiles; index += static_cast<int>(gridDim.x)) {
        const Pixel tile = first_tile<Layer>(shape, index);
        load_patch<Layer>(shape, tile, input, patch, thread, Layer::threads);
        __syncthreads();
        float sum[2][Layer::columns / 8][4] = {};
        const bf16* corner = patch + warp * Layer::stride * Layer::patch_pitch;
#pragma unroll
        for (int step = 0; step < Layer::steps; ++step) {
            std::uint32_t a[2][4];
#pragma unroll
            for (int m = 0; m < 2; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int pixel = m * 16 + (lane >> 2) + i % 2 * 8;
                    a[m][i] = *reinterpret_cast<const std::uint32_t*>(
                        corner + pixel * Layer::stride * Layer::channels +
                        patch_offset<Layer>(step * 2 + i / 2, R) + (lane & 3) * 2);
                }
#pragma unroll
            for (int j = 0; j < Layer::columns / 16; ++j) {
                std::uint32_t b[4];
                load_matrices(
                    b, shared + ((j * 16 + place.row) * Layer::weight_chunks + step * 2 + place.chunk) *
                                    chunk_bytes);
#pragma unroll
                for (int m = 0; m < 2; ++m) {
                    multiply(sum[m][j * 2], a[m], b[0], b[1], bf16{});
                    multiply(sum[m][j * 2 + 1], a[m], b[2], b[3], bf16{});
                }
            }
        }
        const int y = tile.y + warp, row0 = (tile.image * shape.p + y) * shape.q + tile.x;
#pragma unroll
        for (int m = 0; m < 2; ++m)
#pragma unroll
            for (int first = 0; first < Layer::columns; first += Layer::slice) {
#pragma unroll
                for (int j = 0; j < Layer::slice / 8; ++j)
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        const Element e = product_element(lane, half * 2);
                        const float* pair = sum[m][first / 8 + j] + half * 2;
                        *reinterpret_cast<float2*>(slice + e.row * Layer::slice_pitch + j * 8 + e.column) =
                            float2{pair[0], pair[1]};
                    }
                __syncwarp();
                const int left = shape.q - tile.x - m * 16;
                if (y < shape.p && left > 0)
                    finish_tile(g, finish, 0, 0, 0, row0 + m * 16, column0 + first, left < 16 ? left : 16,
                                Layer::slice, slice, Layer::slice_pitch, lane, 32, target);
                __syncwarp();
            }
        __syncthreads();  // before the patch is overwritten
    }
}

// partial: (blocks, k pitch, columns) of which the true channels are written, as conv_reduce_kernel reads
// them. A warp sums row `warp` of the kernel for 64 output channels over the pixels of this block's tiles.
template <int R, int S>
__global__ void __launch_bounds__(FirstLayer<R, S>::weight_threads, 2)
    conv_first_weights_kernel(const __grid_constant__ WeightGather g, const bf16* __restrict__ input,
                              const bf16* __restrict__ gradient, float* __restrict__ partial) {
    using Layer = FirstLayer<R, S>;
    constexpr int chunks = Layer::columns / 8;
    char* shared = dynamic_shared<char>();
    bf16* patch = reinterpret_cast<bf16*>(shared + Layer::gradient_bytes);
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
    const int k0 = static_cast<int>(blockIdx.y) * Layer::columns, k_pitch = g.shape.k_pitch();
    const int tiles = first_tiles<Layer>(g);
    const TilePlace place = left_place_transposed(lane);
    float sum[Layer::columns / 16][Layer::eighths][4] = {};
    for (int index = static_cast<int>(blockIdx.x); index < tiles; index += static_cast<int>(gridDim.x)) {
        const Pixel tile = first_tile<Layer>(g, index);
        for (int i = thread; i < Layer::lines * Layer::across * chunks; i += Layer::weight_threads) {
            const int pixel = i / chunks, chunk = i - pixel * chunks, k = k0 + chunk * 8;
            const int y = tile.y + pixel / Layer::across, x = tile.x + pixel % Layer::across;
            const bool valid = y < g.p && x < g.q && k < k_pitch;
            const std::size_t at = valid ? static_cast<std::size_t>((tile.image * g.p + y) * g.q + x) *
                                                   static_cast<std::size_t>(k_pitch) +
                                               static_cast<std::size_t>(k)
                                         : 0;
            copy_async(shared + tile_offset(pixel, chunk, chunks), gradient + at, valid);
        }
        commit_copies();
        load_patch<Layer>(g, tile, input, patch, thread, Layer::weight_threads);
        wait_copies<0>();
        __syncthreads();
#pragma unroll 2
        for (int pixel = 0; pixel < Layer::lines * Layer::across; pixel += 16) {
            const int line = pixel / Layer::across, x = pixel % Layer::across + (lane & 3) * 2;
            const bf16* corner = patch + (line * Layer::stride + warp) * Layer::patch_pitch +
                                 x * Layer::stride * Layer::channels + (lane >> 2);
            std::uint32_t a[Layer::columns / 16][4];
#pragma unroll
            for (int m = 0; m < Layer::columns / 16; ++m)
                load_matrices_transposed(
                    a[m], shared + tile_offset(pixel + place.row, m * 2 + place.chunk, chunks));
#pragma unroll
            for (int n = 0; n < Layer::eighths; ++n) {
                std::uint32_t b[2];
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    const auto* low = reinterpret_cast<const std::uint16_t*>(
                        corner + i * 8 * Layer::stride * Layer::channels + n * 8);
                    b[i] = low[0] | static_cast<std::uint32_t>(low[Layer::stride * Layer::channels]) << 16;
                }
#pragma unroll
                for (int m = 0; m < Layer::columns / 16; ++m) multiply(sum[m][n], a[m], b[0], b[1], bf16{});
            }
        }
        __syncthreads();
    }
    float* to = partial + static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(k_pitch) *
                              static_cast<std::size_t>(g.columns);
#pragma unroll
    for (int m = 0; m < Layer::columns / 16; ++m)
#pragma unroll
        for (int n = 0; n < Layer::eighths; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const Element e = product_element(lane, i);
                const int k = k0 + m * 16 + e.row, within = n * 8 + e.column, s = within / Layer::channels;
                if (k < k_pitch && s < S)
                    to[static_cast<std::size_t>(k) * static_cast<std::size_t>(g.columns) +
                       static_cast<std::size_t>((warp * S + s) * channel_step + within -
                                                s * Layer::channels)] = sum[m][n][i];
            }
}

}  // namespace divs::kernels
