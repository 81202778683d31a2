// Descriptions for the host's double of the tensor copy engine: as they are.
#pragma once

#include "conv_boxes.hpp"

namespace divs::kernels {

struct TensorMap {
    BoxMap map;
    const void* tensor = nullptr;
};

inline void encode_map(const BoxMap& map, const void* tensor, TensorMap& encoded) {
    encoded = {map, tensor};
}

}  // namespace divs::kernels
