// How a kernel is started, and what it takes from the device beside CUDA's own names. Kernel sources include
// this; kernels/host/ holds the same names, so that they run on the host as well.
#pragma once

#include <cuda_runtime.h>

#include "bf16.hpp"

namespace divs::kernels {

// launch(grid, block, dynamic shared bytes, stream, kernel, arguments...)
template <class... Parameters, class... Arguments>
void launch(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
            void (*kernel)(Parameters...), Arguments... arguments) {
    kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
}

// The block's dynamic shared memory, aligned to 16 bytes.
template <class T>
__device__ T* dynamic_shared() {
    extern __shared__ uint4 divs_dynamic_shared[];
    return reinterpret_cast<T*>(divs_dynamic_shared);
}

__device__ inline float2 unpack(__nv_bfloat162 pair) {
    return __bfloat1622float2(pair);
}

}  // namespace divs::kernels
