// Each thread makes one pack of channels of one output pixel; backward, of one input pixel, which gathers
// from the windows that it lies in, so that nothing is added atomically and results repeat.
#include "block.hpp"
#include "pool.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;  // threads; four blocks a multiprocessor leave each thread 64 registers

// One pack of one pixel of an image of h x w.
struct Spot {
    int image, row, column, channel;
    std::size_t at;  // element of the tensor
};

template <int N>
__device__ bool spot_of(int images, int h, int w, int pitch, Spot& spot) {
    const int packs = pitch / N;
    std::size_t i = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (i >= static_cast<std::size_t>(images) * h * w * packs) return false;
    spot.at = i * N;
    spot.channel = static_cast<int>(i % packs) * N;
    i /= packs;
    spot.column = static_cast<int>(i % w);
    i /= w;
    spot.row = static_cast<int>(i % h);
    spot.image = static_cast<int>(i / h);
    return true;
}

__device__ std::size_t element(int image, int h, int w, int pitch, int row, int column, int channel) {
    return ((static_cast<std::size_t>(image) * h + row) * w + column) * pitch + channel;
}

template <class T>
__global__ void __launch_bounds__(block, 4)
    max_kernel(const T* __restrict__ x, PoolShape s, T* __restrict__ y, std::uint16_t* __restrict__ chosen) {
    constexpr int N = lanes<T>;
    Spot spot;
    if (!spot_of<N>(s.images, s.out_h, s.out_w, s.pitch, spot)) return;
    const Range rows = s.rows[spot.row], columns = s.columns[spot.column];
    float best[N] = {};
    Pack<std::uint16_t, N> which{};
    int number = 0;
    for (int h = rows.begin; h < rows.end; ++h)
        for (int w = columns.begin; w < columns.end; ++w, ++number) {
            float value[N];
            load(x + element(spot.image, s.in_h, s.in_w, s.pitch, h, w, spot.channel), value);
#pragma unroll
            for (int k = 0; k < N; ++k)
                if (number == 0 || value[k] > best[k] || value[k] != value[k]) {
                    best[k] = value[k];
                    which.value[k] = static_cast<std::uint16_t>(number);
                }
        }
    store(best, y + spot.at);
    if (chosen) *reinterpret_cast<Pack<std::uint16_t, N>*>(chosen + spot.at) = which;
}

template <class T>
__global__ void __launch_bounds__(block)
    max_backward_kernel(const T* __restrict__ dy, const std::uint16_t* __restrict__ chosen, PoolShape s,
                        T* __restrict__ dx) {
    constexpr int N = lanes<T>;
    Spot spot;
    if (!spot_of<N>(s.images, s.in_h, s.in_w, s.pitch, spot)) return;
    const Range readers = s.row_readers[spot.row], across = s.column_readers[spot.column];
    float sum[N] = {};
    for (int oh = readers.begin; oh < readers.end; ++oh)
        for (int ow = across.begin; ow < across.end; ++ow) {
            const Range rows = s.rows[oh], columns = s.columns[ow];
            const int number =
                (spot.row - rows.begin) * (columns.end - columns.begin) + spot.column - columns.begin;
            const std::size_t at = element(spot.image, s.out_h, s.out_w, s.pitch, oh, ow, spot.channel);
            const auto which = *reinterpret_cast<const Pack<std::uint16_t, N>*>(chosen + at);
            float g[N];
            load(dy + at, g);
#pragma unroll
            for (int k = 0; k < N; ++k) sum[k] += which.value[k] == number ? g[k] : 0.0F;
        }
    store(sum, dx + spot.at);
}

template <class T>
__global__ void __launch_bounds__(block)
    average_kernel(const T* __restrict__ x, PoolShape s, T* __restrict__ y) {
    constexpr int N = lanes<T>;
    Spot spot;
    if (!spot_of<N>(s.images, s.out_h, s.out_w, s.pitch, spot)) return;
    const Range rows = s.rows[spot.row], columns = s.columns[spot.column];
    float sum[N] = {};
    for (int h = rows.begin; h < rows.end; ++h)
#pragma unroll 4
        for (int w = columns.begin; w < columns.end; ++w) {
            float value[N];
            load(x + element(spot.image, s.in_h, s.in_w, s.pitch, h, w, spot.channel), value);
#pragma unroll
            for (int k = 0; k < N; ++k) sum[k] += value[k];
        }
    const float size = static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] /= size;
    store(sum, y + spot.at);
}

template <class T>
__global__ void __launch_bounds__(block)
    average_backward_kernel(const T* __restrict__ dy, PoolShape s, T* __restrict__ dx) {
    constexpr int N = lanes<T>;
    Spot spot;
    if (!spot_of<N>(s.images, s.in_h, s.in_w, s.pitch, spot)) return;
    const Range readers = s.row_readers[spot.row], across = s.column_readers[spot.column];
    float sum[N] = {};
    for (int oh = readers.begin; oh < readers.end; ++oh)
        for (int ow = across.begin; ow < across.end; ++ow) {
            const Range rows = s.rows[oh], columns = s.columns[ow];
            const float share =
                1.0F / static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
            float g[N];
            load(dy + element(spot.image, s.out_h, s.out_w, s.pitch, oh, ow, spot.channel), g);
#pragma unroll
            for (int k = 0; k < N; ++k) sum[k] += g[k] * share;
        }
    store(sum, dx + spot.at);
}

template <class T>
unsigned grid_for(int images, int h, int w, int pitch) {
    return blocks_for(static_cast<std::size_t>(images) * static_cast<std::size_t>(h) *
                          static_cast<std::size_t>(w) * static_cast<std::size_t>(pitch / lanes<T>),
                      block);
}
template <class T>
unsigned out_grid(const PoolShape& s) {
    return grid_for<T>(s.images, s.out_h, s.out_w, s.pitch);
}
template <class T>
unsigned in_grid(const PoolShape& s) {
    return grid_for<T>(s.images, s.in_h, s.in_w, s.pitch);
}

}  // namespace

template <class T>
void max_pool(const T* x, const PoolShape& shape, T* y, std::uint16_t* chosen, cudaStream_t stream) {
    launch(out_grid<T>(shape), block, 0, stream, max_kernel<T>, x, shape, y, chosen);
}
template <class T>
void max_pool_backward(const T* dy, const std::uint16_t* chosen, const PoolShape& shape, T* dx,
                       cudaStream_t stream) {
    launch(in_grid<T>(shape), block, 0, stream, max_backward_kernel<T>, dy, chosen, shape, dx);
}
template <class T>
void average_pool(const T* x, const PoolShape& shape, T* y, cudaStream_t stream) {
    launch(out_grid<T>(shape), block, 0, stream, average_kernel<T>, x, shape, y);
}
template <class T>
void average_pool_backward(const T* dy, const PoolShape& shape, T* dx, cudaStream_t stream) {
    launch(in_grid<T>(shape), block, 0, stream, average_backward_kernel<T>, dy, shape, dx);
}

#define DIVS_POOL(T)                                                                                     \
    template void max_pool(const T*, const PoolShape&, T*, std::uint16_t*, cudaStream_t);                \
    template void max_pool_backward(const T*, const std::uint16_t*, const PoolShape&, T*, cudaStream_t); \
    template void average_pool(const T*, const PoolShape&, T*, cudaStream_t);                            \
    template void average_pool_backward(const T*, const PoolShape&, T*, cudaStream_t);
DIVS_POOL(float)
DIVS_POOL(bf16)
#undef DIVS_POOL

}  // namespace divs::kernels
