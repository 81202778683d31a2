#include <algorithm>

#include "norm.cuh"

namespace divs::kernels {
namespace {

using namespace norms;

template <class T>
__global__ void __launch_bounds__(block, blocks_at_once)
    norm_sums_kernel(const T* __restrict__ x, NormShape shape, float* __restrict__ partial) {
    constexpr int N = lanes<T>;
    const Place place = place_of<N>(shape);
    float centre[N] = {}, sum[N] = {}, squares[N] = {};
    if (place.active) load(x + place.channel, centre);
    if (place.active)
        each_pixel<8>(
            place, shape.pitch, [&](std::size_t at) { return read_pack(x + at); },
            [&](const Pack<T>& pack, std::size_t) {
#pragma unroll
                for (int k = 0; k < N; ++k) {
                    const float d = to_float(pack.value[k]) - centre[k];
                    sum[k] += d;
                    squares[k] += d * d;
                }
            });
    join_rows(sum, squares, place, shape.pitch, partial);
}

template <class T>
__global__ void norm_join_sums_kernel(const float* __restrict__ partial, const T* __restrict__ x,
                                      NormShape shape, unsigned strips, double* __restrict__ sums) {
    const int channel = static_cast<int>(blockIdx.x * 32 + threadIdx.x);
    double sum, squares;
    join_strips(partial, strips, shape.pitch, channel, sum, squares);
    if (threadIdx.y != 0 || channel >= shape.channels) return;
    const double count = static_cast<double>(shape.pixels);
    const double centre = static_cast<double>(to_float(x[channel]));
    if (channel == 0) sums[0] = count;
    sums[1 + channel] = sum + count * centre;
    sums[1 + shape.channels + channel] = squares + 2 * centre * sum + count * centre * centre;
}

__device__ void set_state(const NormState& state, int channel, double mean, double variance, double epsilon) {
    state.mean[channel] = static_cast<float>(mean);
    state.inverse[channel] = static_cast<float>(1.0 / sqrt(variance + epsilon));
}

__device__ float blend(double momentum, float running, double batch) {
    return static_cast<float>((1 - momentum) * static_cast<double>(running) + momentum * batch);
}

__global__ void norm_statistics_kernel(const double* __restrict__ sums, NormShape shape, double epsilon,
                                       NormRunning running, NormState state) {
    const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (channel >= shape.pitch) return;
    const double count = sums[0];
    if (channel >= shape.channels || count <= 0) {
        state.mean[channel] = state.inverse[channel] = 0;
        return;
    }
    const double mean = sums[1 + channel] / count;
    const double spread = sums[1 + shape.channels + channel] / count - mean * mean;
    const double variance = spread < 0 ? 0 : spread;  // a NaN stays one
    set_state(state, channel, mean, variance, epsilon);
    const double unbiased = variance * count / (count > 2 ? count - 1 : 1.0);
    running.mean[channel] = blend(static_cast<double>(running.momentum), running.mean[channel], mean);
    running.variance[channel] =
        blend(static_cast<double>(running.momentum), running.variance[channel], unbiased);
}

__global__ void norm_from_running_kernel(NormRunning running, NormShape shape, double epsilon,
                                         NormState state) {
    const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (channel >= shape.pitch) return;
    if (channel < shape.channels)
        set_state(state, channel, static_cast<double>(running.mean[channel]),
                  static_cast<double>(running.variance[channel]), epsilon);
    else
        state.mean[channel] = state.inverse[channel] = 0;
}

template <class T, bool Residual, Curve curve>
__global__ void __launch_bounds__(block, blocks_at_once)
    norm_apply_kernel(const T* __restrict__ x, const T* __restrict__ residual, NormShape shape,
                      NormState state, NormParameters parameters, T* __restrict__ y) {
    constexpr int N = lanes<T>;
    const Place place = place_of<N>(shape);
    if (!place.active) return;
    Line<N> line;
    read_line(state, parameters, place.channel, shape.channels, line);
    struct Packs {
        Pack<T> x, residual;
    };
    each_pixel<Residual ? 4 : 8>(
        place, shape.pitch,
        [&](std::size_t at) {
            Packs packs;
            packs.x = read_pack(x + at);
            if constexpr (Residual) packs.residual = read_pack(residual + at);
            return packs;
        },
        [&](const Packs& packs, std::size_t at) {
            float value[N];
#pragma unroll
            for (int k = 0; k < N; ++k) {
                value[k] = to_float(packs.x.value[k]) * line.factor[k] + line.constant[k];
                if constexpr (Residual) value[k] += to_float(packs.residual.value[k]);
                value[k] = bend(curve, value[k]);
            }
            store(value, y + at);
        });
}

}  // namespace

NormGrid norm_grid(const NormShape& shape, int pack_lanes, int multiprocessors) {
    NormGrid grid;
    const auto packs = static_cast<unsigned>(shape.pitch / pack_lanes);
    while (grid.packs_a_block < packs && grid.packs_a_block < 32) grid.packs_a_block *= 2;
    grid.rows_a_block = block / grid.packs_a_block;
    grid.column_blocks = (packs + grid.packs_a_block - 1) / grid.packs_a_block;
    // One round of blocks, each with at least eight pixels a thread.
    const std::size_t wanted =
        static_cast<std::size_t>(multiprocessors) * blocks_at_once / grid.column_blocks;
    const std::size_t most = shape.pixels / (grid.rows_a_block * std::size_t{8});
    grid.strips = static_cast<unsigned>(std::clamp<std::size_t>(std::min(wanted, most), 1, 1024));
    return grid;
}

std::size_t norm_partial_floats(const NormShape& shape, const NormGrid& grid) {
    return static_cast<std::size_t>(grid.strips) * 2 * static_cast<std::size_t>(shape.pitch);
}

template <class T>
void norm_sums(const T* x, const NormShape& shape, const NormGrid& grid, float* partial, double* sums,
               cudaStream_t stream) {
    launch(grid_of(grid), block_of(grid), shared_of<T>(), stream, norm_sums_kernel<T>, x, shape, partial);
    launch(channel_blocks(shape.pitch), dim3(32, strip_rows), 0, stream, norm_join_sums_kernel<T>, partial, x,
           shape, grid.strips, sums);
}

void norm_statistics(const double* sums, const NormShape& shape, double epsilon, const NormRunning& running,
                     const NormState& state, cudaStream_t stream) {
    launch(channel_blocks(shape.pitch), 32, 0, stream, norm_statistics_kernel, sums, shape, epsilon, running,
           state);
}

void norm_from_running(const NormRunning& running, const NormShape& shape, double epsilon,
                       const NormState& state, cudaStream_t stream) {
    launch(channel_blocks(shape.pitch), 32, 0, stream, norm_from_running_kernel, running, shape, epsilon,
           state);
}

template <class T>
void norm_apply(const T* x, const T* residual, const NormShape& shape, const NormGrid& grid,
                const NormState& state, const NormParameters& parameters, Curve curve, T* y,
                cudaStream_t stream) {
    with_curve(curve, [&](auto constant) {
        launch(grid_of(grid), block_of(grid), 0, stream,
               residual ? norm_apply_kernel<T, true, constant.value>
                        : norm_apply_kernel<T, false, constant.value>,
               x, residual, shape, state, parameters, y);
    });
}

#define DIVS_NORM(T)                                                                                     \
    template void norm_sums(const T*, const NormShape&, const NormGrid&, float*, double*, cudaStream_t); \
    template void norm_apply(const T*, const T*, const NormShape&, const NormGrid&, const NormState&,    \
                             const NormParameters&, Curve, T*, cudaStream_t);
DIVS_NORM(float)
DIVS_NORM(bf16)
#undef DIVS_NORM

}  // namespace divs::kernels
