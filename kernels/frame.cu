#include "block.hpp"
#include "frame.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;

// row[x] = sum over the window's rows of weight x sample, for `width` columns from `begin`; four columns a
// thread, read as one word where the plane allows.
__device__ void sum_rows(const FramePlane& plane, const FrameBank& down, int out_row, int begin, int width,
                         float* row) {
    const FrameWindow window = down.windows[out_row];
    const float* weights = down.weights + window.offset;
    const std::uint8_t* top =
        plane.data + static_cast<std::ptrdiff_t>(window.first) * plane.stride + begin * plane.step;
    const bool words =
        plane.step == 1 && plane.stride % 4 == 0 && reinterpret_cast<std::uintptr_t>(top) % 4 == 0;
    for (int x = static_cast<int>(threadIdx.x) * 4; x < width; x += block * 4) {
        float sum[4] = {};
        const int valid = width - x < 4 ? width - x : 4;
        if (words && valid == 4) {
#pragma unroll 4
            for (int k = 0; k < window.count; ++k) {
                const auto four = *reinterpret_cast<const std::uint32_t*>(
                    top + static_cast<std::ptrdiff_t>(k) * plane.stride + x);
#pragma unroll
                for (int i = 0; i < 4; ++i) sum[i] += weights[k] * static_cast<float>(four >> (8 * i) & 0xFF);
            }
        } else {
            for (int k = 0; k < window.count; ++k)
#pragma unroll
                for (int i = 0; i < 4; ++i)
                    if (i < valid)
                        sum[i] +=
                            weights[k] *
                            static_cast<float>(
                                top[static_cast<std::ptrdiff_t>(k) * plane.stride + (x + i) * plane.step]);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i)
            if (i < valid) row[x + i] = sum[i];
    }
}

__device__ float sum_columns(const float* row, const FrameBank& across, int column, int begin) {
    const FrameWindow window = across.windows[column];
    float sum = 0;
    for (int k = 0; k < window.count; ++k)
        sum += across.weights[window.offset + k] * row[window.first - begin + k];
    return sum;
}

__device__ std::uint8_t level(const float (&row)[4], float y, float u, float v) {
    const float value = row[0] * y + row[1] * u + row[2] * v + row[3];
    return static_cast<std::uint8_t>((value > 0 ? value < 255 ? value : 255.0F : 0.0F) + 0.5F);
}

__global__ void __launch_bounds__(block) frame_kernel(FrameJob job, std::uint8_t* __restrict__ out) {
    float* luma = dynamic_shared<float>();
    float* u = luma + job.luma_width;
    float* v = u + job.chroma_width;
    const int row = static_cast<int>(blockIdx.x);
    sum_rows(job.y, job.luma_down, row, job.luma_begin, job.luma_width, luma);
    sum_rows(job.u, job.chroma_down, row, job.chroma_begin, job.chroma_width, u);
    sum_rows(job.v, job.chroma_down, row, job.chroma_begin, job.chroma_width, v);
    __syncthreads();
    for (int column = static_cast<int>(threadIdx.x); column < job.out_width; column += block) {
        const float ly = sum_columns(luma, job.luma_across, column, job.luma_begin);
        const float cu = sum_columns(u, job.chroma_across, column, job.chroma_begin);
        const float cv = sum_columns(v, job.chroma_across, column, job.chroma_begin);
        std::uint8_t* to = out + (static_cast<std::size_t>(row) * job.out_width + column) * 3;
#pragma unroll
        for (int c = 0; c < 3; ++c) to[c] = level(job.colour[c], ly, cu, cv);
    }
}

}  // namespace

void convert_frame(const FrameJob& job, std::uint8_t* out, cudaStream_t stream) {
    const std::size_t shared =
        (static_cast<std::size_t>(job.luma_width) + 2 * static_cast<std::size_t>(job.chroma_width)) *
        sizeof(float);
    if (shared > (48U << 10))  // pictures wider than 6144 samples
        cudaFuncSetAttribute(frame_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared));
    launch(static_cast<unsigned>(job.out_height), block, shared, stream, frame_kernel, job, out);
}

}  // namespace divs::kernels
