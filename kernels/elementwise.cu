#include "block.hpp"
#include "elementwise.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;

__device__ std::size_t this_pack() {
    return static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
}

template <class T>
__global__ void accumulate_kernel(const T* __restrict__ source, T* __restrict__ target, std::size_t packs) {
    const std::size_t i = this_pack();
    if (i >= packs) return;
    float a[lanes<T>], b[lanes<T>];
    load(source + i * lanes<T>, a);
    load(target + i * lanes<T>, b);
#pragma unroll
    for (int k = 0; k < lanes<T>; ++k) b[k] += a[k];
    store(b, target + i * lanes<T>);
}

template <class T, bool Sum>
__global__ void activate_kernel(const T* a, const T* b, Curve curve, T* y, std::size_t packs) {
    const std::size_t i = this_pack();
    if (i >= packs) return;
    float x[lanes<T>], other[lanes<T>];
    load(a + i * lanes<T>, x);
    if (Sum) load(b + i * lanes<T>, other);
#pragma unroll
    for (int k = 0; k < lanes<T>; ++k) x[k] = bend(curve, Sum ? x[k] + other[k] : x[k]);
    store(x, y + i * lanes<T>);
}

// No __restrict__: the gradients may be written over dy.
template <class T>
__global__ void activate_backward_kernel(const T* y, const T* dy, Curve curve, T* da, T* db,
                                         std::size_t packs) {
    const std::size_t i = this_pack();
    if (i >= packs) return;
    float out[lanes<T>], gradient[lanes<T>];
    load(dy + i * lanes<T>, gradient);
    if (curve != Curve::none) {
        load(y + i * lanes<T>, out);
#pragma unroll
        for (int k = 0; k < lanes<T>; ++k) gradient[k] *= slope(curve, out[k]);
    }
    if (da) store(gradient, da + i * lanes<T>);
    if (db) store(gradient, db + i * lanes<T>);
}

}  // namespace

template <class T>
void accumulate(const T* source, T* target, std::size_t size, cudaStream_t stream) {
    const std::size_t packs = size / lanes<T>;
    if (packs == 0) return;
    launch(blocks_for(packs, block), block, 0, stream, accumulate_kernel<T>, source, target, packs);
}

template <class T>
void activate(const T* a, const T* b, Curve curve, T* y, std::size_t size, cudaStream_t stream) {
    const std::size_t packs = size / lanes<T>;
    if (packs == 0) return;
    launch(blocks_for(packs, block), block, 0, stream,
           b ? activate_kernel<T, true> : activate_kernel<T, false>, a, b, curve, y, packs);
}

template <class T>
void activate_backward(const T* y, const T* dy, Curve curve, T* da, T* db, std::size_t size,
                       cudaStream_t stream) {
    const std::size_t packs = size / lanes<T>;
    if (packs == 0 || (!da && !db)) return;
    launch(blocks_for(packs, block), block, 0, stream, activate_backward_kernel<T>, y, dy, curve, da, db,
           packs);
}

template void accumulate(const float*, float*, std::size_t, cudaStream_t);
template void accumulate(const bf16*, bf16*, std::size_t, cudaStream_t);
template void activate(const float*, const float*, Curve, float*, std::size_t, cudaStream_t);
template void activate(const bf16*, const bf16*, Curve, bf16*, std::size_t, cudaStream_t);
template void activate_backward(const float*, const float*, Curve, float*, float*, std::size_t, cudaStream_t);
template void activate_backward(const bf16*, const bf16*, Curve, bf16*, bf16*, std::size_t, cudaStream_t);

}  // namespace divs::kernels
