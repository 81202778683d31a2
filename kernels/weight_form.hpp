// Where the elements of a weight lie in a copy that compute reads.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace divs::kernels {

// A weight of (out, in, taps), as the arena holds it: `in` counts the channels of one group, a tap is one
// place of the kernel's window. Element (o, i, tap) lies in its copy at o / group_out * group_stride + o %
// group_out * out_stride + i * in_stride + tap * tap_stride; the elements between are zero.
struct WeightForm {
    int out = 0, in = 0, taps = 1;
    int group_out = 1;  // filters of one group
    int group_stride = 0, out_stride = 0, in_stride = 1, tap_stride = 0;
    std::size_t size = 0;  // elements of the copy

    // Of element `e` of the weight in the arena.
    __host__ __device__ std::size_t place(unsigned e) const {
        const unsigned tap = e % static_cast<unsigned>(taps), rest = e / static_cast<unsigned>(taps);
        const unsigned i = rest % static_cast<unsigned>(in), o = rest / static_cast<unsigned>(in);
        const unsigned group = o / static_cast<unsigned>(group_out),
                       member = o % static_cast<unsigned>(group_out);
        return static_cast<std::size_t>(group) * group_stride +
               static_cast<std::size_t>(member) * out_stride + static_cast<std::size_t>(i) * in_stride +
               static_cast<std::size_t>(tap) * tap_stride;
    }
    friend bool operator==(const WeightForm&, const WeightForm&) = default;
};

// The copy of a parameter that follows it: where it lies, and in which form. T: the compute type.
template <class T>
struct WeightCopy {
    T* copy = nullptr;
    WeightForm form;
};

// Writes one weight's copy, but not the zeros between.
template <class T>
void copy_weight(const float* master, const WeightCopy<T>& target, cudaStream_t stream);

}  // namespace divs::kernels
