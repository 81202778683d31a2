// A model's edges: pixels in, plain float32 in and out. pitch is a multiple of 8; channels behind the last
// are written as zeros. T: float or bf16.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "bf16.hpp"

namespace divs::kernels {

// value * factor + offset for each of the three channels.
struct PixelScale {
    float factor[3], offset[3];
};

// Clips of `pixels` pixels each, (pixels, 3) bytes that lie where `clips` say -> (clips, pixels, 8)
// normalised. Each clip begins at an address that is a multiple of 4.
template <class T>
void upload_pixels(std::span<const std::uint8_t* const> clips, std::size_t pixels, const PixelScale& scale,
                   T* tensor, cudaStream_t stream);

// (pixels, channels) float32 -> (pixels, pitch), and back
template <class T>
void widen(const float* plain, std::size_t pixels, int channels, int pitch, T* tensor, cudaStream_t stream);
template <class T>
void narrow(const T* tensor, std::size_t pixels, int channels, int pitch, float* plain, cudaStream_t stream);

}  // namespace divs::kernels
