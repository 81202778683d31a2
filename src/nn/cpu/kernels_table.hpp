// All loops as the table that the backend calls; included once by each kernels_*.cpp, which gives the
// instruction set.
#include "kernels.hpp"
#include "kernels_body.hpp"
#include "kernels_winograd.hpp"

namespace {

template <size_t lanes>
constexpr divs::nn::cpu::Kernels table(const char* name) {
    return {name,
            static_cast<int>(lanes),
            norm_measure,
            norm_apply,
            norm_sums,
            norm_gradient,
            add,
            curve_gradient,
            accumulate,
            scale,
            add_scaled,
            max_pool,
            max_pool_gradient,
            average_pool,
            average_pool_gradient,
            sgd,
            adamw,
            squares,
            winograd_table<lanes>()};
}

}  // namespace
