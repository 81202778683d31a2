#include "block.hpp"
#include "vector.hpp"
#include "weight_form.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;

template <class T>
__global__ void copy_weight_kernel(const float* __restrict__ master, WeightCopy<T> target, unsigned size) {
    const unsigned e = blockIdx.x * block + threadIdx.x;
    if (e < size) target.copy[target.form.place(e)] = from_float<T>(master[e]);
}

}  // namespace

template <class T>
void copy_weight(const float* master, const WeightCopy<T>& target, cudaStream_t stream) {
    const WeightForm& form = target.form;
    const auto size =
        static_cast<unsigned>(form.out) * static_cast<unsigned>(form.in) * static_cast<unsigned>(form.taps);
    launch(blocks_for(size, block), block, 0, stream, copy_weight_kernel<T>, master, target, size);
}

template void copy_weight(const float*, const WeightCopy<float>&, cudaStream_t);
template void copy_weight(const float*, const WeightCopy<bf16>&, cudaStream_t);

}  // namespace divs::kernels
