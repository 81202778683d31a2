#include "kernels.hpp"
#include "kernels_body.hpp"

namespace divs::nn::cpu {

const Kernels& avx2_kernels() {
    static constexpr Kernels all = table("avx2", 8);
    return all;
}

}  // namespace divs::nn::cpu
