#include <algorithm>

#include "block.hpp"
#include "norm.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr unsigned block = 256;  // threads; four blocks a multiprocessor leave each thread 64 registers

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

template <class T>
__global__ void __launch_bounds__(block)
    norm_sums_kernel(const T* __restrict__ x, NormShape shape, float* __restrict__ partial) {
    constexpr int N = lanes<T>;
    const Place place = place_of<N>(shape);
    float centre[N] = {}, sum[N] = {}, squares[N] = {};
    if (place.active) load(x + place.channel, centre);
    if (place.active)
#pragma unroll 4
        for (std::size_t p = place.first; p < place.end; p += place.rows) {
            float value[N];
            load(x + p * shape.pitch + place.channel, value);
#pragma unroll
            for (int k = 0; k < N; ++k) {
                const float d = value[k] - centre[k];
                sum[k] += d;
                squares[k] += d * d;
            }
        }
    join_rows(sum, squares, place, shape.pitch, partial);
}

// Joins the strips of 32 channels, in double: eight rows of threads, each every eighth strip.
__device__ void join_strips(const float* partial, unsigned strips, int pitch, int channel, double& a,
                            double& b) {
    __shared__ double shared[2][8][32];
    double sum_a = 0, sum_b = 0;
    if (channel < pitch)
        for (unsigned s = threadIdx.y; s < strips; s += 8) {
            sum_a += static_cast<double>(partial[static_cast<std::size_t>(s) * 2 * pitch + channel]);
            sum_b += static_cast<double>(partial[static_cast<std::size_t>(s) * 2 * pitch + pitch + channel]);
        }
    shared[0][threadIdx.y][threadIdx.x] = sum_a;
    shared[1][threadIdx.y][threadIdx.x] = sum_b;
    __syncthreads();
    a = b = 0;
    for (int row = 0; row < 8; ++row) {
        a += shared[0][row][threadIdx.x];
        b += shared[1][row][threadIdx.x];
    }
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

// What the channels of one pack are moved and scaled by.
template <int N>
struct Constants {
    float mean[N], inverse[N], weight[N], bias[N];
};

template <int N>
__device__ void read_constants(const NormState& state, const NormParameters& parameters, int channel,
                               int channels, Constants<N>& c) {
    load(state.mean + channel, c.mean);
    load(state.inverse + channel, c.inverse);
#pragma unroll
    for (int k = 0; k < N; ++k) {
        c.weight[k] = channel + k < channels ? parameters.weight[channel + k] : 0.0F;
        c.bias[k] = channel + k < channels ? parameters.bias[channel + k] : 0.0F;
    }
}

template <class T, bool Residual>
__global__ void __launch_bounds__(block, 4)
    norm_apply_kernel(const T* __restrict__ x, const T* __restrict__ residual, NormShape shape,
                      NormState state, NormParameters parameters, Curve curve, T* __restrict__ y) {
    constexpr int N = lanes<T>;
    const Place place = place_of<N>(shape);
    if (!place.active) return;
    Constants<N> c;
    read_constants(state, parameters, place.channel, shape.channels, c);
#pragma unroll
    for (int k = 0; k < N; ++k) c.weight[k] *= c.inverse[k];
#pragma unroll 4
    for (std::size_t p = place.first; p < place.end; p += place.rows) {
        const std::size_t at = p * shape.pitch + place.channel;
        float value[N], other[N];
        load(x + at, value);
        if (Residual) load(residual + at, other);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const float normal = (value[k] - c.mean[k]) * c.weight[k] + c.bias[k];
            value[k] = bend(curve, Residual ? normal + other[k] : normal);
        }
        store(value, y + at);
    }
}

template <int N, class T>
__device__ void load_gradient(const T* y, const T* dy, std::size_t at, Curve curve, float (&g)[N]) {
    load(dy + at, g);
    if (curve == Curve::none) return;
    float out[N];
    load(y + at, out);
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] *= slope(curve, out[k]);
}

template <class T>
__global__ void __launch_bounds__(block)
    norm_backward_sums_kernel(const T* __restrict__ x, const T* __restrict__ y, const T* __restrict__ dy,
                              NormShape shape, NormState state, Curve curve, float* __restrict__ partial) {
    constexpr int N = lanes<T>;
    const Place place = place_of<N>(shape);
    float sum[N] = {}, products[N] = {};
    if (place.active) {
        float mean[N], inverse[N];
        load(state.mean + place.channel, mean);
        load(state.inverse + place.channel, inverse);
#pragma unroll 2
        for (std::size_t p = place.first; p < place.end; p += place.rows) {
            const std::size_t at = p * shape.pitch + place.channel;
            float value[N], g[N];
            load(x + at, value);
            load_gradient(y, dy, at, curve, g);
#pragma unroll
            for (int k = 0; k < N; ++k) {
                sum[k] += g[k];
                products[k] += g[k] * ((value[k] - mean[k]) * inverse[k]);
            }
        }
    }
    join_rows(sum, products, place, shape.pitch, partial);
}

__global__ void norm_join_backward_kernel(const float* __restrict__ partial, NormShape shape, unsigned strips,
                                          double* __restrict__ sums, float* __restrict__ weight_gradient,
                                          float* __restrict__ bias_gradient) {
    const int channel = static_cast<int>(blockIdx.x * 32 + threadIdx.x);
    double sum, products;
    join_strips(partial, strips, shape.pitch, channel, sum, products);
    if (threadIdx.y != 0 || channel >= shape.channels) return;
    sums[channel] = sum;
    sums[shape.channels + channel] = products;
    if (bias_gradient) bias_gradient[channel] = static_cast<float>(sum);
    if (weight_gradient) weight_gradient[channel] = static_cast<float>(products);
}

