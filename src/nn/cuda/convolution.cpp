#include "convolution.hpp"

#include <algorithm>

#include "check.hpp"
#include "conv.hpp"
#include "convolution_algorithms.hpp"
#include "convolution_shape.hpp"
#include "device.hpp"

namespace divs::nn::cuda {
namespace {

constexpr int bias_shares = 128;  // partial sums of a bias's gradient

std::string_view name_of(Arithmetic arithmetic) {
    return arithmetic == Arithmetic::bf16 ? "bf16" : arithmetic == Arithmetic::tf32 ? "tf32" : "f32";
}

void check_shift(const ConvProblem& p) {
    if (p.shift.divisor > 0 && (p.shift.frames < 1 || p.in.n % p.shift.frames != 0))
        throw_error<ConfigError>("a shift in clips of {} frames does not fit {} images", p.shift.frames,
                                 p.in.n);
}

}  // namespace

double ConvProblem::multiply_adds() const {
    return nn::multiply_adds(Op{op}, op.residual ? std::vector{in, out()} : std::vector{in});
}

std::string key_of(const ConvProblem& p, Direction direction) {
    const Conv2d& o = p.op;
    std::string key = fmt::format("{} {} {}x{}x{}x{} k{} {}x{} s{}x{} p{}x{} d{}x{} g{}",
                                  direction == Direction::forward         ? "forward"
                                  : direction == Direction::backward_data ? "backward-data"
                                                                          : "backward-weights",
                                  name_of(p.arithmetic), p.in.n, p.in.h, p.in.w, p.in.c, o.out_channels,
                                  o.kernel_h, o.kernel_w, o.stride_h, o.stride_w, o.pad_h, o.pad_w,
                                  o.dilation_h, o.dilation_w, o.groups);
    if (p.shift.divisor > 0) key += fmt::format(" shift {} of {}", p.in.c / p.shift.divisor, p.shift.frames);
    if (direction == Direction::forward)
        key += fmt::format("{}{}{}", o.bias ? " bias" : "", o.residual ? " residual" : "",
                           o.activation == Activation::relu    ? " relu"
                           : o.activation == Activation::relu6 ? " relu6"
                                                               : "");
    return key;
}

std::size_t packed_weights_bytes(const ConvProblem& problem, WeightOrder order) {
    const kernels::ConvShape s = kernel_shape(problem);
    const auto slots = static_cast<std::size_t>(s.r * s.s);
    if (order == WeightOrder::oihw)
        return static_cast<std::size_t>(s.k) * static_cast<std::size_t>(s.c / s.groups) * slots *
               sizeof(float);
    const int elements = order == WeightOrder::krsc ? s.k * s.group_c() : s.c * s.group_k();
    return static_cast<std::size_t>(elements) * slots * (problem.arithmetic == Arithmetic::bf16 ? 2 : 4);
}

void pack_weights(const ConvProblem& problem, WeightOrder order, const float* oihw, void* packed,
                  cudaStream_t stream) {
    if (order == WeightOrder::oihw) {
        DIVS_CUDA_CALL(cudaMemcpyAsync, packed, oihw, packed_weights_bytes(problem, order),
                       cudaMemcpyDeviceToDevice, stream);
        return;
    }
    with_type(problem.arithmetic, [&](auto type) {
        kernels::conv_pack(kernel_shape(problem), order == WeightOrder::crsk, oihw,
                           static_cast<decltype(type)*>(packed), stream);
    });
    DIVS_CUDA_LAUNCHED("packing a convolution's weights");
}

std::size_t bias_gradient_workspace(int channels) {
    return static_cast<std::size_t>(kernels::round_up(channels, kernels::channel_step)) * bias_shares *
           sizeof(float);
}

void bias_gradient(const void* gradient, std::size_t pixels, int channels, Arithmetic arithmetic, float* sums,
                   void* workspace, cudaStream_t stream) {
    with_type(arithmetic, [&](auto type) {
        kernels::conv_bias_gradient(static_cast<const decltype(type)*>(gradient), pixels, channels,
                                    bias_shares, static_cast<float*>(workspace), sums, stream);
    });
    DIVS_CUDA_LAUNCHED("a bias's gradient");
}

std::vector<std::unique_ptr<ConvAlgorithm>> conv_candidates(const Device& device, const ConvProblem& problem,
                                                            Direction direction, const ConvOptions& options) {
    check_shift(problem);
    std::vector<std::unique_ptr<ConvAlgorithm>> candidates;
    if (options.choice != ConvChoice::cudnn)
        candidates = divs_algorithms(device, problem, direction, options.workspace_limit);
    if (options.choice != ConvChoice::divs)
        for (auto& algorithm : cudnn_algorithms(problem, direction, options))
            candidates.push_back(std::move(algorithm));
    std::erase_if(candidates, [&](const auto& a) {
        return a->workspace_bytes() > options.workspace_limit ||
               (options.deterministic && !a->deterministic());
    });
    // What cuDNN cannot do, or only with more memory, ours must.
    if (candidates.empty()) candidates = divs_algorithms(device, problem, direction, options.workspace_limit);
    return candidates;
}

}  // namespace divs::nn::cuda
