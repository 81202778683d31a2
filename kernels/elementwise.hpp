// Element by element over whole tensors, padding included: `size` is a multiple of 8. T: float or bf16.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "curve.hpp"

namespace divs::kernels {

// target += source
template <class T>
void accumulate(const T* source, T* target, std::size_t size, cudaStream_t stream);

// y = curve(a), or curve(a + b) where b is not null
template <class T>
void activate(const T* a, const T* b, Curve curve, T* y, std::size_t size, cudaStream_t stream);

// da = db = dy slope(y); either may be null, and either may be dy itself
template <class T>
void activate_backward(const T* y, const T* dy, Curve curve, T* da, T* db, std::size_t size,
                       cudaStream_t stream);

}  // namespace divs::kernels
