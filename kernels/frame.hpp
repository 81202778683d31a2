// A decoded frame (YUV 4:2:0, 8 bit: NV12 or three planes) to resized RGB, in one pass: the mathematics of
// video/convert. Clips wait for their step at 8 bits, as on the host, and are normalised where they are
// gathered into a batch. Each output row is made by one block, which sums the rows of the picture that it
// shows in shared memory and then the columns.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

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
};

// out: (out_height, out_width, 3)
void convert_frame(const FrameJob& job, std::uint8_t* out, cudaStream_t stream);

}  // namespace divs::kernels
