// Convolutions to test the kernels on: random data, what the oracle of src/nn makes of it, and tensors as the
// kernels want them.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "bf16.hpp"
#include "conv_geometry.hpp"
#include "divs/core/random.hpp"
#include "divs/nn/backend.hpp"
#include "vector.hpp"

namespace divs::kernels::test {

struct ConvCase {
    std::string name;
    ConvShape shape;
};

// Unpadded float32: NHWC and OIHW. The results hold no bias, residual or activation.
struct ConvData {
    std::vector<float> x, w, dy, y, dx, dw;
};

inline std::size_t count(int a, int b, int c = 1, int d = 1) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c) *
           static_cast<std::size_t>(d);
}

template <class T>
std::vector<float> random_values(std::size_t size, std::uint64_t seed, std::uint64_t which) {
    const Random random(seed, Stream::test, which);
    std::vector<float> values(size);
    for (std::size_t i = 0; i < size; ++i)
        values[i] = to_float(from_float<T>(static_cast<float>(random.normal(i))));
    return values;
}

// An operation of the oracle on plain tensors: forward, and backward where `dy` is given.
struct OracleRun {
    std::vector<float> y, dx;
    std::vector<float> dw;
};
inline OracleRun run_oracle(nn::Backend& oracle, const nn::Op& op, const nn::Shape& in,
                            const std::vector<float>& x, std::vector<float> w, const std::vector<float>& dy) {
    const auto operation = oracle.plan(op, {{in, nullptr}}, {});
    auto tensor = [&](const nn::Shape& shape) {
        const nn::TensorDesc desc{shape, nullptr};
        return nn::Tensor{desc, oracle.allocate(oracle.bytes(desc))};
    };
    nn::Tensor input = tensor(in), output = tensor(operation->output().shape), gradient = tensor(in);
    nn::Tensor output_gradient = tensor(operation->output().shape);
    oracle.upload(x.data(), input);
    OracleRun run;
    run.dw.resize(w.size());
    nn::Parameters parameters;
    if (!w.empty()) {
        parameters.values.emplace_back(w);
        parameters.gradients.emplace_back(run.dw);
    }
    const auto workspace = oracle.allocate(operation->workspace_bytes());
    const nn::Tensor* inputs[] = {&input};
    nn::Tensor* gradients[] = {&gradient};
    operation->forward(inputs, output, parameters, {}, workspace->data());
    run.y.resize(output.shape().size());
    oracle.download(output, run.y.data());
    if (!dy.empty()) {
        oracle.upload(dy.data(), output_gradient);
        operation->backward(inputs, output, output_gradient, gradients, parameters, {}, workspace->data());
        run.dx.resize(in.size());
        oracle.download(gradient, run.dx.data());
    }
    return run;
}

inline nn::Conv2d conv_op(const ConvShape& s) {
    nn::Conv2d op;
    op.out_channels = s.k;
    op.kernel_h = s.r;
    op.kernel_w = s.s;
    op.stride_h = s.stride_h;
    op.stride_w = s.stride_w;
    op.pad_h = s.pad_h;
    op.pad_w = s.pad_w;
    op.dilation_h = s.dilation_h;
    op.dilation_w = s.dilation_w;
    op.groups = s.groups;
    return op;
}

// T: what the tensors hold; the inputs are such numbers exactly.
template <class T>
ConvData conv_data(const ConvShape& s, std::uint64_t seed) {
    ConvData d;
    d.x = random_values<T>(count(s.n, s.h, s.w, s.c), seed, 1);
    d.w = random_values<T>(count(s.k, s.c / s.groups, s.r, s.s), seed, 2);
    d.dy = random_values<T>(count(s.n, s.p(), s.q(), s.k), seed, 3);
    const auto oracle = nn::make_backend("reference", {});
    const nn::Shape in{s.n, s.h, s.w, s.c};
    nn::Op shift = nn::TemporalShift{s.frames, s.shift > 0 ? s.c / s.shift : 1};
    const auto shifted = s.shift > 0 ? run_oracle(*oracle, shift, in, d.x, {}, {}).y : d.x;
    auto run = run_oracle(*oracle, conv_op(s), in, shifted, d.w, d.dy);
    d.y = run.y;
    d.dw = run.dw;
    d.dx = s.shift > 0 ? run_oracle(*oracle, shift, in, d.x, {}, run.dx).dx : run.dx;
    return d;
}

// (pixels, channels) -> (pixels, pitch), zeros behind the channels.
template <class T>
std::vector<T> padded(const std::vector<float>& values, int channels) {
    const auto c = static_cast<std::size_t>(channels),
               pitch = static_cast<std::size_t>(round_up(channels, channel_step));
    std::vector<T> to(values.size() / c * pitch, from_float<T>(0.0F));
    for (std::size_t i = 0; i < values.size(); ++i) to[i / c * pitch + i % c] = from_float<T>(values[i]);
    return to;
}

