#include "divs/nn/operations.hpp"

#include <array>
#include <numeric>

#include "divs/core/error.hpp"

namespace divs::nn {
namespace {

std::string text(const Shape& s) {
    return fmt::format("({}, {}, {}, {})", s.n, s.h, s.w, s.c);
}

void expect_inputs(const Op& op, const std::vector<Shape>& inputs) {
    if (inputs.size() != input_count(op))
        throw_error<ConfigError>("{}: {} inputs, expected {}", kind_name(op), inputs.size(), input_count(op));
    for (const auto& s : inputs)
        if (s.n < 0 || s.h < 1 || s.w < 1 || s.c < 1)
            throw_error<ConfigError>("{}: input {} has no elements", kind_name(op), text(s));
    if (std::holds_alternative<Conv2d>(op)) return;  // what it adds has its output's shape
    for (const auto& s : inputs)
        if (s != inputs.front())
            throw_error<ConfigError>("{}: inputs {} and {}, expected one shape", kind_name(op),
                                     text(inputs[0]), text(s));
}

// Positions of a window of `kernel` elements, `dilation` apart, on `size` elements padded on both sides.
int positions(std::string_view what, int size, int kernel, int stride, int pad, int dilation) {
    if (kernel < 1 || stride < 1 || dilation < 1 || pad < 0)
        throw_error<ConfigError>("{}: kernel {}, stride {}, padding {}, dilation {}: expected positive sizes",
                                 what, kernel, stride, pad, dilation);
    const int reach = dilation * (kernel - 1) + 1, padded = size + 2 * pad;
    if (reach > padded)
        throw_error<ConfigError>("{}: a window of {} does not fit into {} elements padded to {}", what, reach,
                                 size, padded);
    return (padded - reach) / stride + 1;
}

Shape shape_of(const Conv2d& op, const std::vector<Shape>& inputs) {
    const Shape out = conv_output_shape(op, inputs[0]);
    if (op.residual && inputs[1] != out)
        throw_error<ConfigError>("conv2d: adds {} to {}, expected one shape", text(inputs[1]), text(out));
    return out;
}

Shape shape_of(const BatchNorm& op, const std::vector<Shape>& inputs) {
    if (!(op.epsilon > 0) || !(op.momentum >= 0 && op.momentum <= 1))
        throw_error<ConfigError>("batchnorm: epsilon {} and momentum {}, expected > 0 and 0 to 1", op.epsilon,
                                 op.momentum);
    return inputs[0];
}

Shape shape_of(const Activate&, const std::vector<Shape>& inputs) {
    return inputs[0];
}
Shape shape_of(const Add&, const std::vector<Shape>& inputs) {
    return inputs[0];
}

Shape shape_of(const Pool& op, const std::vector<Shape>& inputs) {
    const Shape& in = inputs[0];
    const Shape out{in.n, positions("pool", in.h, op.kernel_h, op.stride_h, op.pad_h, 1),
                    positions("pool", in.w, op.kernel_w, op.stride_w, op.pad_w, 1), in.c};
    // More padding than half a window would make windows without a single element.
    if (2 * op.pad_h > op.kernel_h || 2 * op.pad_w > op.kernel_w)
        throw_error<ConfigError>("pool: padding ({}, {}), expected at most half the kernel ({}, {})",
                                 op.pad_h, op.pad_w, op.kernel_h, op.kernel_w);
    return out;
}

Shape shape_of(const AdaptiveAveragePool& op, const std::vector<Shape>& inputs) {
    if (op.out_h < 1 || op.out_w < 1)
        throw_error<ConfigError>("adaptive_average_pool: output ({}, {}), expected positive sizes", op.out_h,
                                 op.out_w);
    return {inputs[0].n, op.out_h, op.out_w, inputs[0].c};
}

Shape shape_of(const Linear& op, const std::vector<Shape>& inputs) {
    if (op.out_features < 1)
        throw_error<ConfigError>("linear: {} features, expected at least 1", op.out_features);
    return {inputs[0].n, 1, 1, op.out_features};
}

Shape shape_of(const Dropout& op, const std::vector<Shape>& inputs) {
    if (!(op.rate >= 0 && op.rate < 1))
        throw_error<ConfigError>("dropout: rate {}, expected 0 <= rate < 1", op.rate);
    return inputs[0];
}

void expect_clips(std::string_view what, const Shape& in, int frames) {
    if (frames < 1 || in.n % frames != 0)
        throw_error<ConfigError>("{}: a batch of {} images is no whole number of clips of {} frames", what,
                                 in.n, frames);
}

Shape shape_of(const TemporalShift& op, const std::vector<Shape>& inputs) {
    expect_clips("temporal_shift", inputs[0], op.frames);
    if (op.divisor < 2)
        throw_error<ConfigError>("temporal_shift: divisor {}, expected at least 2 (two parts move)",
                                 op.divisor);
    return inputs[0];
}

Shape shape_of(const FrameMean& op, const std::vector<Shape>& inputs) {
    expect_clips("frame_mean", inputs[0], op.frames);
    return {inputs[0].n / op.frames, inputs[0].h, inputs[0].w, inputs[0].c};
}

Shape shape_of(const Lstm& op, const std::vector<Shape>& inputs) {
    expect_clips("lstm", inputs[0], op.frames);
    if (op.hidden < 1) throw_error<ConfigError>("lstm: {} outputs, expected at least 1", op.hidden);
    return {inputs[0].n, 1, 1, op.hidden};
}

}  // namespace

std::size_t ParameterShape::size() const noexcept {
    return std::accumulate(dims.begin(), dims.end(), std::size_t{1},
                           [](std::size_t product, int d) { return product * static_cast<std::size_t>(d); });
}

std::string_view kind_name(const Op& op) noexcept {
    static constexpr std::array<std::string_view, std::variant_size_v<Op>> names{
        "conv2d", "batchnorm", "activate",       "add",        "pool", "adaptive_average_pool",
        "linear", "dropout",   "temporal_shift", "frame_mean", "lstm"};
    return names[op.index()];
}

std::size_t input_count(const Op& op) noexcept {
    if (std::holds_alternative<Add>(op)) return 2;
    const auto* norm = std::get_if<BatchNorm>(&op);
    const auto* conv = std::get_if<Conv2d>(&op);
    return (norm && norm->residual) || (conv && conv->residual) ? 2 : 1;
}

Shape output_shape(const Op& op, const std::vector<Shape>& inputs) {
    expect_inputs(op, inputs);
    return std::visit([&](const auto& o) { return shape_of(o, inputs); }, op);
}

Shape conv_output_shape(const Conv2d& op, const Shape& in) {
    if (op.out_channels < 1 || op.groups < 1 || in.c % op.groups != 0 || op.out_channels % op.groups != 0)
        throw_error<ConfigError>("conv2d: {} groups do not divide {} input and {} output channels", op.groups,
                                 in.c, op.out_channels);
    return {in.n, positions("conv2d", in.h, op.kernel_h, op.stride_h, op.pad_h, op.dilation_h),
            positions("conv2d", in.w, op.kernel_w, op.stride_w, op.pad_w, op.dilation_w), op.out_channels};
}

std::vector<ParameterShape> parameter_shapes(const Op& op, const std::vector<Shape>& inputs) {
    const Shape out = output_shape(op, inputs);
    const Shape& in = inputs[0];
    std::vector<ParameterShape> shapes;
    if (const auto* conv = std::get_if<Conv2d>(&op)) {
        shapes.push_back({"weight", {out.c, in.c / conv->groups, conv->kernel_h, conv->kernel_w}, true});
        if (conv->bias) shapes.push_back({"bias", {out.c}, false});
    } else if (const auto* linear = std::get_if<Linear>(&op)) {
        shapes.push_back({"weight", {out.c, in.c * in.h * in.w}, true});
        if (linear->bias) shapes.push_back({"bias", {out.c}, false});
    } else if (std::holds_alternative<BatchNorm>(op)) {
        shapes.push_back({"weight", {in.c}, false});
        shapes.push_back({"bias", {in.c}, false});
    } else if (std::holds_alternative<Lstm>(op)) {
        const int gates = 4 * out.c;
        shapes.push_back({"weight_ih_l0", {gates, in.c * in.h * in.w}, true});
        shapes.push_back({"weight_hh_l0", {gates, out.c}, true});
        shapes.push_back({"bias_ih_l0", {gates}, false});
        shapes.push_back({"bias_hh_l0", {gates}, false});
    }
    return shapes;
}

std::vector<ParameterShape> buffer_shapes(const Op& op, const std::vector<Shape>& inputs) {
    output_shape(op, inputs);
    if (!std::holds_alternative<BatchNorm>(op)) return {};
    return {{"running_mean", {inputs[0].c}, false}, {"running_var", {inputs[0].c}, false}};
}

double multiply_adds(const Op& op, const std::vector<Shape>& inputs) {
    const Shape out = output_shape(op, inputs);
    const Shape& in = inputs[0];
    if (const auto* conv = std::get_if<Conv2d>(&op))
        return static_cast<double>(out.size()) * (in.c / conv->groups) * conv->kernel_h * conv->kernel_w;
    const double features = static_cast<double>(in.h) * in.w * in.c;
    if (std::holds_alternative<Linear>(op)) return static_cast<double>(out.size()) * features;
    if (std::holds_alternative<Lstm>(op)) return 4 * static_cast<double>(out.size()) * (features + out.c);
    return 0;
}

}  // namespace divs::nn
