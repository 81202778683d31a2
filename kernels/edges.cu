#include <algorithm>

#include "block.hpp"
#include "edges.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;
constexpr int pixels_a_thread = 4;  // 12 bytes: three whole words

// Travels as an argument of the launch.
struct ClipList {
    static constexpr std::size_t most = 256;
    const std::uint8_t* clip[most];
};

template <class T>
__device__ void store_pixel(const std::uint8_t* rgb, const PixelScale& scale, T* to) {
    Pack<T, 8> pixel;
#pragma unroll
    for (int k = 0; k < 8; ++k) pixel.value[k] = from_float<T>(0.0F);
#pragma unroll
    for (int k = 0; k < 3; ++k)
        pixel.value[k] = from_float<T>(static_cast<float>(rgb[k]) * scale.factor[k] + scale.offset[k]);
    using Half = Pack<T>;
#pragma unroll
    for (int k = 0; k < 8; k += lanes<T>)
        *reinterpret_cast<Half*>(to + k) = *reinterpret_cast<const Half*>(&pixel.value[k]);
}

template <class T>
__global__ void __launch_bounds__(block)
    pixels_kernel(const __grid_constant__ ClipList clips, std::size_t pixels, PixelScale scale,
                  T* __restrict__ tensors) {
    const std::uint8_t* __restrict__ bytes = clips.clip[blockIdx.y];
    T* __restrict__ tensor = tensors + blockIdx.y * pixels * 8;
    const std::size_t first = (static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x) * pixels_a_thread;
    if (first + pixels_a_thread <= pixels) {
        const auto words = *reinterpret_cast<const Pack<std::uint32_t, 1>*>(bytes + first * 3);
        std::uint32_t word[3] = {words.value[0],
                                 *reinterpret_cast<const std::uint32_t*>(bytes + first * 3 + 4),
                                 *reinterpret_cast<const std::uint32_t*>(bytes + first * 3 + 8)};
#pragma unroll
        for (int p = 0; p < pixels_a_thread; ++p) {
            std::uint8_t rgb[3];
#pragma unroll
            for (int k = 0; k < 3; ++k)
                rgb[k] = static_cast<std::uint8_t>(word[(p * 3 + k) / 4] >> ((p * 3 + k) % 4 * 8));
            store_pixel(rgb, scale, tensor + (first + p) * 8);
        }
    } else {
        for (std::size_t p = first; p < pixels; ++p) {
            const std::uint8_t rgb[3] = {bytes[p * 3], bytes[p * 3 + 1], bytes[p * 3 + 2]};
            store_pixel(rgb, scale, tensor + p * 8);
        }
    }
}

template <class T>
__global__ void __launch_bounds__(block) widen_kernel(const float* __restrict__ plain, std::size_t size,
                                                      int channels, int pitch, T* __restrict__ tensor) {
    const std::size_t at = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (at >= size) return;
    const std::size_t pixel = at / pitch;
    const int channel = static_cast<int>(at % pitch);
    tensor[at] = from_float<T>(channel < channels ? plain[pixel * channels + channel] : 0.0F);
}

template <class T>
__global__ void __launch_bounds__(block) narrow_kernel(const T* __restrict__ tensor, std::size_t size,
                                                       int channels, int pitch, float* __restrict__ plain) {
    const std::size_t at = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (at < size) plain[at] = to_float(tensor[at / channels * pitch + at % channels]);
}

}  // namespace

template <class T>
void upload_pixels(std::span<const std::uint8_t* const> clips, std::size_t pixels, const PixelScale& scale,
                   T* tensor, cudaStream_t stream) {
    const std::size_t threads = (pixels + pixels_a_thread - 1) / pixels_a_thread;
    if (threads == 0) return;
    for (std::size_t first = 0; first < clips.size(); first += ClipList::most) {
        const auto part = clips.subspan(first, std::min(ClipList::most, clips.size() - first));
        ClipList list{};
        std::copy(part.begin(), part.end(), list.clip);
        const dim3 grid(blocks_for(threads, block), static_cast<unsigned>(part.size()));
        launch(grid, block, 0, stream, pixels_kernel<T>, list, pixels, scale, tensor + first * pixels * 8);
    }
}

template <class T>
void widen(const float* plain, std::size_t pixels, int channels, int pitch, T* tensor, cudaStream_t stream) {
    const std::size_t size = pixels * static_cast<std::size_t>(pitch);
    if (size == 0) return;
    launch(blocks_for(size, block), block, 0, stream, widen_kernel<T>, plain, size, channels, pitch, tensor);
}

template <class T>
void narrow(const T* tensor, std::size_t pixels, int channels, int pitch, float* plain, cudaStream_t stream) {
    const std::size_t size = pixels * static_cast<std::size_t>(channels);
    if (size == 0) return;
    launch(blocks_for(size, block), block, 0, stream, narrow_kernel<T>, tensor, size, channels, pitch, plain);
}

#define DIVS_EDGES(T)                                                                                     \
    template void upload_pixels(std::span<const std::uint8_t* const>, std::size_t, const PixelScale&, T*, \
                                cudaStream_t);                                                            \
    template void widen(const float*, std::size_t, int, int, T*, cudaStream_t);                           \
    template void narrow(const T*, std::size_t, int, int, float*, cudaStream_t);
DIVS_EDGES(float)
DIVS_EDGES(bf16)
#undef DIVS_EDGES

}  // namespace divs::kernels
