// Each thread makes one pack of channels of one output pixel; backward, of one input pixel, which gathers
// from the windows that it lies in, so that nothing is added atomically and results repeat.
#include "block.hpp"
#include "pool.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;  // threads; four blocks a multiprocessor leave each thread 64 registers

// One pack of one pixel of an image.
struct Spot {
    int image, row, column, channel;
    std::size_t at;  // element of the tensor
};

// A block of threads has a part of one row of one image of h x w, so that only small numbers are divided.
template <int N>
__device__ bool spot_of(int h, int w, int pitch, Spot& spot) {
    const unsigned packs = static_cast<unsigned>(pitch / N), within = blockIdx.y * blockDim.x + threadIdx.x;
    if (within >= static_cast<unsigned>(w) * packs) return false;
    const auto height = static_cast<unsigned>(h);
    spot.at = (static_cast<std::size_t>(blockIdx.x) * static_cast<unsigned>(w) * packs + within) * N;
    spot.image = static_cast<int>(blockIdx.x / height);
    spot.row = static_cast<int>(blockIdx.x % height);
    spot.column = static_cast<int>(within / packs);
    spot.channel = static_cast<int>(within % packs) * N;
    return true;
}

__device__ std::size_t element(int image, int h, int w, int pitch, int row, int column, int channel) {
    return ((static_cast<std::size_t>(image) * h + row) * w + column) * pitch + channel;
}

// The pixels of a window, row by row.
template <class Visit>
__device__ void each(Range rows, Range columns, const Visit& visit) {
    int h = rows.begin, w = columns.begin;
#pragma unroll 2
    for (int left = (rows.end - rows.begin) * (columns.end - columns.begin); left > 0; --left) {
        visit(h, w);
        if (++w == columns.end) w = columns.begin, ++h;
    }
}

template <class T>
__global__ void __launch_bounds__(block, 4)
    max_kernel(const T* __restrict__ x, PoolShape s, T* __restrict__ y, std::uint16_t* __restrict__ chosen) {
    constexpr int N = lanes<T>;
    Spot spot;
    if (!spot_of<N>(s.out_h, s.out_w, s.pitch, spot)) return;
    const Range rows = s.rows[spot.row], columns = s.columns[spot.column];
    float best[N] = {};
    Pack<std::uint16_t, N> which{};
    int number = 0;
    each(rows, columns, [&](int h, int w) {
        float value[N];
        load(x + element(spot.image, s.in_h, s.in_w, s.pitch, h, w, spot.channel), value);
#pragma unroll
        for (int k = 0; k < N; ++k)
            if (number == 0 || value[k] > best[k] || value[k] != value[k]) {
                best[k] = value[k];
                which.value[k] = static_cast<std::uint16_t>(number);
            }
        ++number;
    });
    store(best, y + spot.at);
    if (chosen) *reinterpret_cast<Pack<std::uint16_t, N>*>(chosen + spot.at) = which;
}

template <class T>
__global__ void __launch_bounds__(block)
    max_backward_kernel(const T* __restrict__ dy, const std::uint16_t* __restrict__ chosen, PoolShape s,
                        T* __restrict__ dx) {
    constexpr int N = lanes<T>;
    Spot spot;
    if (!spot_of<N>(s.in_h, s.in_w, s.pitch, spot)) return;
    const Range readers = s.row_readers[spot.row], across = s.column_readers[spot.column];
    float sum[N] = {};
    each(readers, across, [&](int oh, int ow) {
        const Range rows = s.rows[oh], columns = s.columns[ow];
        const int number =
            (spot.row - rows.begin) * (columns.end - columns.begin) + spot.column - columns.begin;
        const std::size_t at = element(spot.image, s.out_h, s.out_w, s.pitch, oh, ow, spot.channel);
        const auto which = *reinterpret_cast<const Pack<std::uint16_t, N>*>(chosen + at);
        float g[N];
        load(dy + at, g);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += which.value[k] == number ? g[k] : 0.0F;
    });
    store(sum, dx + spot.at);
}

template <class T>
__global__ void __launch_bounds__(block)
    average_kernel(const T* __restrict__ x, PoolShape s, T* __restrict__ y) {
    constexpr int N = lanes<T>;
    Spot spot;
    if (!spot_of<N>(s.out_h, s.out_w, s.pitch, spot)) return;
    const Range rows = s.rows[spot.row], columns = s.columns[spot.column];
    float sum[N] = {};
    each(rows, columns, [&](int h, int w) {
        float value[N];
        load(x + element(spot.image, s.in_h, s.in_w, s.pitch, h, w, spot.channel), value);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += value[k];
    });
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
    if (!spot_of<N>(s.in_h, s.in_w, s.pitch, spot)) return;
    const Range readers = s.row_readers[spot.row], across = s.column_readers[spot.column];
    float sum[N] = {};
    each(readers, across, [&](int oh, int ow) {
        const Range rows = s.rows[oh], columns = s.columns[ow];
        const float share =
            1.0F / static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
        float g[N];
        load(dy + element(spot.image, s.out_h, s.out_w, s.pitch, oh, ow, spot.channel), g);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += g[k] * share;
    });
    store(sum, dx + spot.at);
}

struct Launch {
    dim3 grid, threads;
};
template <class T>
Launch launch_for(int images, int h, int w, int pitch) {
    const unsigned packs = static_cast<unsigned>(w) * static_cast<unsigned>(pitch / lanes<T>);
    const unsigned threads = packs < block ? (packs + 31) / 32 * 32 : block;
    return {dim3(static_cast<unsigned>(images) * static_cast<unsigned>(h),
                 blocks_for(packs, static_cast<int>(threads))),
            dim3(threads)};
}
template <class T>
Launch over_output(const PoolShape& s) {
    return launch_for<T>(s.images, s.out_h, s.out_w, s.pitch);
}
template <class T>
Launch over_input(const PoolShape& s) {
    return launch_for<T>(s.images, s.in_h, s.in_w, s.pitch);
}

}  // namespace

template <class T>
void max_pool(const T* x, const PoolShape& shape, T* y, std::uint16_t* chosen, cudaStream_t stream) {
    const Launch all = over_output<T>(shape);
    launch(all.grid, all.threads, 0, stream, max_kernel<T>, x, shape, y, chosen);
}
template <class T>
void max_pool_backward(const T* dy, const std::uint16_t* chosen, const PoolShape& shape, T* dx,
                       cudaStream_t stream) {
    const Launch all = over_input<T>(shape);
    launch(all.grid, all.threads, 0, stream, max_backward_kernel<T>, dy, chosen, shape, dx);
}
template <class T>
void average_pool(const T* x, const PoolShape& shape, T* y, cudaStream_t stream) {
    const Launch all = over_output<T>(shape);
    launch(all.grid, all.threads, 0, stream, average_kernel<T>, x, shape, y);
}
template <class T>
void average_pool_backward(const T* dy, const PoolShape& shape, T* dx, cudaStream_t stream) {
    const Launch all = over_input<T>(shape);
    launch(all.grid, all.threads, 0, stream, average_backward_kernel<T>, dy, shape, dx);
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
