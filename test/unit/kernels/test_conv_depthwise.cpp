// The convolution kernels for special layers on the host, against the oracle: depthwise, first layer, bias.
#include "conv_run.hpp"
#include "device_double.hpp"
#include "support/catch.hpp"

using namespace divs::kernels;
using namespace divs::kernels::test;
using divs::kernels::host::ThreadOrder;

namespace {

ConvShape depthwise(int n, int h, int w, int c, int kernel, int stride, int pad, int dilation = 1) {
    return conv_shape(n, h, w, c, c, kernel, stride, pad, dilation, c);
}

template <class T>
void check_depthwise(const ConvShape& s) {
    const ConvData d = conv_data<T>(s, 5);
    const int slots = s.r * s.s;
    const auto x = padded<T>(d.x, s.c), dy = padded<T>(d.dy, s.c);
    auto y = poisoned_tensor<T>(s.n * s.p() * s.q(), s.c), dx = poisoned_tensor<T>(s.n * s.h * s.w, s.c);
    conv_depthwise_gather<T>(forward_gather(s), s.c, slots, x.data(), d.w.data(), {}, 2, y.data(), nullptr);
    conv_depthwise_gather<T>(backward_gather(s), s.c, slots, dy.data(), d.w.data(), {}, 1, dx.data(),
                             nullptr);
    CHECK(tensor_error(y, d.y, s.c) < rounding<T>);
    CHECK(tensor_error(dx, d.dx, s.c) < rounding<T>);
    auto partial = poisoned<float>(count(3, slots, s.c_pitch()));
    auto dw = poisoned<float>(d.dw.size());
    conv_depthwise_weights<T>(weight_gather(s), x.data(), dy.data(), 3, partial.data(), dw.data(), nullptr);
    CHECK(value_error(dw, d.dw) < 1e-5);
}

}  // namespace

TEST_CASE("depthwise convolutions agree with the oracle") {
    for (const ThreadOrder order : {ThreadOrder::forward, ThreadOrder::shuffled}) {
        host::device().order = order;
        for (const ConvShape& s : {depthwise(2, 7, 9, 24, 3, 1, 1), depthwise(1, 8, 9, 13, 3, 2, 1),
                                   depthwise(1, 9, 8, 136, 5, 2, 2), depthwise(1, 11, 11, 8, 3, 2, 2, 2),
                                   with_shift(depthwise(4, 4, 4, 16, 3, 1, 1), 2, 8)}) {
            check_depthwise<float>(s);
            check_depthwise<bf16>(s);
        }
    }
    host::device().order = ThreadOrder::forward;
}

TEST_CASE("the first layer's kernels agree with the oracle") {
    for (const ThreadOrder order : {ThreadOrder::forward, ThreadOrder::shuffled}) {
        host::device().order = order;
        for (const ConvShape& s :
             {conv_shape(2, 21, 75, 3, 64, 7, 2, 3), conv_shape(1, 16, 16, 3, 24, 7, 2, 3),
              conv_shape(2, 19, 70, 3, 72, 3, 2, 1), conv_shape(1, 9, 8, 3, 21, 3, 2, 0)}) {
            REQUIRE(conv_first_takes(s));
            const ConvData d = conv_data<bf16>(s, 6);
            CHECK(forward_error<bf16>(s, d, [&](auto&, auto* x, auto* w, auto& finish, auto* y) {
                      conv_first(s, x, w, finish, 2, y, nullptr);
                  }) < rounding<bf16>);
            CHECK(weights_error<bf16>(s, d, 3, [&](auto&, auto* x, auto* dy, int blocks, auto* partial) {
                      conv_first_weights(s, x, dy, blocks, partial, nullptr);
                  }) < 1e-5);
        }
    }
    host::device().order = ThreadOrder::forward;
    CHECK_FALSE(conv_first_takes(conv_shape(1, 9, 9, 3, 8, 7, 1, 3)));
    CHECK_FALSE(conv_first_takes(conv_shape(1, 9, 9, 4, 8, 7, 2, 3)));
}

TEST_CASE("the gradient of a bias is the sum over pixels") {
    const int pixels = 133, channels = 141;
    const auto values = random_values<bf16>(count(pixels, channels), 4, 1);
    std::vector<float> expected(static_cast<std::size_t>(channels));
    for (std::size_t i = 0; i < values.size(); ++i) expected[i % expected.size()] += values[i];
    const auto tensor = padded<bf16>(values, channels);
    auto partial = poisoned<float>(count(3, round_up(channels, channel_step))),
         sums = poisoned<float>(expected.size());
    conv_bias_gradient(tensor.data(), static_cast<std::size_t>(pixels), channels, 3, partial.data(),
                       sums.data(), nullptr);
    CHECK(value_error(sums, expected) < 1e-5);
    const auto wide = padded<float>(values, channels);
    sums = poisoned<float>(expected.size());
    conv_bias_gradient(wide.data(), static_cast<std::size_t>(pixels), channels, 2, partial.data(),
                       sums.data(), nullptr);
    CHECK(value_error(sums, expected) < 1e-5);
}
