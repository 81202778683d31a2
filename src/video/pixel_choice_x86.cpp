// Which sets of inner loops this x86 processor can run.
#include "pixel_kernels.hpp"

namespace divs::video {

extern const PixelKernels avx2_pixel_kernels, avx512_pixel_kernels;

const PixelKernels* const* special_pixel_kernels() {
    static constexpr const PixelKernels* all[] = {&avx512_pixel_kernels, &avx2_pixel_kernels, nullptr};
    static const int unusable =
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd") &&
                __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni")
            ? 0
        : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")
            ? 1
            : 2;
    return all + unusable;
}

}  // namespace divs::video
