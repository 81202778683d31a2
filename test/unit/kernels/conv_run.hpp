// Runs one direction of a convolution by a kernel, on memory that is poisoned before, and gives the relative
// error against the oracle.
#pragma once

#include <functional>

#include "conv.hpp"
#include "conv_data.hpp"

namespace divs::kernels::test {

template <class T>
using GatherLauncher =
    std::function<void(const Gather&, const T* source, const T* weights, const Finish<T>&, T* target)>;
template <class T>
using WeightLauncher =
    std::function<void(const WeightGather&, const T* input, const T* gradient, int splits, float* partial)>;

template <class T>
std::vector<T> packed_weights(const ConvShape& s, bool transposed, const std::vector<float>& master) {
    const std::size_t size =
        transposed ? count(s.c, s.r, s.s, s.group_k()) : count(s.k, s.r, s.s, s.group_c());
    auto packed = poisoned<T>(size);
    conv_pack(s, transposed, master.data(), packed.data(), nullptr);
    return packed;
}

template <class T>
double forward_error(const ConvShape& s, const ConvData& d, const GatherLauncher<T>& run) {
    const auto x = padded<T>(d.x, s.c), w = packed_weights<T>(s, false, d.w);
    auto y = poisoned_tensor<T>(s.n * s.p() * s.q(), s.k);
    run(forward_gather(s), x.data(), w.data(), {}, y.data());
    return tensor_error(y, d.y, s.k);
}

template <class T>
double backward_error(const ConvShape& s, const ConvData& d, const GatherLauncher<T>& run) {
    const auto dy = padded<T>(d.dy, s.k), w = packed_weights<T>(s, true, d.w);
    auto dx = poisoned_tensor<T>(s.n * s.h * s.w, s.c);
    run(backward_gather(s), dy.data(), w.data(), {}, dx.data());
    return tensor_error(dx, d.dx, s.c);
}

template <class T>
double weights_error(const ConvShape& s, const ConvData& d, int splits, const WeightLauncher<T>& run) {
    const auto x = padded<T>(d.x, s.c), dy = padded<T>(d.dy, s.k);
    const WeightGather g = weight_gather(s);
    auto partial = poisoned<float>(weight_partial_size(g) * static_cast<std::size_t>(splits));
    auto dw = poisoned<float>(d.dw.size());
    run(g, x.data(), dy.data(), splits, partial.data());
    conv_reduce(g, partial.data(), splits, dw.data(), nullptr);
    return value_error(dw, d.dw);
}

// Outputs of bfloat16 are rounded once; float32 and sums differ by the order of additions; TF32 rounds its
// factors.
template <class T>
inline constexpr double rounding = sizeof(T) == 2 ? 3e-3 : 1e-5;
inline constexpr double tf32_rounding = 8e-4;

}  // namespace divs::kernels::test
