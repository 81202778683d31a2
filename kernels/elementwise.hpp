// Element by element over whole tensors, padding included.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "bf16.hpp"

namespace divs::kernels {

// target[i] += source[i] for `size` elements, a multiple of 8. T: float or bf16.
template <class T>
void accumulate(const T* source, T* target, std::size_t size, cudaStream_t stream);

}  // namespace divs::kernels
