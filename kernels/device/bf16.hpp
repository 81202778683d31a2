// The number types of the kernels, as CUDA has them. kernels/host/ holds the same names for the host.
#pragma once

#include <cuda_bf16.h>

namespace divs::kernels {

using bf16 = __nv_bfloat16;

}  // namespace divs::kernels
