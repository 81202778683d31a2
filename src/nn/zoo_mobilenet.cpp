// MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen, arXiv 1801.04381), names as in torchvision.
#include <string>

#include "divs/nn/builder.hpp"
#include "zoo.hpp"

namespace divs::nn {
namespace {

struct Stage {
    int expand, channels, blocks, stride;  // t, c, n, s of the paper's table 2
};
constexpr Stage stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                            {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

// 1x1 expansion, 3x3 depthwise, 1x1 projection without activation; added to its input where the shapes agree.
void inverted_residual(SpecBuilder& b, const std::string& at, int in, int expand, int out, int stride) {
    const int x = b.last(), hidden = in * expand;
    int part = 0;
    if (expand != 1) {
        b.conv(at + "0.0", hidden, 1);
        b.norm(at + "0.1", Activation::relu6);
        part = 1;
    }
    b.conv(at + std::to_string(part) + ".0", hidden, 3, stride, 1, hidden);
    b.norm(at + std::to_string(part) + ".1", Activation::relu6);
    b.conv(at + std::to_string(part + 1), out, 1);
    const std::string norm = at + std::to_string(part + 2);
    BatchNorm op;
    op.residual = stride == 1 && in == out;
    if (op.residual) {
        b.add(norm, op, {b.last(), x});
    } else {
        b.add(norm, op);
    }
}

}  // namespace

ModelSpec zoo_mobilenet_v2(const ModelSize& size) {
    SpecBuilder b("mobilenet_v2", size);
    b.conv("features.0.0", 32, 3, 2, 1);
    b.norm("features.0.1", Activation::relu6);
    int in = 32, number = 1;
    for (const Stage& stage : stages) {
        for (int i = 0; i < stage.blocks; ++i) {
            inverted_residual(b, "features." + std::to_string(number++) + ".conv.", in, stage.expand,
                              stage.channels, i == 0 ? stage.stride : 1);
            in = stage.channels;
        }
    }
    b.conv("features.18.0", 1280, 1);
    b.norm("features.18.1", Activation::relu6);
    b.add("avgpool", AdaptiveAveragePool{});
    b.dropout("classifier.0", 0.2F);
    b.linear("classifier.1", size.classes);
    return b.build();
}

}  // namespace divs::nn
