#include "divs/nn/builder.hpp"

#include <algorithm>
#include <utility>

#include "spec_check.hpp"

namespace divs::nn {

SpecBuilder::SpecBuilder(std::string_view architecture, const ModelSize& size) : size_(size) {
    spec_.architecture = architecture;
    spec_.frames = size.frames;
    spec_.height = size.height;
    spec_.width = size.width;
    spec_.classes = size.classes;
    check_sizes(spec_);
}

int SpecBuilder::add(std::string name, Op op, std::vector<int> inputs) {
    if (auto* dropout = std::get_if<Dropout>(&op)) dropout->layer = dropouts_++;
    spec_.nodes.push_back({std::move(name), std::move(op), std::move(inputs)});
    shapes_.push_back(check_node(spec_, shapes_, spec_.nodes.size() - 1));
    return last();
}

int SpecBuilder::conv(std::string name, int out, int kernel, int stride, int pad, int groups, bool bias) {
    Conv2d op;
    op.out_channels = out;
    op.kernel_h = op.kernel_w = kernel;
    op.stride_h = op.stride_w = stride;
    op.pad_h = op.pad_w = pad;
    op.groups = groups;
    op.bias = bias;
    return add(std::move(name), op);
}

int SpecBuilder::norm(std::string name, Activation activation) {
    BatchNorm op;
    op.activation = activation;
    return add(std::move(name), op);
}

int SpecBuilder::max_pool(std::string name, int kernel, int stride, int pad) {
    return add(std::move(name), Pool{PoolKind::max, kernel, kernel, stride, stride, pad, pad});
}

int SpecBuilder::linear(std::string name, int out) {
    return add(std::move(name), Linear{out, true});
}

int SpecBuilder::dropout(std::string name, float rate) {
    return add(std::move(name), Dropout{rate, 0});
}

int SpecBuilder::shift(std::string name, int divisor) {
    return size_.frames > 1 ? add(std::move(name), TemporalShift{size_.frames, divisor}) : last();
}

int SpecBuilder::frame_mean(std::string name) {
    return size_.frames > 1 ? add(std::move(name), FrameMean{size_.frames}) : last();
}

ModelSpec SpecBuilder::build() {
    if (std::none_of(spec_.nodes.begin(), spec_.nodes.end(),
                     [](const Node& node) { return std::holds_alternative<FrameMean>(node.op); }))
        frame_mean();
    validate(spec_);  // also that it is not empty
    return fuse(spec_);
}

}  // namespace divs::nn
