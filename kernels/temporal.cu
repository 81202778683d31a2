#include "block.hpp"
#include "temporal.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;

template <class T>
__global__ void __launch_bounds__(block)
    shift_kernel(const T* __restrict__ x, ClipShape s, int part, int direction, T* __restrict__ y) {
    constexpr int N = lanes<T>;
    const std::size_t row_size = static_cast<std::size_t>(s.pixels) * s.pitch;
    const std::size_t at = (static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x) * N;
    if (at >= row_size * s.rows) return;
    const int frame = static_cast<int>(at / row_size) % s.frames, channel = static_cast<int>(at % s.pitch);
    // A pack reads each of the frames that its channels need, which is one but at the borders of the parts.
    Pack<T> result{};
    for (int step = -1; step <= 1; ++step) {
        const bool inside = frame + step >= 0 && frame + step < s.frames;
        bool wanted = false;
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const int c = channel + k;
            wanted = wanted || (c < part ? direction : c < 2 * part ? -direction : 0) == step;
        }
        if (!wanted || !inside) continue;
        const auto source = *reinterpret_cast<const Pack<T>*>(x + static_cast<std::ptrdiff_t>(at) +
                                                              step * static_cast<std::ptrdiff_t>(row_size));
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const int c = channel + k;
            if ((c < part ? direction : c < 2 * part ? -direction : 0) == step)
                result.value[k] = source.value[k];
        }
    }
    *reinterpret_cast<Pack<T>*>(y + at) = result;
}

template <class T>
__global__ void __launch_bounds__(block)
    mean_kernel(const T* __restrict__ x, ClipShape s, T* __restrict__ y) {
    constexpr int N = lanes<T>;
    const std::size_t row_size = static_cast<std::size_t>(s.pixels) * s.pitch;
    const std::size_t at = (static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x) * N;
    if (at >= row_size * (s.rows / s.frames)) return;
    const std::size_t clip = at / row_size, element = at % row_size;
    float sum[N] = {};
#pragma unroll 4
    for (int t = 0; t < s.frames; ++t) {
        float value[N];
        load(x + (clip * s.frames + t) * row_size + element, value);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += value[k];
    }
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] /= static_cast<float>(s.frames);
    store(sum, y + at);
}

template <class T>
__global__ void __launch_bounds__(block)
    mean_backward_kernel(const T* __restrict__ dy, ClipShape s, T* __restrict__ dx) {
    constexpr int N = lanes<T>;
    const std::size_t row_size = static_cast<std::size_t>(s.pixels) * s.pitch;
    const std::size_t at = (static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x) * N;
    if (at >= row_size * s.rows) return;
    float value[N];
    load(dy + at / row_size / s.frames * row_size + at % row_size, value);
#pragma unroll
    for (int k = 0; k < N; ++k) value[k] /= static_cast<float>(s.frames);
    store(value, dx + at);
}

template <class T>
unsigned grid_for(const ClipShape& s, int rows) {
    return blocks_for(static_cast<std::size_t>(rows) * static_cast<std::size_t>(s.pixels) *
                          static_cast<std::size_t>(s.pitch / lanes<T>),
                      block);
}

}  // namespace

template <class T>
void temporal_shift(const T* x, const ClipShape& shape, int part, int direction, T* y, cudaStream_t stream) {
    if (shape.rows == 0) return;
    launch(grid_for<T>(shape, shape.rows), block, 0, stream, shift_kernel<T>, x, shape, part, direction, y);
}
template <class T>
void frame_mean(const T* x, const ClipShape& shape, T* y, cudaStream_t stream) {
    if (shape.rows == 0) return;
    launch(grid_for<T>(shape, shape.rows / shape.frames), block, 0, stream, mean_kernel<T>, x, shape, y);
}
template <class T>
void frame_mean_backward(const T* dy, const ClipShape& shape, T* dx, cudaStream_t stream) {
    if (shape.rows == 0) return;
    launch(grid_for<T>(shape, shape.rows), block, 0, stream, mean_backward_kernel<T>, dy, shape, dx);
}

#define DIVS_TEMPORAL(T)                                                                  \
    template void temporal_shift(const T*, const ClipShape&, int, int, T*, cudaStream_t); \
    template void frame_mean(const T*, const ClipShape&, T*, cudaStream_t);               \
    template void frame_mean_backward(const T*, const ClipShape&, T*, cudaStream_t);
DIVS_TEMPORAL(float)
DIVS_TEMPORAL(bf16)
#undef DIVS_TEMPORAL

}  // namespace divs::kernels
