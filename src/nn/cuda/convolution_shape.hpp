// A ConvProblem in the words of the kernels.
#pragma once

#include "bf16.hpp"
#include "conv_geometry.hpp"
#include "convolution.hpp"

namespace divs::nn::cuda {

inline kernels::ConvShape kernel_shape(const ConvProblem& p) {
    kernels::ConvShape s;
    s.n = p.in.n;
    s.h = p.in.h;
    s.w = p.in.w;
    s.c = p.in.c;
    s.k = p.op.out_channels;
    s.r = p.op.kernel_h;
    s.s = p.op.kernel_w;
    s.stride_h = p.op.stride_h;
    s.stride_w = p.op.stride_w;
    s.pad_h = p.op.pad_h;
    s.pad_w = p.op.pad_w;
    s.dilation_h = p.op.dilation_h;
    s.dilation_w = p.op.dilation_w;
    s.groups = p.op.groups;
    if (p.shift.divisor > 0) {
        s.frames = p.shift.frames;
        s.shift = p.in.c / p.shift.divisor;
    }
    return s;
}

inline kernels::ConvActivation kernel_activation(Activation a) {
    return a == Activation::relu    ? kernels::ConvActivation::relu
           : a == Activation::relu6 ? kernels::ConvActivation::relu6
                                    : kernels::ConvActivation::none;
}

// Calls use(T{}) with the type that the problem's tensors hold.
template <class Use>
decltype(auto) with_type(Arithmetic arithmetic, const Use& use) {
    return arithmetic == Arithmetic::bf16 ? use(kernels::bf16{}) : use(0.0F);
}

}  // namespace divs::nn::cuda
