// The inner loops of conversion for processors with AVX-512 (x86-64-v4); src/video/CMakeLists.txt gives the
// compiler's options.
#include "pixel_kernels.hpp"
#include "pixel_kernels.inl"

namespace divs::video {

extern const PixelKernels avx512_pixel_kernels;
constexpr PixelKernels avx512_pixel_kernels{"avx512", weigh, turn, across, colour, colour_widely, turn_bytes};

}  // namespace divs::video
