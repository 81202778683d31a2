// Processors that the plain inner loops serve as well as any.
#include "pixel_kernels.hpp"

namespace divs::video {

const PixelKernels* const* special_pixel_kernels() {
    static constexpr const PixelKernels* none[] = {nullptr};
    return none;
}

}  // namespace divs::video
