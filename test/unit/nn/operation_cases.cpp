#include "operation_cases.hpp"

#include <fmt/format.h>

#include <utility>

namespace divs::nn::test {
namespace {

void add_convolutions(std::vector<OperationCase>& cases) {
    cases.push_back({"1x1", conv(24, 1), {{2, 5, 7, 16}}});
    cases.push_back({"1x1 on one pixel", conv(5, 1, 1, 0, 1, 1, true), {{3, 1, 1, 7}}});
    cases.push_back({"1x1 stride 2", conv(32, 1, 2), {{2, 9, 9, 16}}});
    cases.push_back({"3x3 same", conv(32, 3, 1, 1), {{2, 12, 12, 16}}});
    cases.push_back({"3x3 same, 64 channels", conv(64, 3, 1, 1), {{2, 14, 14, 64}}});
    cases.push_back({"3x3, ragged tiles", conv(48, 3, 1, 1), {{5, 13, 10, 32}}});
    cases.push_back({"3x3, no padding", conv(40, 3, 1, 0), {{4, 15, 14, 24}}});
    cases.push_back({"3x3, padding 2", conv(16, 3, 1, 2), {{6, 9, 9, 16}}});
    cases.push_back({"3x3, many tiles", conv(24, 3, 1, 1), {{9, 24, 24, 16}}});
    cases.push_back({"3x3, padding 0 and 2", rectangle(16, 3, 3, 1, 1, 0, 2), {{8, 9, 7, 16}}});
    cases.push_back({"3x3 odd channels", conv(20, 3, 1, 1), {{2, 7, 9, 13}}});
    cases.push_back({"3x3 stride 2 padded", conv(16, 3, 2, 1), {{3, 11, 13, 8}}});
    cases.push_back({"3x3 stride 2, even size", conv(48, 3, 2, 1), {{2, 14, 14, 32}}});
    cases.push_back({"7x7 stride 2, colour", conv(64, 7, 2, 3), {{2, 23, 21, 3}}});
    cases.push_back({"3x3 colour, batch 1", conv(8, 3, 1, 1, 1, 1, true), {{1, 10, 10, 3}}});
    cases.push_back({"11x11 stride 4", conv(24, 11, 4, 2, 1, 1, true), {{1, 35, 35, 3}}});
    cases.push_back({"5x5", conv(19, 5, 1, 2, 1, 1, true), {{2, 9, 8, 6}}});
    cases.push_back({"3x3 dilated", conv(16, 3, 1, 2, 1, 2), {{2, 10, 10, 16}}});
    cases.push_back({"3x3 dilated 3, odd", conv(7, 3, 2, 3, 1, 3), {{1, 13, 11, 5}}});
    cases.push_back({"grouped", conv(32, 3, 1, 1, 4), {{2, 8, 8, 16}}});
    cases.push_back({"grouped, odd", conv(15, 3, 2, 1, 3, 1, true), {{2, 9, 7, 9}}});
    cases.push_back({"depthwise", conv(32, 3, 1, 1, 32), {{2, 9, 9, 32}}});
    cases.push_back({"depthwise stride 2, odd", conv(21, 3, 2, 1, 21), {{2, 11, 9, 21}}});
    cases.push_back({"depthwise 5x5 bias", conv(24, 5, 1, 2, 24, 1, true), {{1, 8, 8, 24}}});
    cases.push_back({"depthwise multiplier 2", conv(16, 3, 1, 1, 8), {{2, 6, 6, 8}}});
    cases.push_back({"1x5 rectangle", rectangle(16, 1, 5, 1, 2, 0, 2), {{2, 6, 15, 16}}});
    cases.push_back({"5x1 rectangle", rectangle(10, 5, 1, 2, 1, 1, 0), {{1, 12, 5, 11}}});
    cases.push_back({"kernel as large as the image", conv(16, 4), {{2, 4, 4, 16}}});
    cases.push_back({"padding wider than the image", conv(16, 3, 1, 2), {{2, 1, 1, 16}}});
    cases.push_back({"512 channels on 4x4", conv(48, 3, 1, 1), {{2, 4, 4, 512}}});
}

void add_norms(std::vector<OperationCase>& cases) {
    const Shape even{3, 6, 5, 16}, odd{2, 7, 3, 21}, single{1, 9, 9, 3}, wide{2, 3, 3, 130};
    cases.push_back({"norm", norm(false, Activation::none), {even}});
    cases.push_back({"norm, relu", norm(false, Activation::relu), {odd}});
    cases.push_back({"norm, relu6", norm(false, Activation::relu6), {even}});
    cases.push_back({"norm, residual", norm(true, Activation::none), {odd, odd}});
    cases.push_back({"norm, residual, relu", norm(true, Activation::relu), {even, even}});
    cases.push_back({"norm, residual, relu6", norm(true, Activation::relu6), {wide, wide}});
    cases.push_back({"norm of batch 1", norm(false, Activation::relu), {single}});
    cases.push_back({"norm of pixels", norm(false, Activation::relu), {{32, 1, 1, 40}}});
}

void add_elementwise(std::vector<OperationCase>& cases) {
    const Shape even{2, 4, 6, 32}, odd{3, 5, 3, 11};
    cases.push_back({"relu", Activate{Activation::relu}, {odd}});
    cases.push_back({"relu6", Activate{Activation::relu6}, {even}});
    cases.push_back({"identity", Activate{Activation::none}, {odd}});
    cases.push_back({"sum", Add{}, {odd, odd}});
    cases.push_back({"sum, relu", Add{Activation::relu}, {even, even}});
    cases.push_back({"dropout", Dropout{0.4F, 2}, {odd}});
    cases.push_back({"dropout of nothing", Dropout{0.0F, 1}, {even}});
}

void add_windows(std::vector<OperationCase>& cases) {
    cases.push_back({"max 3x3 stride 2", pool(PoolKind::max, 3, 2, 1), {{2, 13, 12, 16}}});
    cases.push_back({"max 2x2, odd", pool(PoolKind::max, 2, 2, 0), {{2, 7, 5, 5}}});
    cases.push_back({"max 3x3 stride 1", pool(PoolKind::max, 3, 1, 1), {{1, 6, 6, 24}}});
    cases.push_back({"max rectangle", Pool{PoolKind::max, 1, 4, 1, 3, 0, 2}, {{2, 3, 11, 9}}});
    cases.push_back({"max of a large window", pool(PoolKind::max, 17, 1, 8), {{1, 9, 10, 3}}});
    cases.push_back({"average 3x3 padded", pool(PoolKind::average, 3, 2, 1), {{2, 9, 8, 13}}});
    cases.push_back({"average 2x2", pool(PoolKind::average, 2, 2, 0), {{2, 8, 8, 32}}});
    cases.push_back({"global average", AdaptiveAveragePool{1, 1}, {{3, 7, 7, 40}}});
    cases.push_back({"adaptive, uneven", AdaptiveAveragePool{3, 2}, {{2, 7, 5, 6}}});
    cases.push_back({"adaptive, enlarging", AdaptiveAveragePool{6, 6}, {{1, 4, 3, 16}}});
}

void add_the_rest(std::vector<OperationCase>& cases) {
    cases.push_back({"linear", Linear{10, true}, {{4, 1, 1, 32}}});
    cases.push_back({"linear of an image", Linear{7, true}, {{3, 3, 2, 20}}});
    cases.push_back({"linear without bias, batch 1", Linear{33, false}, {{1, 2, 2, 5}}});
    cases.push_back({"shift", TemporalShift{4, 8}, {{8, 3, 4, 32}}});
    cases.push_back({"shift inside blocks", TemporalShift{3, 8}, {{6, 2, 3, 40}}});
    cases.push_back({"shift of one frame", TemporalShift{1, 4}, {{3, 2, 2, 16}}});
    cases.push_back({"frame mean", FrameMean{4}, {{8, 3, 3, 10}}});
    cases.push_back({"frame mean of logits", FrameMean{3}, {{3, 1, 1, 5}}});
    cases.push_back({"lstm", Lstm{4, 16}, {{8, 1, 1, 24}}});
    cases.push_back({"lstm of images, odd sizes", Lstm{3, 7}, {{9, 3, 2, 5}}});
    cases.push_back({"lstm of one clip", Lstm{5, 9}, {{5, 1, 1, 11}}});
    cases.push_back({"lstm of one frame", Lstm{1, 6}, {{3, 2, 1, 4}}});
    cases.push_back({"lstm of one image", Lstm{1, 10}, {{1, 1, 1, 19}}});
    cases.push_back({"lstm of long clips", Lstm{13, 8}, {{26, 1, 1, 13}}});
}

OperationCase with_ending(OperationCase c, bool bias, bool residual, Activation activation) {
    auto& op = std::get<Conv2d>(c.op);
    op.bias = bias;
    op.residual = residual;
    op.activation = activation;
    if (residual) c.inputs.push_back(conv_output_shape(op, c.inputs[0]));
    for (const auto& [name, value] : {std::pair{"bias", bias}, {"residual", residual}})
        if (value) c.name += fmt::format(", {}", name);
    if (activation != Activation::none) c.name += activation == Activation::relu ? ", relu" : ", relu6";
    return c;
}

}  // namespace

std::vector<OperationCase> folded_cases() {
    struct Ending {
        bool bias, residual;
        Activation activation;
    };
    constexpr Ending endings[] = {{true, false, Activation::relu},  {true, true, Activation::relu},
                                  {true, false, Activation::relu6}, {true, true, Activation::none},
                                  {false, false, Activation::relu}, {false, true, Activation::relu6}};
    std::vector<OperationCase> plain, cases;
    add_convolutions(plain);
    for (std::size_t i = 0; i < plain.size(); ++i)
        for (const std::size_t which : {i % 6, (i + 1) % 6, (i + 3) % 6})
            cases.push_back(with_ending(plain[i], endings[which].bias, endings[which].residual,
                                        endings[which].activation));
    return cases;
}

std::vector<OperationCase> all_cases() {
    std::vector<OperationCase> cases;
    add_convolutions(cases);
    add_norms(cases);
    add_elementwise(cases);
    add_windows(cases);
    add_the_rest(cases);
    return cases;
}

}  // namespace divs::nn::test
