// The inner loops of conversion for processors with AVX2; src/video/CMakeLists.txt gives the
// compiler's options.
#include "pixel_kernels.hpp"
#include "pixel_kernels.inl"

namespace divs::video {

extern const PixelKernels avx2_pixel_kernels;
constexpr PixelKernels avx2_pixel_kernels{"avx2", weigh, turn, across, colour, colour_widely, turn_bytes};

}  // namespace divs::video
