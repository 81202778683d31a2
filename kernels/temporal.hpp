// What moves or averages along the frames of a clip: rows of `pixels` x `pitch`, `frames` rows a clip.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "bf16.hpp"

namespace divs::kernels {

struct ClipShape {
    int rows = 0, frames = 1, pixels = 0, pitch = 0;
};

// The first `part` channels of a row take those of the row `direction` (1 or -1) later, the next `part` those
// of the row that much earlier, zeros where there is none in the clip; the rest stays. Backward is direction
// -1.
template <class T>
void temporal_shift(const T* x, const ClipShape& shape, int part, int direction, T* y, cudaStream_t stream);

// y (rows / frames): the mean of the rows of each clip; and dx = dy / frames.
template <class T>
void frame_mean(const T* x, const ClipShape& shape, T* y, cudaStream_t stream);
template <class T>
void frame_mean_backward(const T* dy, const ClipShape& shape, T* dx, cudaStream_t stream);

}  // namespace divs::kernels
