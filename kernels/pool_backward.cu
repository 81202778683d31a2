// Each thread makes one pack of channels of a patch of 2 x 2 input pixels, which gather from the windows that they
// lie in, so that nothing is added atomically and results repeat, and a window is read once for the whole patch.
#include "pool.cuh"

namespace divs::kernels {
namespace {

using namespace pools;

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

// Over all patches of the input.
template <class T, class Kernel, class... Arguments>
void run_backward(Kernel kernel, const PoolShape& s, cudaStream_t stream, Arguments... arguments) {
    const Row row((s.in_w + 1) / 2, s.pitch / lanes<T>);
    launch(dim3(static_cast<unsigned>(s.images), static_cast<unsigned>(s.in_h + 1) / 2, row.parts),
           dim3(row.threads), 0, stream, kernel, arguments...);
}

}  // namespace

template <class T>
void max_pool_backward(const T* dy, const std::uint16_t* chosen, const PoolShape& shape, T* dx,
                       cudaStream_t stream) {
    run_backward<T>(max_backward_kernel<T>, shape, stream, dy, chosen, shape, dx);
}
template <class T>
void average_pool_backward(const T* dy, const PoolShape& shape, T* dx, cudaStream_t stream) {
    run_backward<T>(average_backward_kernel<T>, shape, stream, dy, shape, dx);
}

#define DIVS_POOL(T)                                                                                     \
    template void max_pool_backward(const T*, const std::uint16_t*, const PoolShape&, T*, cudaStream_t); \
    template void average_pool_backward(const T*, const PoolShape&, T*, cudaStream_t);
DIVS_POOL(float)
DIVS_POOL(bf16)
#undef DIVS_POOL

}  // namespace divs::kernels
