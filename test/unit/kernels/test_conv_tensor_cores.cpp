// The convolution kernels on tensor cores and their plain kin, run on the host thread by thread, against the
// oracle.
#include "conv_run.hpp"
#include "device_double.hpp"
#include "support/catch.hpp"

using namespace divs::kernels;
using namespace divs::kernels::test;
using divs::kernels::host::ThreadOrder;

namespace {

struct Orders {
    explicit Orders(ThreadOrder order) { host::device().order = order; }
    ~Orders() { host::device().order = ThreadOrder::forward; }
};

template <class T>
GatherLauncher<T> gather_variant(int variant) {
    return [=](auto& g, auto* source, auto* weights, auto& finish, auto* target) {
        conv_gather(variant, g, source, weights, finish, target, nullptr);
    };
}
template <class T>
WeightLauncher<T> weight_variant(int variant) {
    return [=](auto& g, auto* input, auto* gradient, int splits, auto* partial) {
        conv_weights(variant, g, input, gradient, splits, partial, nullptr);
    };
}

template <class T>
void check_all_directions(const ConvCase& c, int gather, int weights, int splits, double bound) {
    INFO(c.name << ", variants " << gather << ", " << weights);
    const ConvData d = conv_data<T>(c.shape, 7);
    CHECK(forward_error<T>(c.shape, d, gather_variant<T>(gather)) < bound);
    CHECK(backward_error<T>(c.shape, d, gather_variant<T>(gather)) < bound);
    CHECK(weights_error<T>(c.shape, d, splits, weight_variant<T>(weights)) < std::min(bound, tf32_rounding));
}

template <class T>
void check_plain(const ConvCase& c) {
    INFO(c.name);
    const ConvData d = conv_data<T>(c.shape, 11);
    const GatherLauncher<T> gather = [](auto& g, auto* source, auto* weights, auto& finish, auto* target) {
        conv_plain_gather(g, source, weights, finish, target, nullptr);
    };
    CHECK(forward_error<T>(c.shape, d, gather) < rounding<T>);
    CHECK(backward_error<T>(c.shape, d, gather) < rounding<T>);
    CHECK(
        weights_error<T>(c.shape, d, 3, [](auto& g, auto* input, auto* gradient, int splits, auto* partial) {
            conv_plain_weights(g, input, gradient, splits, partial, nullptr);
        }) < 1e-5);
}

}  // namespace

TEST_CASE("convolutions by mma.sync agree with the oracle, bfloat16") {
    for (const ConvCase& c : conv_cases()) check_all_directions<bf16>(c, 2, 1, 2, rounding<bf16>);
}

TEST_CASE("convolutions by mma.sync agree with the oracle, TF32") {
    for (const ConvCase& c : conv_cases()) check_all_directions<float>(c, 2, 1, 3, tf32_rounding);
}

TEST_CASE("convolutions by mma.sync agree with the oracle in all tile sizes and thread orders") {
    const ConvCase wide{"more rows and columns than a tile", conv_shape(2, 9, 9, 24, 136, 3, 2, 1)};
    for (const ThreadOrder order : {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::shuffled}) {
        const Orders orders(order);
        check_all_directions<bf16>(wide, 0, 0, 2, rounding<bf16>);
        check_all_directions<bf16>(wide, 1, 1, 1, rounding<bf16>);
        check_all_directions<bf16>(wide, 2, 1, 5, rounding<bf16>);
    }
    check_all_directions<float>(wide, 0, 0, 2, tf32_rounding);
    check_all_directions<float>(wide, 1, 1, 2, tf32_rounding);
}

TEST_CASE("plain convolutions agree with the oracle") {
    for (const auto& cases : {conv_cases(), odd_cases()})
        for (const ConvCase& c : cases) {
            check_plain<float>(c);
            check_plain<bf16>(c);
        }
}

TEST_CASE("a convolution ends with bias, residual and activation, in this order") {
    const ConvShape s = conv_shape(2, 5, 6, 16, 21, 3, 1, 1);
    const ConvData d = conv_data<float>(s, 3);
    const auto x = padded<float>(d.x, s.c), w = packed_weights<float>(s, false, d.w);
    const auto bias = random_values<float>(count(s.k, 1), 3, 8), add = random_values<float>(d.y.size(), 3, 9);
    const auto residual = padded<float>(add, s.k);
    for (const auto activation : {ConvActivation::none, ConvActivation::relu, ConvActivation::relu6}) {
        auto expected = d.y;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            float& v = expected[i];
            v += bias[i % static_cast<std::size_t>(s.k)] + add[i];
            if (activation != ConvActivation::none) v = std::max(v, 0.0F);
            if (activation == ConvActivation::relu6) v = std::min(v, 6.0F);
        }
        const Finish<float> finish{bias.data(), residual.data(), activation};
        auto y = poisoned_tensor<float>(s.n * s.p() * s.q(), s.k);
        conv_plain_gather(forward_gather(s), x.data(), w.data(), finish, y.data(), nullptr);
        CHECK(tensor_error(y, expected, s.k) < 1e-5);
        y = poisoned_tensor<float>(s.n * s.p() * s.q(), s.k);
        conv_gather(2, forward_gather(s), x.data(), w.data(), finish, y.data(), nullptr);
        CHECK(tensor_error(y, expected, s.k) < tf32_rounding);
    }
}
