// Each thread makes one pack of channels of one output pixel; where there is work enough, of several images:
// places are looked up once for all of them. Backward, it makes that of a patch of 2 x 2 input pixels, which
// gather from the windows that they lie in, so that nothing is added atomically and results repeat, and a
// window is read once for the whole patch.
#include "block.hpp"
#include "pool.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;          // threads; three blocks a multiprocessor leave each thread 80 registers
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

__device__ std::size_t element(int image, int h, int w, int pitch, int row, int column, int channel) {
    return ((static_cast<std::size_t>(image) * h + row) * w + column) * pitch + channel;
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

__device__ inline float share_of(const Range& rows, const Range& columns) {
    return 1.0F / static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
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

// Two neighbouring rows (or columns) of the input; of the last, there may be one.
struct Pair {
    int first, count;

    // The windows that any of them lies in.
    __device__ Range readers(const Range* of) const {
        Range both = of[first];
        if (count > 1) {
            const Range next = of[first + 1];
            both.begin = next.begin < both.begin ? next.begin : both.begin;
            both.end = next.end > both.end ? next.end : both.end;
        }
        return both;
    }
    // Where in a window number i of them is; -1 outside of it.
    __device__ int within(int i, const Range& window) const {
        const int at = first + i;
        return i < count && at >= window.begin && at < window.end ? at - window.begin : -1;
    }
};

// One pack of a patch of the input. Blocks: (images, pairs of rows, parts of a pair).
struct Patch {
    Pair rows, columns;
    int image, channel;
};
template <int N>
__device__ bool patch_of(const PoolShape& s, Patch& patch) {
    const unsigned packs = static_cast<unsigned>(s.pitch / N), within = blockIdx.z * blockDim.x + threadIdx.x;
    const int row = static_cast<int>(blockIdx.y) * 2, column = static_cast<int>(within / packs) * 2;
    if (column >= s.in_w) return false;
    patch.rows = {row, s.in_h - row < 2 ? 1 : 2};
    patch.columns = {column, s.in_w - column < 2 ? 1 : 2};
    patch.image = static_cast<int>(blockIdx.x);
    patch.channel = static_cast<int>(within % packs) * N;
    return true;
}

// Calls add(element of the output, rows, columns) for each window that reaches into a patch.
template <class Add>
__device__ void each_window(const PoolShape& s, const Patch& patch, const Add& add) {
    const Range rows = patch.rows.readers(s.row_readers), columns = patch.columns.readers(s.column_readers);
#pragma unroll 1
    for (int oh = rows.begin; oh < rows.end; ++oh) {
        const Range down = s.rows[oh];
        std::size_t at = element(patch.image, s.out_h, s.out_w, s.pitch, oh, columns.begin, patch.channel);
#pragma unroll 1
        for (int ow = columns.begin; ow < columns.end; ++ow, at += static_cast<unsigned>(s.pitch))
            add(at, down, s.columns[ow]);
    }
}

template <class T>
__device__ void store_patch(const float (&sum)[2][2][lanes<T>], const PoolShape& s, const Patch& patch,
                            T* dx) {
    T* to = dx + element(patch.image, s.in_h, s.in_w, s.pitch, patch.rows.first, patch.columns.first,
                         patch.channel);
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 2; ++j)
            if (i < patch.rows.count && j < patch.columns.count)
                store(sum[i][j], to + element(0, 0, s.in_w, s.pitch, i, j, 0));
}

template <class T>
__global__ void __launch_bounds__(block, 3)
    max_backward_kernel(const T* __restrict__ dy, const std::uint16_t* __restrict__ chosen, PoolShape s,
                        T* __restrict__ dx) {
    constexpr int N = lanes<T>;
    Patch patch;
    if (!patch_of<N>(s, patch)) return;
    float sum[2][2][N] = {};
    each_window(s, patch, [&](std::size_t at, const Range& rows, const Range& columns) {
        const auto which = *reinterpret_cast<const Pack<std::uint16_t, N>*>(chosen + at);
        float g[N];
        load(dy + at, g);
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                const int row = patch.rows.within(i, rows), column = patch.columns.within(j, columns);
                if (row < 0 || column < 0) continue;
                const int number = row * (columns.end - columns.begin) + column;
#pragma unroll
                for (int k = 0; k < N; ++k)
                    if (which.value[k] == number) sum[i][j][k] += g[k];
            }
    });
    store_patch<T>(sum, s, patch, dx);
}

template <class T>
__global__ void __launch_bounds__(block, 3)
    average_backward_kernel(const T* __restrict__ dy, PoolShape s, T* __restrict__ dx) {
    constexpr int N = lanes<T>;
    Patch patch;
    if (!patch_of<N>(s, patch)) return;
    float sum[2][2][N] = {};
    each_window(s, patch, [&](std::size_t at, const Range& rows, const Range& columns) {
        const float share = share_of(rows, columns);
        float g[N];
        load(dy + at, g);
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                if (patch.rows.within(i, rows) < 0 || patch.columns.within(j, columns) < 0) continue;
#pragma unroll
                for (int k = 0; k < N; ++k) sum[i][j][k] += g[k] * share;
            }
    });
    store_patch<T>(sum, s, patch, dx);
}

// Threads a block, and blocks, for rows of so many packs.
struct Row {
    unsigned threads, parts;
    Row(int pixels, int packs) {
        const auto all = static_cast<std::size_t>(pixels) * static_cast<std::size_t>(packs);
        threads = all < block ? static_cast<unsigned>(all + 31) / 32 * 32 : block;
        parts = blocks_for(all, static_cast<int>(threads));
    }
};

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

// Over all patches of the input.
template <class T, class Kernel, class... Arguments>
void run_backward(Kernel kernel, const PoolShape& s, cudaStream_t stream, Arguments... arguments) {
    const Row row((s.in_w + 1) / 2, s.pitch / lanes<T>);
    launch(dim3(static_cast<unsigned>(s.images), static_cast<unsigned>(s.in_h + 1) / 2, row.parts),
           dim3(row.threads), 0, stream, kernel, arguments...);
}

}  // namespace

template <class T>
void max_pool(const T* x, const PoolShape& shape, T* y, std::uint16_t* chosen, cudaStream_t stream) {
    run_forward<T>(max_kernel<T, images_together>, max_kernel<T, 1>, shape, stream, x, shape, y, chosen);
}
template <class T>
void max_pool_backward(const T* dy, const std::uint16_t* chosen, const PoolShape& shape, T* dx,
                       cudaStream_t stream) {
    run_backward<T>(max_backward_kernel<T>, shape, stream, dy, chosen, shape, dx);
}
template <class T>
void average_pool(const T* x, const PoolShape& shape, T* y, cudaStream_t stream) {
    run_forward<T>(average_kernel<T, images_together>, average_kernel<T, 1>, shape, stream, x, shape, y);
}
template <class T>
void average_pool_backward(const T* dy, const PoolShape& shape, T* dx, cudaStream_t stream) {
    run_backward<T>(average_backward_kernel<T>, shape, stream, dy, shape, dx);
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
