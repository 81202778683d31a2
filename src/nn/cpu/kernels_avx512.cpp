#include "kernels.hpp"
#include "kernels_body.hpp"

namespace divs::nn::cpu {

const Kernels& avx512_kernels() {
    static constexpr Kernels all = table("avx512", 16);
    return all;
}

}  // namespace divs::nn::cpu
