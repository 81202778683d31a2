// What a model description must fulfil, and what follows from it.
#include <algorithm>
#include <set>

#include "divs/core/error.hpp"
#include "divs/nn/model.hpp"
#include "op_fields.hpp"
#include "spec_check.hpp"

namespace divs::nn {
namespace {

// Far above any model that fits a machine, far below what overflows.
constexpr int largest_image = 1 << 14, largest_clip = 1 << 12, largest_classes = 1 << 20,
              largest_window = 1 << 12;
constexpr std::size_t largest_nodes = 10000, largest_tensor = std::size_t{1} << 30;

}  // namespace

void check_sizes(const ModelSpec& spec) {
    auto within = [&](const char* what, int value, int high) {
        if (value < 1 || value > high)
            throw_error<ConfigError>("model {}: {} is {}, expected 1 to {}", spec.architecture, what, value,
                                     high);
    };
    within("height", spec.height, largest_image);
    within("width", spec.width, largest_image);
    within("frames", spec.frames, largest_clip);
    within("classes", spec.classes, largest_classes);
    const Shape clip{spec.frames, spec.height, spec.width, spec.channels};
    if (clip.size() > largest_tensor)
        throw_error<ConfigError>("model {}: a clip has more than {} values", spec.architecture,
                                 largest_tensor);
    if (spec.channels != 3)
        throw_error<ConfigError>("model {}: {} channels, expected 3 (RGB)", spec.architecture, spec.channels);
    for (const float d : spec.deviation)
        if (!(d > 0))
            throw_error<ConfigError>("model {}: a deviation is {}, expected > 0", spec.architecture, d);
}

namespace {

// Windows beyond any use would overflow the arithmetic of shapes.
void check_windows(const ModelSpec& spec, const Node& node) {
    int largest = 0;
    if (const auto* c = std::get_if<Conv2d>(&node.op))
        largest = std::max({c->kernel_h, c->kernel_w, c->stride_h, c->stride_w, c->pad_h, c->pad_w,
                            c->dilation_h, c->dilation_w});
    if (const auto* p = std::get_if<Pool>(&node.op))
        largest = std::max({p->kernel_h, p->kernel_w, p->stride_h, p->stride_w, p->pad_h, p->pad_w});
    if (largest > largest_window)
        throw_error<ConfigError>("model {}, {} '{}': kernel, stride, pad or dilation {}, expected at most {}",
                                 spec.architecture, op_word(node.op), node.name, largest, largest_window);
}

void check_inputs(const ModelSpec& spec, std::size_t i) {
    const Node& node = spec.nodes[i];
    if (node.inputs.size() != input_count(node.op))
        throw_error<ConfigError>("model {}, {} '{}': {} inputs, expected {}", spec.architecture,
                                 op_word(node.op), node.name, node.inputs.size(), input_count(node.op));
    for (const int input : node.inputs) {
        if (input < model_input || input >= static_cast<int>(i))
            throw_error<ConfigError>("model {}, '{}': input {} does not come before it", spec.architecture,
                                     node.name, input);
    }
}

int clip_frames(const Op& op) {  // of the operations that look across a clip, else 0
    if (const auto* shift = std::get_if<TemporalShift>(&op)) return shift->frames;
    if (const auto* mean = std::get_if<FrameMean>(&op)) return mean->frames;
    if (const auto* lstm = std::get_if<Lstm>(&op)) return lstm->frames;
    return 0;
}

void check_clip(const ModelSpec& spec, const Node& node, const std::vector<Shape>& inputs) {
    if (const int frames = clip_frames(node.op);
        frames != 0 && (frames != spec.frames || inputs[0].n != spec.frames))
        throw_error<ConfigError>("model {}, '{}': works on {} frames a clip, but its input has {}",
                                 spec.architecture, node.name, frames, inputs[0].n);
}

// What a folded convolution has beside the fields of its description.
bool same_ending(const Op& a, const Op& b) {
    const auto *one = std::get_if<Conv2d>(&a), *other = std::get_if<Conv2d>(&b);
    return !one || (one->residual == other->residual && one->activation == other->activation);
}

}  // namespace

bool operator==(const Node& a, const Node& b) {
    return a.name == b.name && a.inputs == b.inputs && a.op.index() == b.op.index() &&
           field_texts(a.op) == field_texts(b.op) && same_ending(a.op, b.op);
}

std::vector<Shape> input_shapes(const ModelSpec& spec, const std::vector<Shape>& outputs, const Node& node,
                                int clips) {
    std::vector<Shape> shapes;
    for (const int input : node.inputs)
        shapes.push_back(input == model_input
                             ? Shape{clips * spec.frames, spec.height, spec.width, spec.channels}
                             : outputs[static_cast<std::size_t>(input)]);
    return shapes;
}

Shape check_node(const ModelSpec& spec, const std::vector<Shape>& shapes, std::size_t i) {
    const Node& node = spec.nodes[i];
    check_windows(spec, node);
    check_inputs(spec, i);
    const std::vector<Shape> inputs = input_shapes(spec, shapes, node, 1);
    check_clip(spec, node, inputs);
    try {
        const Shape shape = output_shape(node.op, inputs);
        bool fits = shape.size() <= largest_tensor;
        for (const ParameterShape& p : parameter_shapes(node.op, inputs))
            fits = fits && p.size() <= largest_tensor;
        if (!fits) throw_error<ConfigError>("a tensor of it has more than {} elements", largest_tensor);
        return shape;
    } catch (const ConfigError& e) {
        throw_error<ConfigError>("model {}, {} '{}': {}", spec.architecture, op_word(node.op), node.name,
                                 e.what());
    }
}

void check_end(const ModelSpec& spec, const Shape& last) {
    std::set<int> read;
    std::set<std::string> names;
    for (const Node& node : spec.nodes) {
        if (node.name.empty() || !names.insert(node.name).second)
            throw_error<ConfigError>("model {}: the name '{}' is empty or used twice", spec.architecture,
                                     node.name);
        read.insert(node.inputs.begin(), node.inputs.end());
    }
    for (std::size_t i = 0; i + 1 < spec.nodes.size(); ++i)
        if (!read.contains(static_cast<int>(i)))
            throw_error<ConfigError>("model {}: nothing reads '{}'", spec.architecture, spec.nodes[i].name);
    if (last != Shape{1, 1, 1, spec.classes})
        throw_error<ConfigError>(
            "model {}: ends in ({}, {}, {}, {}) for one clip, expected (1, 1, 1, {}): one score for each "
            "class{}",
            spec.architecture, last.n, last.h, last.w, last.c, spec.classes,
            last.n != 1 ? "; a frame_mean is missing" : "");
}

std::vector<Shape> node_shapes(const ModelSpec& spec, int clips) {
    std::vector<Shape> outputs;
    outputs.reserve(spec.nodes.size());
    for (const Node& node : spec.nodes)
        outputs.push_back(output_shape(node.op, input_shapes(spec, outputs, node, clips)));
    return outputs;
}

void validate(const ModelSpec& spec) {
    check_sizes(spec);
    if (spec.nodes.empty()) throw_error<ConfigError>("model {}: has no operation", spec.architecture);
    if (spec.nodes.size() > largest_nodes)
        throw_error<ConfigError>("model {}: {} operations, expected at most {}", spec.architecture,
                                 spec.nodes.size(), largest_nodes);
    std::vector<Shape> shapes;
    for (std::size_t i = 0; i < spec.nodes.size(); ++i) shapes.push_back(check_node(spec, shapes, i));
    check_end(spec, shapes.back());
}

}  // namespace divs::nn
