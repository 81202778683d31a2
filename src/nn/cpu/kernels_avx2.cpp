#include "kernels_table.hpp"

namespace divs::nn::cpu {

const Kernels& avx2_kernels() {
    static constexpr Kernels all = table<8>("avx2");
    return all;
}

}  // namespace divs::nn::cpu
