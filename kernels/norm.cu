#include <algorithm>
#include <type_traits>

#include "block.hpp"
#include "norm.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr unsigned block = 256;         // threads
constexpr unsigned blocks_at_once = 2;  // on a multiprocessor: leaves each thread 128 registers
constexpr unsigned strip_rows = 32;     // threads that share out the strips of a channel

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

// Joins the strips of 32 channels, in double: rows of threads, each strips as many apart as there are rows.
__device__ void join_strips(const float* partial, unsigned strips, int pitch, int channel, double& a,
                            double& b) {
    __shared__ double shared[2][strip_rows][32];
    double sum_a = 0, sum_b = 0;
    if (channel < pitch)
#pragma unroll 4
        for (unsigned s = threadIdx.y; s < strips; s += strip_rows) {
            sum_a += static_cast<double>(partial[static_cast<std::size_t>(s) * 2 * pitch + channel]);
            sum_b += static_cast<double>(partial[static_cast<std::size_t>(s) * 2 * pitch + pitch + channel]);
        }
    shared[0][threadIdx.y][threadIdx.x] = sum_a;
    shared[1][threadIdx.y][threadIdx.x] = sum_b;
    __syncthreads();
    a = b = 0;
    for (unsigned row = 0; row < strip_rows; ++row) {
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

// What is read of one pixel, and of it the gradient before the activation, whose slope is worked out from the
// output, or from x again.
template <class T, Curve curve, bool FromOutput>
struct GradientPack {
    Pack<T> x, y, dy;

    __device__ GradientPack() = default;
    __device__ GradientPack(const T* all_x, const T* all_y, const T* all_dy, std::size_t at)
        : x(read_pack(all_x + at)), dy(read_pack(all_dy + at)) {
        if constexpr (FromOutput) y = read_pack(all_y + at);
    }
    __device__ float gradient(int k, const Line<lanes<T>>& line) const {
        const float g = to_float(dy.value[k]);
        if constexpr (curve == Curve::none) return g;
        if constexpr (FromOutput) return g * slope(curve, to_float(y.value[k]));
        return g * slope(curve, to_float(x.value[k]) * line.factor[k] + line.constant[k]);
    }
};

// No __restrict__ on what is written: it may be dy.
template <class T, Curve curve, bool FromOutput>
__global__ void __launch_bounds__(block, blocks_at_once)
    norm_backward_sums_kernel(const T* __restrict__ x, const T* __restrict__ y, const T* dy, NormShape shape,
                              NormState state, NormParameters parameters, float* __restrict__ partial,
                              T* gradient) {
    constexpr int N = lanes<T>;
    using Packs = GradientPack<T, curve, FromOutput>;
    const Place place = place_of<N>(shape);
    float sum[N] = {}, products[N] = {};
    if (place.active) {
        float mean[N], inverse[N];
        Line<N> line;
        load(state.mean + place.channel, mean);
        if constexpr (curve != Curve::none && !FromOutput)
            read_line(state, parameters, place.channel, shape.channels, line);
        each_pixel<FromOutput ? 2 : 3>(
            place, shape.pitch, [&](std::size_t at) { return Packs(x, y, dy, at); },
            [&](const Packs& pack, std::size_t at) {
                float g[N];
#pragma unroll
                for (int k = 0; k < N; ++k) {
                    g[k] = pack.gradient(k, line);
                    sum[k] += g[k];
                    products[k] += g[k] * (to_float(pack.x.value[k]) - mean[k]);
                }
                if (gradient) store(g, gradient + at);
            });
        load(state.inverse + place.channel, inverse);
#pragma unroll
        for (int k = 0; k < N; ++k) products[k] *= inverse[k];
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

// factor (g - (sum_g + normalised x sum_gx) / count), as a line in g and x.
template <class T, Curve curve, bool FromOutput>
__global__ void __launch_bounds__(block, blocks_at_once)
    norm_backward_kernel(const T* __restrict__ x, const T* __restrict__ y, const T* dy, NormShape shape,
                         NormState state, NormParameters parameters, const double* __restrict__ sums,
                         const double* __restrict__ count, T* dx) {
    constexpr int N = lanes<T>;
    using Packs = GradientPack<T, curve, FromOutput>;
    const Place place = place_of<N>(shape);
    if (!place.active) return;
    Line<N> line;
    read_line(state, parameters, place.channel, shape.channels, line);
    float by_x[N], constant[N];
    {
        float mean[N];
        load(state.mean + place.channel, mean);
        load(state.inverse + place.channel, by_x);
        const double share = 1 / *count;
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const int c = place.channel + k;
            const bool used = c < shape.channels;
            by_x[k] *= used ? -line.factor[k] * static_cast<float>(sums[shape.channels + c] * share) : 0.0F;
            constant[k] =
                (used ? -line.factor[k] * static_cast<float>(sums[c] * share) : 0.0F) - by_x[k] * mean[k];
        }
    }
    each_pixel<4>(
        place, shape.pitch, [&](std::size_t at) { return Packs(x, y, dy, at); },
        [&](const Packs& pack, std::size_t at) {
            float to[N];
#pragma unroll
            for (int k = 0; k < N; ++k)
                to[k] = line.factor[k] * pack.gradient(k, line) +
                        (by_x[k] * to_float(pack.x.value[k]) + constant[k]);
            store(to, dx + at);
        });
}

// Calls work(constant) with the curve as a type's value.
template <class Work>
void with_curve(Curve curve, const Work& work) {
    if (curve == Curve::none) return work(std::integral_constant<Curve, Curve::none>{});
    if (curve == Curve::relu) return work(std::integral_constant<Curve, Curve::relu>{});
    work(std::integral_constant<Curve, Curve::relu6>{});
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

template <class T>
void norm_backward_sums(const T* x, const T* y, const T* dy, const NormShape& shape, const NormGrid& grid,
                        const NormState& state, const NormParameters& parameters, Curve curve, float* partial,
                        double* sums, float* weight_gradient, float* bias_gradient, T* gradient,
                        cudaStream_t stream) {
    with_curve(curve, [&](auto constant) {
        launch(grid_of(grid), block_of(grid), shared_of<T>(), stream,
               y ? norm_backward_sums_kernel<T, constant.value, true>
                 : norm_backward_sums_kernel<T, constant.value, false>,
               x, y, dy, shape, state, parameters, partial, gradient);
    });
    launch(channel_blocks(shape.pitch), dim3(32, strip_rows), 0, stream, norm_join_backward_kernel, partial,
           shape, grid.strips, sums, weight_gradient, bias_gradient);
}

template <class T>
void norm_backward(const T* x, const T* y, const T* dy, const NormShape& shape, const NormGrid& grid,
                   const NormState& state, const NormParameters& parameters, Curve curve, const double* sums,
                   const double* count, T* dx, cudaStream_t stream) {
    with_curve(curve, [&](auto constant) {
        launch(grid_of(grid), block_of(grid), 0, stream,
               y ? norm_backward_kernel<T, constant.value, true>
                 : norm_backward_kernel<T, constant.value, false>,
               x, y, dy, shape, state, parameters, sums, count, dx);
    });
}

#define DIVS_NORM(T)                                                                                     \
    template void norm_sums(const T*, const NormShape&, const NormGrid&, float*, double*, cudaStream_t); \
    template void norm_apply(const T*, const T*, const NormShape&, const NormGrid&, const NormState&,    \
                             const NormParameters&, Curve, T*, cudaStream_t);                            \
    template void norm_backward_sums(const T*, const T*, const T*, const NormShape&, const NormGrid&,    \
                                     const NormState&, const NormParameters&, Curve, float*, double*,    \
                                     float*, float*, T*, cudaStream_t);                                  \
    template void norm_backward(const T*, const T*, const T*, const NormShape&, const NormGrid&,         \
                                const NormState&, const NormParameters&, Curve, const double*,           \
                                const double*, T*, cudaStream_t);
DIVS_NORM(float)
DIVS_NORM(bf16)
#undef DIVS_NORM

}  // namespace divs::kernels
