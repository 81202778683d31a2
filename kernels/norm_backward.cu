#include "norm.cuh"

namespace divs::kernels {
namespace {

using namespace norms;

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

}  // namespace

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

#define DIVS_NORM(T)                                                                                  \
    template void norm_backward_sums(const T*, const T*, const T*, const NormShape&, const NormGrid&, \
                                     const NormState&, const NormParameters&, Curve, float*, double*, \
                                     float*, float*, T*, cudaStream_t);                               \
    template void norm_backward(const T*, const T*, const T*, const NormShape&, const NormGrid&,      \
                                const NormState&, const NormParameters&, Curve, const double*,        \
                                const double*, T*, cudaStream_t);
DIVS_NORM(float)
DIVS_NORM(bf16)
#undef DIVS_NORM

}  // namespace divs::kernels
