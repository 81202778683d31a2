// Shapes, parameters and errors of operations, against closed forms and numbers that torch gives.

#include "divs/core/error.hpp"
#include "operation_cases.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::nn;
using namespace divs::nn::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("The shape of a convolution counts the positions of its window") {
    for (int size : {1, 4, 7, 12, 33})
        for (int kernel : {1, 2, 3, 5})
            for (int stride : {1, 2, 3})
                for (int pad : {0, 1, 2})
                    for (int dilation : {1, 2}) {
                        int positions = 0;
                        for (int at = -pad; at + dilation * (kernel - 1) < size + pad; at += stride)
                            ++positions;
                        const Conv2d op = conv(4, kernel, stride, pad, 1, dilation);
                        const std::vector<Shape> in{{2, size, size, 3}};
                        if (positions > 0)
                            CHECK(output_shape(op, in) == Shape{2, positions, positions, 4});
                        else
                            CHECK_THROWS_AS(output_shape(op, in), ConfigError);
                    }
}

TEST_CASE("Layers of known networks have their known sizes") {
    CHECK(output_shape(conv(64, 7, 2, 3), {{8, 224, 224, 3}}) == Shape{8, 112, 112, 64});
    CHECK(output_shape(pool(PoolKind::max, 3, 2, 1), {{8, 112, 112, 64}}) == Shape{8, 56, 56, 64});
    CHECK(output_shape(conv(64, 11, 4, 2), {{1, 224, 224, 3}}) == Shape{1, 55, 55, 64});
    CHECK(multiply_adds(conv(64, 7, 2, 3), {{1, 224, 224, 3}}) == 112.0 * 112 * 64 * 3 * 49);
    CHECK(multiply_adds(conv(32, 3, 1, 1, 32), {{2, 10, 10, 32}}) == 2.0 * 100 * 32 * 9);
    CHECK(multiply_adds(Linear{10}, {{4, 6, 6, 256}}) == 4.0 * 10 * 36 * 256);
    CHECK(multiply_adds(Add{}, {{1, 2, 2, 2}, {1, 2, 2, 2}}) == 0);
    CHECK(output_shape(FrameMean{8}, {{16, 1, 1, 5}}) == Shape{2, 1, 1, 5});
    CHECK(output_shape(Lstm{8, 128}, {{16, 7, 7, 5}}) == Shape{16, 1, 1, 128});
    CHECK(multiply_adds(Lstm{8, 128}, {{16, 7, 7, 5}}) == 16.0 * 4 * 128 * (7 * 7 * 5 + 128));
}

TEST_CASE("Parameters lie as torch has them") {
    const auto grouped = parameter_shapes(conv(32, 3, 1, 1, 4, 1, true), {{1, 8, 8, 16}});
    REQUIRE(grouped.size() == 2);
    CHECK(grouped[0].name == "weight");
    CHECK(grouped[0].dims == std::vector<int>{32, 4, 3, 3});
    CHECK(grouped[0].decays);
    CHECK(grouped[1].dims == std::vector<int>{32});
    CHECK_FALSE(grouped[1].decays);
    CHECK(grouped[0].size() == 32 * 4 * 9);
    CHECK(parameter_shapes(conv(32, 3), {{1, 8, 8, 16}}).size() == 1);
    CHECK(parameter_shapes(Linear{10}, {{1, 6, 6, 256}})[0].dims == std::vector<int>{10, 9216});
    const auto norms = parameter_shapes(BatchNorm{}, {{1, 8, 8, 16}});
    CHECK((norms.size() == 2 && !norms[0].decays && !norms[1].decays));
    const auto buffers = buffer_shapes(BatchNorm{}, {{1, 8, 8, 16}});
    REQUIRE(buffers.size() == 2);
    CHECK(buffers[0].name == "running_mean");
    CHECK(buffers[1].name == "running_var");
    CHECK(buffer_shapes(Linear{3}, {{1, 1, 1, 4}}).empty());
    const auto lstm = parameter_shapes(Lstm{2, 10}, {{4, 3, 2, 5}});
    const std::vector<std::pair<std::string, std::vector<int>>> torch{
        {"weight_ih_l0", {40, 30}}, {"weight_hh_l0", {40, 10}}, {"bias_ih_l0", {40}}, {"bias_hh_l0", {40}}};
    REQUIRE(lstm.size() == torch.size());
    for (std::size_t i = 0; i < lstm.size(); ++i) {
        CHECK(lstm[i].name == torch[i].first);
        CHECK(lstm[i].dims == torch[i].second);
        CHECK(lstm[i].decays == (i < 2));
    }
}

TEST_CASE("An operation that does not fit says which sizes clash") {
    const Shape s{4, 8, 8, 16};
    CHECK_THROWS_WITH(output_shape(conv(30, 3, 1, 1, 4), {s}), ContainsSubstring("4 groups") && ContainsSubstring("30"));
    CHECK_THROWS_WITH(output_shape(conv(8, 11), {s}), ContainsSubstring("11") && ContainsSubstring("8"));
    CHECK_THROWS_WITH(output_shape(Add{}, {s}), ContainsSubstring("add") && ContainsSubstring("1 inputs, expected 2"));
    CHECK_THROWS_WITH(output_shape(Add{}, {s, {4, 8, 8, 8}}), ContainsSubstring("(4, 8, 8, 8)"));
    CHECK_THROWS_WITH(output_shape(norm(true, Activation::relu), {s}), ContainsSubstring("expected 2"));
    CHECK_THROWS_WITH(output_shape(pool(PoolKind::max, 2, 2, 2), {s}), ContainsSubstring("padding"));
    CHECK_THROWS_WITH(output_shape(TemporalShift{3, 8}, {s}), ContainsSubstring("clips of 3 frames"));
    CHECK_THROWS_WITH(output_shape(FrameMean{8}, {s}), ContainsSubstring("4 images"));
    CHECK_THROWS_WITH(output_shape(Lstm{3, 8}, {s}),
                      ContainsSubstring("lstm") && ContainsSubstring("clips of 3 frames"));
    CHECK_THROWS_WITH(output_shape(Lstm{0, 8}, {s}), ContainsSubstring("clips of 0 frames"));
    CHECK_THROWS_WITH(output_shape(Lstm{4, 0}, {s}), ContainsSubstring("lstm: 0 outputs"));
    CHECK_THROWS_AS(output_shape(Dropout{1.0F, 0}, {s}), ConfigError);
    CHECK_THROWS_AS(output_shape(Linear{0}, {s}), ConfigError);
    CHECK_THROWS_AS(output_shape(conv(8, 3, 0), {s}), ConfigError);
    CHECK_THROWS_AS(output_shape(AdaptiveAveragePool{0, 1}, {s}), ConfigError);
}
