// The inner loops of conversion for any processor.
#include "pixel_kernels.hpp"
#include "pixel_kernels.inl"

namespace divs::video {

const PixelKernels& plain_pixel_kernels() {
    static constexpr PixelKernels kernels{"plain", weigh, turn, across, colour, colour_widely, turn_bytes};
    return kernels;
}

}  // namespace divs::video