// No __restrict__ on what is written: it may be dy.
template <class T>
__global__ void __launch_bounds__(block)
    norm_backward_kernel(const T* __restrict__ x, const T* __restrict__ y, const T* dy, NormShape shape,
                         NormState state, const float* __restrict__ weights, Curve curve,
                         const double* __restrict__ sums, const double* __restrict__ count, T* dx,
                         T* dresidual) {
    constexpr int N = lanes<T>;
    const Place place = place_of<N>(shape);
    if (!place.active) return;
    float mean[N], inverse[N], factor[N], mean_g[N], mean_gx[N];
    load(state.mean + place.channel, mean);
    load(state.inverse + place.channel, inverse);
#pragma unroll
    for (int k = 0; k < N; ++k) {
        const int c = place.channel + k;
        const bool used = c < shape.channels;
        factor[k] = used ? weights[c] * inverse[k] : 0.0F;
        mean_g[k] = used ? static_cast<float>(sums[c] / *count) : 0.0F;
        mean_gx[k] = used ? static_cast<float>(sums[shape.channels + c] / *count) : 0.0F;
    }
    for (std::size_t p = place.first; p < place.end; p += place.rows) {
        const std::size_t at = p * shape.pitch + place.channel;
        float value[N], g[N];
        load_gradient(y, dy, at, curve, g);
        if (dx) load(x + at, value);
        if (dresidual) store(g, dresidual + at);
        if (!dx) continue;
#pragma unroll
        for (int k = 0; k < N; ++k)
            g[k] = factor[k] * (g[k] - (mean_g[k] + (value[k] - mean[k]) * inverse[k] * mean_gx[k]));
        store(g, dx + at);
    }
}

dim3 grid_of(const NormGrid& grid) {
    return dim3(grid.column_blocks, grid.strips);
}
dim3 block_of(const NormGrid& grid) {
    return dim3(grid.packs_a_block, grid.rows_a_block);
}
template <class T>
std::size_t shared_of() {
    return block * 2 * lanes<T> * sizeof(float);
}
unsigned channel_blocks(int pitch) {
    return blocks_for(static_cast<std::size_t>(pitch), 32);
}

}  // namespace

NormGrid norm_grid(const NormShape& shape, int pack_lanes, int multiprocessors) {
    NormGrid grid;
    const auto packs = static_cast<unsigned>(shape.pitch / pack_lanes);
    while (grid.packs_a_block < packs && grid.packs_a_block < 32) grid.packs_a_block *= 2;
    grid.rows_a_block = block / grid.packs_a_block;
    grid.column_blocks = (packs + grid.packs_a_block - 1) / grid.packs_a_block;
    // Eight blocks a multiprocessor, each with at least four pixels a thread.
    const std::size_t wanted = static_cast<std::size_t>(multiprocessors) * 8 / grid.column_blocks;
    const std::size_t most = shape.pixels / (grid.rows_a_block * std::size_t{4});
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
    launch(channel_blocks(shape.pitch), dim3(32, 8), 0, stream, norm_join_sums_kernel<T>, partial, x, shape,
           grid.strips, sums);
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
    launch(grid_of(grid), block_of(grid), 0, stream,
           residual ? norm_apply_kernel<T, true> : norm_apply_kernel<T, false>, x, residual, shape, state,
           parameters, curve, y);
}

template <class T>
void norm_backward_sums(const T* x, const T* y, const T* dy, const NormShape& shape, const NormGrid& grid,
                        const NormState& state, Curve curve, float* partial, double* sums,
                        float* weight_gradient, float* bias_gradient, cudaStream_t stream) {
    launch(grid_of(grid), block_of(grid), shared_of<T>(), stream, norm_backward_sums_kernel<T>, x, y, dy,
           shape, state, curve, partial);
    launch(channel_blocks(shape.pitch), dim3(32, 8), 0, stream, norm_join_backward_kernel, partial, shape,
           grid.strips, sums, weight_gradient, bias_gradient);
}

template <class T>
void norm_backward(const T* x, const T* y, const T* dy, const NormShape& shape, const NormGrid& grid,
                   const NormState& state, const NormParameters& parameters, Curve curve, const double* sums,
                   const double* count, T* dx, T* dresidual, cudaStream_t stream) {
    if (!dx && !dresidual) return;
    launch(grid_of(grid), block_of(grid), 0, stream, norm_backward_kernel<T>, x, y, dy, shape, state,
           parameters.weight, curve, sums, count, dx, dresidual);
}

#define DIVS_NORM(T)                                                                                     \
    template void norm_sums(const T*, const NormShape&, const NormGrid&, float*, double*, cudaStream_t); \
    template void norm_apply(const T*, const T*, const NormShape&, const NormGrid&, const NormState&,    \
                             const NormParameters&, Curve, T*, cudaStream_t);                            \
    template void norm_backward_sums(const T*, const T*, const T*, const NormShape&, const NormGrid&,    \
                                     const NormState&, Curve, float*, double*, float*, float*,           \
                                     cudaStream_t);                                                      \
    template void norm_backward(const T*, const T*, const T*, const NormShape&, const NormGrid&,         \
                                const NormState&, const NormParameters&, Curve, const double*,           \
                                const double*, T*, T*, cudaStream_t);
DIVS_NORM(float)
DIVS_NORM(bf16)
#undef DIVS_NORM

}  // namespace divs::kernels
