// A decoded frame (YUV 4:2:0, 8 bit: NV12 or three planes) to the resized, normalised pixels that a model
// reads, in one pass: the mathematics of video/convert. Each output row is made by one block, which sums the
// rows of the picture that it shows in shared memory and then the columns.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "edges.hpp"

namespace divs::kernels {

struct FramePlane {
    const std::uint8_t* data = nullptr;  // device
    int stride = 0;                      // bytes from row to row
    int step = 1;                        // bytes from sample to sample: 2 for the chroma of NV12
};

// Output i is the sum of `count` samples from `first`, weighted by weights[offset ...]; device memory.
struct FrameWindow {
    std::int32_t first, count;
    std::uint32_t offset;
};
struct FrameBank {
    const FrameWindow* windows = nullptr;
    const float* weights = nullptr;
};

struct FrameJob {
    FramePlane y, u, v;
    FrameBank luma_down, luma_across, chroma_down, chroma_across;
    int luma_begin = 0, luma_width = 0;  // the columns of samples that the windows across reach
    int chroma_begin = 0, chroma_width = 0;
    int out_width = 0, out_height = 0;
    float colour[3][4];  // rows of (Y, U, V, 1) -> R, G, B in levels, 0..255
    PixelScale scale;    // of levels
};

// out: (out_height, out_width, 8). Levels are rounded before they are normalised, as on the host. T: float or
// bf16.
template <class T>
void convert_frame(const FrameJob& job, T* out, cudaStream_t stream);

}  // namespace divs::kernels
