#include "kernels.hpp"
#include "kernels_body.hpp"

namespace divs::nn::cpu {

const Kernels& generic_kernels() {
    static constexpr Kernels all = table("generic", 8);
    return all;
}

}  // namespace divs::nn::cpu
