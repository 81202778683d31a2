// ResNet (He, Zhang, Ren, Sun, arXiv 1512.03385), with the stride of a bottleneck in its 3x3 convolution as
// torchvision has it, and TSM (Lin, Gan, Han, arXiv 1811.08383): the same network with a temporal shift at
// the start of every residual branch. Names are torchvision's.
#include <array>
#include <string>

#include "divs/nn/builder.hpp"
#include "zoo.hpp"

namespace divs::nn {
namespace {

struct Form {
    const char* name;
    std::array<int, 4> blocks;
    bool bottleneck;
    bool shift;
};

// Channels of a block's output for each channel of its stage.
int expansion(const Form& form) {
    return form.bottleneck ? 4 : 1;
}

void branch(SpecBuilder& b, const Form& form, const std::string& at, int width, int stride) {
    if (form.shift) b.shift(at + "shift");
    if (form.bottleneck) {
        b.conv(at + "conv1", width, 1);
        b.norm(at + "bn1", Activation::relu);
        b.conv(at + "conv2", width, 3, stride, 1);
        b.norm(at + "bn2", Activation::relu);
        b.conv(at + "conv3", 4 * width, 1);
    } else {
        b.conv(at + "conv1", width, 3, stride, 1);
        b.norm(at + "bn1", Activation::relu);
        b.conv(at + "conv2", width, 3, 1, 1);
    }
}

// relu(norm(branch(x)) + x), x through a strided 1x1 convolution where the shape changes.
void block(SpecBuilder& b, const Form& form, const std::string& at, int width, int stride, bool project) {
    const int x = b.last();
    branch(b, form, at, width, stride);
    const int end = b.last();
    int shortcut = x;
    if (project) {
        Conv2d conv;
        conv.out_channels = width * expansion(form);
        conv.stride_h = conv.stride_w = stride;
        b.add(at + "downsample.0", conv, {x});
        shortcut = b.norm(at + "downsample.1");
    }
    BatchNorm norm;
    norm.residual = true;
    norm.activation = Activation::relu;
    b.add(at + (form.bottleneck ? "bn3" : "bn2"), norm, {end, shortcut});
}

ModelSpec resnet(const Form& form, const ModelSize& size) {
    SpecBuilder b(form.name, size);
    b.conv("conv1", 64, 7, 2, 3);
    b.norm("bn1", Activation::relu);
    b.max_pool("maxpool", 3, 2, 1);
    int channels = 64;
    for (std::size_t stage = 0; stage < form.blocks.size(); ++stage) {
        const int width = 64 << stage;
        for (int i = 0; i < form.blocks[stage]; ++i) {
            const int stride = stage > 0 && i == 0 ? 2 : 1;
            const int out = width * expansion(form);
            block(b, form, "layer" + std::to_string(stage + 1) + "." + std::to_string(i) + ".", width, stride,
                  stride != 1 || channels != out);
            channels = out;
        }
    }
    b.add("avgpool", AdaptiveAveragePool{});
    b.linear("fc", size.classes);
    return b.build();
}

}  // namespace

ModelSpec zoo_resnet18(const ModelSize& size) {
    return resnet({"resnet18", {2, 2, 2, 2}, false, false}, size);
}
ModelSpec zoo_resnet50(const ModelSize& size) {
    return resnet({"resnet50", {3, 4, 6, 3}, true, false}, size);
}
ModelSpec zoo_tsm_resnet18(const ModelSize& size) {
    return resnet({"tsm_resnet18", {2, 2, 2, 2}, false, true}, size);
}
ModelSpec zoo_tsm_resnet50(const ModelSize& size) {
    return resnet({"tsm_resnet50", {3, 4, 6, 3}, true, true}, size);
}

}  // namespace divs::nn
