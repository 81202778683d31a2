#include "elementwise.hpp"
#include "launch.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;

template <class T>
__global__ void accumulate_kernel(const T* __restrict__ source, T* __restrict__ target, std::size_t packs) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (i >= packs) return;
    float a[lanes<T>], b[lanes<T>];
    load(source + i * lanes<T>, a);
    load(target + i * lanes<T>, b);
#pragma unroll
    for (int k = 0; k < lanes<T>; ++k) b[k] += a[k];
    store(b, target + i * lanes<T>);
}

}  // namespace

template <class T>
void accumulate(const T* source, T* target, std::size_t size, cudaStream_t stream) {
    const std::size_t packs = size / lanes<T>;
    if (packs == 0) return;
    launch(dim3(static_cast<unsigned>((packs + block - 1) / block)), dim3(block), 0, stream,
           accumulate_kernel<T>, source, target, packs);
}

template void accumulate(const float*, float*, std::size_t, cudaStream_t);
template void accumulate(const bf16*, bf16*, std::size_t, cudaStream_t);

}  // namespace divs::kernels
