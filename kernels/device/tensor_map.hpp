// Descriptions for the tensor copy engine, encoded by the driver.
#pragma once

#include <cuda.h>

#include "conv_boxes.hpp"

namespace divs::kernels {

using TensorMap = CUtensorMap;

// bfloat16, 128-byte swizzle, zeros outside. Throws std::runtime_error where the driver has no such call or
// refuses.
void encode_map(const BoxMap& map, const void* tensor, TensorMap& encoded);

}  // namespace divs::kernels
