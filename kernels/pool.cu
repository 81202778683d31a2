// Each thread makes one pack of channels of one output pixel; where there is work enough, of several images:
// places are looked up once for all of them.
#include "pool.cuh"

namespace divs::kernels {
namespace {

using namespace pools;

constexpr int images_together = 2;  // that a thread makes its pack of

// One pack of one pixel of `images` images from `image` on.
struct Spot {
    int image, images, row, column, channel;
};

// Blocks: (images, rows, parts of a row).
template <int N, int Together>
__device__ bool spot_of(int images, int w, int pitch, Spot& spot) {
    const unsigned packs = static_cast<unsigned>(pitch / N), within = blockIdx.z * blockDim.x + threadIdx.x;
    if (within >= static_cast<unsigned>(w) * packs) return false;
    spot.image = static_cast<int>(blockIdx.x) * Together;
    spot.images = images - spot.image < Together ? images - spot.image : Together;
    spot.row = static_cast<int>(blockIdx.y);
    spot.column = static_cast<int>(within / packs);
    spot.channel = static_cast<int>(within % packs) * N;
    return true;
}

// The pixels of a window, row by row.
template <class Visit>
__device__ void each(Range rows, Range columns, const Visit& visit) {
    int h = rows.begin, w = columns.begin;
#pragma unroll 1
    for (int left = (rows.end - rows.begin) * (columns.end - columns.begin); left > 0; --left) {
        visit(h, w);
        if (++w == columns.end) w = columns.begin, ++h;
    }
}

// A pack of several images, `pitch` elements apart; behind the last image the first again.
template <class P, class T, int Together>
__device__ void read_packs(const T* from, std::size_t pitch, int images, P (&packs)[Together]) {
#pragma unroll
    for (int i = 0; i < Together; ++i)
        packs[i] = *reinterpret_cast<const P*>(from + (i < images ? i * pitch : 0));
}

template <class T, int Together>
__global__ void __launch_bounds__(block, 3)
    max_kernel(const T* __restrict__ x, PoolShape s, T* __restrict__ y, std::uint16_t* __restrict__ chosen) {
    constexpr int N = lanes<T>;
    Spot spot;
    if (!spot_of<N, Together>(s.images, s.out_w, s.pitch, spot)) return;
    const std::size_t in = element(1, s.in_h, s.in_w, s.pitch, 0, 0, 0),
                      out = element(1, s.out_h, s.out_w, s.pitch, 0, 0, 0);
    float best[Together][N];
    Pack<std::uint16_t, N> which[Together] = {};
#pragma unroll
    for (auto& image : best)
#pragma unroll
        for (float& b : image) b = -INFINITY;
    int number = 0;
    each(s.rows[spot.row], s.columns[spot.column], [&](int h, int w) {
        Pack<T> packs[Together];
        read_packs(x + element(spot.image, s.in_h, s.in_w, s.pitch, h, w, spot.channel), in, spot.images,
                   packs);
#pragma unroll
        for (int i = 0; i < Together; ++i)
#pragma unroll
            for (int k = 0; k < N; ++k)
                if (const float value = to_float(packs[i].value[k]); value > best[i][k] || value != value) {
                    best[i][k] = value;
                    which[i].value[k] = static_cast<std::uint16_t>(number);
                }
        ++number;
    });
    const std::size_t at =
        element(spot.image, s.out_h, s.out_w, s.pitch, spot.row, spot.column, spot.channel);
#pragma unroll
    for (int i = 0; i < Together; ++i) {
        if (i >= spot.images) break;
        store(best[i], y + at + i * out);
        if (chosen) *reinterpret_cast<Pack<std::uint16_t, N>*>(chosen + at + i * out) = which[i];
    }
}

// Adds a pack of several images, `pitch` elements apart, times `share`.
template <class T, int Together>
__device__ void add_packs(const T* from, std::size_t pitch, int images, float share,
                          float (&sum)[Together][lanes<T>]) {
    Pack<T> packs[Together];
    read_packs(from, pitch, images, packs);
#pragma unroll
    for (int i = 0; i < Together; ++i)
#pragma unroll
        for (int k = 0; k < lanes<T>; ++k) sum[i][k] += to_float(packs[i].value[k]) * share;
}

template <class T, int Together>
__global__ void __launch_bounds__(block, 3)
    average_kernel(const T* __restrict__ x, PoolShape s, T* __restrict__ y) {
    Spot spot;
    if (!spot_of<lanes<T>, Together>(s.images, s.out_w, s.pitch, spot)) return;
    const std::size_t in = element(1, s.in_h, s.in_w, s.pitch, 0, 0, 0),
                      out = element(1, s.out_h, s.out_w, s.pitch, 0, 0, 0);
    const Range rows = s.rows[spot.row], columns = s.columns[spot.column];
    float sum[Together][lanes<T>] = {};
    each(rows, columns, [&](int h, int w) {
        add_packs<T>(x + element(spot.image, s.in_h, s.in_w, s.pitch, h, w, spot.channel), in, spot.images,
                     1.0F, sum);
    });
    const float share = share_of(rows, columns);
    T* to = y + element(spot.image, s.out_h, s.out_w, s.pitch, spot.row, spot.column, spot.channel);
#pragma unroll
    for (int i = 0; i < Together; ++i) {
#pragma unroll
        for (float& v : sum[i]) v *= share;
        if (i < spot.images) store(sum[i], to + i * out);
    }
}

// Over all pixels of the output: by `several` images a thread, or by one where that leaves too few blocks.
template <class T, class Kernel, class... Arguments>
void run_forward(Kernel several, Kernel one, const PoolShape& s, cudaStream_t stream,
                 Arguments... arguments) {
    const Row row(s.out_w, s.pitch / lanes<T>);
    const auto rows = static_cast<unsigned>(s.out_h);
    const unsigned groups = blocks_for(static_cast<std::size_t>(s.images), images_together);
    const bool enough = static_cast<std::size_t>(groups) * rows * row.parts >= 1024;
    launch(dim3(enough ? groups : static_cast<unsigned>(s.images), rows, row.parts), dim3(row.threads), 0,
           stream, enough ? several : one, arguments...);
}

}  // namespace

template <class T>
void max_pool(const T* x, const PoolShape& shape, T* y, std::uint16_t* chosen, cudaStream_t stream) {
    run_forward<T>(max_kernel<T, images_together>, max_kernel<T, 1>, shape, stream, x, shape, y, chosen);
}
template <class T>
void average_pool(const T* x, const PoolShape& shape, T* y, cudaStream_t stream) {
    run_forward<T>(average_kernel<T, images_together>, average_kernel<T, 1>, shape, stream, x, shape, y);
}

#define DIVS_POOL(T)                                                                      \
    template void max_pool(const T*, const PoolShape&, T*, std::uint16_t*, cudaStream_t); \
    template void average_pool(const T*, const PoolShape&, T*, cudaStream_t);
DIVS_POOL(float)
DIVS_POOL(bf16)
#undef DIVS_POOL

}  // namespace divs::kernels
