#include "kernels_table.hpp"

namespace divs::nn::cpu {

const Kernels& avx512_kernels() {
    static constexpr Kernels all = table<16>("avx512");
    return all;
}

}  // namespace divs::nn::cpu