template <class T>
std::vector<T> poisoned(std::size_t size) {
    return std::vector<T>(size, from_float<T>(std::numeric_limits<float>::quiet_NaN()));
}
template <class T>
std::vector<T> poisoned_tensor(int pixels, int channels) {
    return poisoned<T>(count(pixels, round_up(channels, channel_step)));
}

// || a - b || / || b || over the true channels; infinite where padding is not zero or a value is not a
// number.
template <class T>
double tensor_error(const std::vector<T>& got, const std::vector<float>& expected, int channels) {
    const auto c = static_cast<std::size_t>(channels),
               pitch = static_cast<std::size_t>(round_up(channels, channel_step));
    double difference = 0, size = 0;
    if (got.size() / pitch != expected.size() / c) return std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double value = static_cast<double>(to_float(got[i]));
        const double wanted = i % pitch < c ? static_cast<double>(expected[i / pitch * c + i % pitch]) : 0.0;
        if (!std::isfinite(value) || (i % pitch >= c && value != 0))
            return std::numeric_limits<double>::infinity();
        difference += (value - wanted) * (value - wanted);
        size += wanted * wanted;
    }
    return difference == 0 ? 0 : std::sqrt(difference / std::max(size, 1e-30));
}
inline double value_error(const std::vector<float>& got, const std::vector<float>& expected) {
    double difference = 0, size = 0;
    if (got.size() != expected.size()) return std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double d = static_cast<double>(got[i]) - static_cast<double>(expected[i]);
        if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
        difference += d * d;
        size += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
    }
    return difference == 0 ? 0 : std::sqrt(difference / std::max(size, 1e-30));
}

inline ConvShape conv_shape(int n, int h, int w, int c, int k, int kernel, int stride = 1, int pad = 0,
                            int dilation = 1, int groups = 1) {
    ConvShape s;
    s.n = n;
    s.h = h;
    s.w = w;
    s.c = c;
    s.k = k;
    s.r = s.s = kernel;
    s.stride_h = s.stride_w = stride;
    s.pad_h = s.pad_w = pad;
    s.dilation_h = s.dilation_w = dilation;
    s.groups = groups;
    return s;
}
inline ConvShape with_shift(ConvShape s, int frames, int shift) {
    s.frames = frames;
    s.shift = shift;
    return s;
}
inline ConvShape uneven(ConvShape s) {
    s.s = 2;
    s.stride_w = 1;
    s.pad_h = 2;
    s.pad_w = 0;
    s.dilation_h = 2;
    return s;
}

// Awkward shapes: odd sizes, few channels, no multiples of a tile, strides that leave pixels out.
inline std::vector<ConvCase> conv_cases() {
    return {{"3x3", conv_shape(2, 9, 7, 16, 24, 3, 1, 1)},
            {"3x3 of 72 channels", conv_shape(1, 6, 5, 72, 40, 3, 1, 1)},
            {"3x3 stride 2, odd", conv_shape(2, 9, 11, 16, 16, 3, 2, 1)},
            {"3x3 stride 2, even", conv_shape(1, 8, 10, 8, 16, 3, 2, 1)},
            {"1x1", conv_shape(3, 5, 5, 136, 8, 1)},
            {"1x1 stride 2", conv_shape(2, 7, 6, 24, 16, 1, 2)},
            {"1x1 on 1x1", conv_shape(5, 1, 1, 16, 16, 1)},
            {"dilated", conv_shape(1, 11, 9, 8, 16, 3, 1, 2, 2)},
            {"dilated stride 2", conv_shape(1, 11, 10, 8, 16, 3, 2, 2, 3)},
            {"stride 3", conv_shape(1, 10, 11, 8, 8, 3, 3, 0)},
            {"3 channels 7x7/2", conv_shape(1, 15, 18, 3, 16, 7, 2, 3)},
            {"channels of no step", conv_shape(2, 5, 6, 13, 21, 3, 1, 1)},
            {"uneven kernel", uneven(conv_shape(1, 9, 8, 16, 8, 3, 2, 1))},
            {"2 groups", conv_shape(1, 6, 7, 32, 16, 3, 1, 1, 1, 2)},
            {"clips shifted", with_shift(conv_shape(6, 4, 5, 32, 16, 3, 1, 1), 3, 8)},
            {"clips shifted, stride 2", with_shift(conv_shape(4, 5, 5, 32, 8, 3, 2, 1), 2, 8)}};
}

// Those that only the plain kernels take.
inline std::vector<ConvCase> odd_cases() {
    return {{"groups of 3 channels", conv_shape(1, 6, 7, 9, 6, 3, 1, 1, 1, 3)},
            {"clips with a shift of 2 channels", with_shift(conv_shape(4, 3, 3, 10, 5, 3, 1, 1), 2, 2)},
            {"4 groups to 1 channel each", conv_shape(2, 5, 5, 12, 4, 3, 2, 1, 1, 4)}};
}

}  // namespace divs::kernels::test
