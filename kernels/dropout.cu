#include "block.hpp"
#include "dropout.hpp"
#include "philox.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;

// No __restrict__: it may work in place. Block row y takes the rows y, y + gridDim.y, ...
template <class T>
__global__ void __launch_bounds__(block)
    dropout_kernel(const T* x, DropoutShape s, const std::uint64_t* __restrict__ seed_and_epoch,
                   const std::uint64_t* __restrict__ samples, T* y) {
    constexpr int N = lanes<T>;
    const std::size_t packs = static_cast<std::size_t>(s.pitch) / N * s.pixels;
    const std::size_t pack = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (pack >= packs) return;
    const std::uint64_t pixel = pack / (s.pitch / N);
    const int channel = static_cast<int>(pack % (s.pitch / N)) * N;
    const std::uint64_t elements = static_cast<std::uint64_t>(s.pixels) * s.channels;
    for (int row = static_cast<int>(blockIdx.y); row < s.rows; row += static_cast<int>(gridDim.y)) {
        const std::uint64_t key = random_key(seed_and_epoch[0], s.stream, (seed_and_epoch[1] << 16) | s.layer,
                                             samples[row / s.frames]);
        const std::uint64_t first =
            static_cast<std::uint64_t>(row % s.frames) * elements + pixel * s.channels + channel;
        const std::size_t at = (static_cast<std::size_t>(row) * packs + pack) * N;
        float value[N];
        load(x + at, value);
#pragma unroll
        for (int k = 0; k < N; ++k)
            value[k] = (random_bits(key, first + k) >> 11) >= s.threshold ? value[k] * s.scale : 0.0F;
        store(value, y + at);
    }
}

}  // namespace

template <class T>
void dropout(const T* x, const DropoutShape& shape, const std::uint64_t* seed_and_epoch,
             const std::uint64_t* samples, T* y, cudaStream_t stream) {
    if (shape.rows == 0) return;
    const std::size_t packs =
        static_cast<std::size_t>(shape.pitch / lanes<T>) * static_cast<std::size_t>(shape.pixels);
    const auto rows = static_cast<unsigned>(shape.rows < 65535 ? shape.rows : 65535);
    launch(dim3(blocks_for(packs, block), rows), block, 0, stream, dropout_kernel<T>, x, shape,
           seed_and_epoch, samples, y);
}

template void dropout(const float*, const DropoutShape&, const std::uint64_t*, const std::uint64_t*, float*,
                      cudaStream_t);
template void dropout(const bf16*, const DropoutShape&, const std::uint64_t*, const std::uint64_t*, bf16*,
                      cudaStream_t);

}  // namespace divs::kernels
