// Dropout whose choices are a function of (seed, epoch, layer, sample, element): the numbers of core/random.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "bf16.hpp"

namespace divs::kernels {

struct DropoutShape {
    int rows = 0, pixels = 0, channels = 0, pitch = 0;  // pixels: of one row (image)
    int frames = 1;                                     // rows of one sample
    std::uint64_t layer = 0;
    std::uint64_t stream = 0;     // number of the random stream for dropout
    std::uint64_t threshold = 0;  // an element stays where the top 53 bits of its number are not below it
    float scale = 1;              // of what stays
};

// y = x scale where an element stays, else 0; also the gradient. May be in place.
// seed_and_epoch: two numbers; samples: one for every `frames` rows; both on the device.
template <class T>
void dropout(const T* x, const DropoutShape& shape, const std::uint64_t* seed_and_epoch,
             const std::uint64_t* samples, T* y, cudaStream_t stream);

}  // namespace divs::kernels
