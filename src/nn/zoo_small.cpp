// tiny, our own, and AlexNet in its one-tower form (Krizhevsky, arXiv 1404.5997), names as in torchvision.
#include <string>

#include "divs/nn/builder.hpp"
#include "zoo.hpp"

namespace divs::nn {
namespace {

// relu(norm(conv(relu(norm(conv(shift(x)))))) + x)
void tiny_block(SpecBuilder& b, const std::string& at, int channels) {
    const int x = b.last();
    b.shift(at + "shift");
    b.conv(at + "conv1", channels, 3, 1, 1);
    b.norm(at + "bn1", Activation::relu);
    b.conv(at + "conv2", channels, 3, 1, 1);
    BatchNorm norm;
    norm.residual = true;
    norm.activation = Activation::relu;
    b.add(at + "bn2", norm, {b.last(), x});
}

void tiny_reduce(SpecBuilder& b, const std::string& at, int channels, int kernel) {
    b.conv(at + "conv", channels, kernel, 2, kernel / 2);
    b.norm(at + "bn", Activation::relu);
}

void alexnet_conv(SpecBuilder& b, int number, int out, int kernel, int stride, int pad) {
    b.conv("features." + std::to_string(number), out, kernel, stride, pad, 1, true);
    b.add("features." + std::to_string(number + 1), Activate{Activation::relu});
}

}  // namespace

// About 0.5 M parameters and 18 M multiply-adds for a 64x64 frame; for clips, the frames mix in the residual
// blocks.
ModelSpec zoo_tiny(const ModelSize& size) {
    SpecBuilder b("tiny", size);
    tiny_reduce(b, "stem.", 24, 5);
    tiny_reduce(b, "down1.", 32, 3);
    tiny_block(b, "block1.", 32);
    tiny_reduce(b, "down2.", 64, 3);
    tiny_block(b, "block2.", 64);
    tiny_reduce(b, "down3.", 128, 3);
    tiny_block(b, "block3.", 128);
    b.add("avgpool", AdaptiveAveragePool{});
    b.dropout("dropout", 0.1F);
    b.linear("fc", size.classes);
    return b.build();
}

ModelSpec zoo_alexnet(const ModelSize& size) {
    SpecBuilder b("alexnet", size);
    alexnet_conv(b, 0, 64, 11, 4, 2);
    b.max_pool("features.2", 3, 2);
    alexnet_conv(b, 3, 192, 5, 1, 2);
    b.max_pool("features.5", 3, 2);
    alexnet_conv(b, 6, 384, 3, 1, 1);
    alexnet_conv(b, 8, 256, 3, 1, 1);
    alexnet_conv(b, 10, 256, 3, 1, 1);
    b.max_pool("features.12", 3, 2);
    b.add("avgpool", AdaptiveAveragePool{6, 6});
    b.dropout("classifier.0", 0.5F);
    b.linear("classifier.1", 4096);
    b.add("classifier.2", Activate{Activation::relu});
    b.dropout("classifier.3", 0.5F);
    b.linear("classifier.4", 4096);
    b.add("classifier.5", Activate{Activation::relu});
    b.linear("classifier.6", size.classes);
    return b.build();
}

}  // namespace divs::nn
