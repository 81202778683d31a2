#include "kernels_table.hpp"

namespace divs::nn::cpu {

const Kernels& generic_kernels() {
    static constexpr Kernels all = table<8>("generic");
    return all;
}

}  // namespace divs::nn::cpu
