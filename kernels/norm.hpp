// Batch normalisation with residual and activation, over x (pixels, pitch) with `channels` of `pitch` in use;
// pitch is a multiple of 8, channels behind `channels` come out as zeros. T: float or bf16; sums are taken in
// float32 about the first pixel of each channel, strip by strip, and joined in double.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "curve.hpp"

namespace divs::kernels {

struct NormShape {
    std::size_t pixels = 0;
    int channels = 0, pitch = 0;
};

// How a tensor is cut into strips: each block sums (or writes) some packs of channels of one strip of pixels.
struct NormGrid {
    unsigned packs_a_block = 1, rows_a_block = 1;  // the block's threads: packs across, pixels down
    unsigned column_blocks = 1, strips = 1;
};
NormGrid norm_grid(const NormShape& shape, int pack_lanes, int multiprocessors);
std::size_t norm_partial_floats(const NormShape& shape, const NormGrid& grid);  // of the scratch below

// Per channel; device memory of the operation, `pitch` long each.
struct NormState {
    float* mean = nullptr;
    float* inverse = nullptr;  // 1 / sqrt(variance + epsilon); 0 behind `channels`
};
struct NormParameters {
    const float *weight = nullptr, *bias = nullptr;  // (channels)
};
struct NormRunning {
    float *mean = nullptr, *variance = nullptr;  // (channels)
    float momentum = 0;
};

// sums: 1 + 2 channels doubles: count, sums of x, sums of x^2, of this rank's pixels.
template <class T>
void norm_sums(const T* x, const NormShape& shape, const NormGrid& grid, float* partial, double* sums,
               cudaStream_t stream);
// Mean and inverse deviation from sums (of this rank or of all), and the running statistics. Where the count
// is 0, nothing runs on and all is 0.
void norm_statistics(const double* sums, const NormShape& shape, double epsilon, const NormRunning& running,
                     const NormState& state, cudaStream_t stream);
// The same from the running statistics, for inference.
void norm_from_running(const NormRunning& running, const NormShape& shape, double epsilon,
                       const NormState& state, cudaStream_t stream);
// y = curve((x - mean) inverse weight + bias + residual); residual may be null
template <class T>
void norm_apply(const T* x, const T* residual, const NormShape& shape, const NormGrid& grid,
                const NormState& state, const NormParameters& parameters, Curve curve, T* y,
                cudaStream_t stream);

// Backward, g = dy slope is the gradient before the activation. y: the output, where the slope must be worked
// out from it since a residual was added; null: it is worked out from x again, which is less to read.
//
// sums: 2 channels doubles: of g, and of g times the normalised x. Writes them as the gradients of bias and
// weight too, where those are not null; and g, where `gradient` is not null (the residual's): it may be dy.
template <class T>
void norm_backward_sums(const T* x, const T* y, const T* dy, const NormShape& shape, const NormGrid& grid,
                        const NormState& state, const NormParameters& parameters, Curve curve, float* partial,
                        double* sums, float* weight_gradient, float* bias_gradient, T* gradient,
                        cudaStream_t stream);
// dx = weight inverse (g - (sum_g + normalised x sum_gx) / count); may be dy itself. `sums` are those of all
// ranks, and `count` points to the count of all of them (device). Where g was written: dy is g, without a
// curve.
template <class T>
void norm_backward(const T* x, const T* y, const T* dy, const NormShape& shape, const NormGrid& grid,
                   const NormState& state, const NormParameters& parameters, Curve curve, const double* sums,
                   const double* count, T* dx, cudaStream_t stream);

}  // namespace divs::kernels
