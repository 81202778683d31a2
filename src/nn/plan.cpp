#include "plan.hpp"

#include <algorithm>

#include "lifetimes.hpp"

namespace divs::nn {
namespace {

constexpr std::size_t tensor_alignment = 64;

}  // namespace

// Moments of a step of n nodes: forward of node i is i, the loss is n, backward of node i is 2 n - i.

ExecutionPlan::ExecutionPlan(const ModelSpec& spec, Backend& backend, int clips, bool training,
                             const std::vector<bool>& learns, Reducer* reducer)
    : clips_(clips), training_(training), nodes_(spec.nodes.size()), reducer_(reducer, chain_) {
    const Shape shape{clips * spec.frames, spec.height, spec.width, spec.channels};
    const auto reader = std::find_if(spec.nodes.begin(), spec.nodes.end(), [](const Node& node) {
        return std::find(node.inputs.begin(), node.inputs.end(), model_input) != node.inputs.end();
    });
    input_.desc = backend.input_desc(shape, reader->op);
    fold_shifts(spec, backend);
    plan_forward(spec, backend, learns, reducer ? &reducer_ : nullptr);
    if (training) plan_gradients();
    plan_memory(backend);
}

// A shift that only one convolution reads needs no tensor of its own where the backend reads through it.
void ExecutionPlan::fold_shifts(const ModelSpec& spec, const Backend& backend) {
    for (const Node& node : spec.nodes) inputs_.push_back(node.inputs);
    shifts_.resize(spec.nodes.size());
    folded_.resize(spec.nodes.size());
    for (std::size_t i = 0; i < spec.nodes.size(); ++i) {
        const auto* conv = std::get_if<Conv2d>(&spec.nodes[i].op);
        const int from = spec.nodes[i].inputs[0];
        if (!conv || from == model_input) continue;
        const auto* shift = std::get_if<TemporalShift>(&spec.nodes[static_cast<std::size_t>(from)].op);
        std::ptrdiff_t readers = 0;
        for (const Node& node : spec.nodes)
            readers += std::count(node.inputs.begin(), node.inputs.end(), from);
        if (!shift || readers != 1 || !backend.folds(*shift, *conv)) continue;
        shifts_[i] = *shift;
        folded_[static_cast<std::size_t>(from)] = true;
        inputs_[i][0] = inputs_[static_cast<std::size_t>(from)][0];
        inputs_[static_cast<std::size_t>(from)].clear();
    }
}

void ExecutionPlan::plan_forward(const ModelSpec& spec, Backend& backend, const std::vector<bool>& learns,
                                 Reducer* reducer) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        NodePlan& node = nodes_[i];
        if (folded_[i]) continue;
        PlanOptions options{training_, {}, reducer};
        options.shift = shifts_[i];
        std::vector<TensorDesc> descs;
        node.backward = learns[i];
        for (const int input : inputs_[i]) {
            NodePlan* from = input == model_input ? nullptr : &nodes_[static_cast<std::size_t>(input)];
            node.inputs.push_back(from ? &from->output : &input_);
            descs.push_back(node.inputs.back()->desc);
            options.input_gradients.push_back(training_ && from && from->backward);
            node.backward = node.backward || (from && from->backward);
        }
        node.backward = node.backward && training_;
        node.rows_per_clip = node.inputs[0]->desc.shape.n / clips_;
        node.operation = backend.plan(spec.nodes[i].op, descs, options);
        node.output.desc = node.operation->output();
        workspace_bytes_ = std::max(workspace_bytes_, node.operation->workspace_bytes());
    }
}

void ExecutionPlan::plan_gradients() {
    std::vector<bool> written(nodes_.size());
    for (std::size_t i = nodes_.size(); i-- > 0;) {
        NodePlan& node = nodes_[i];
        if (!node.backward) continue;
        node.gradient.desc = node.output.desc;
        node.parts.reserve(node.inputs.size());  // pointers into it are kept
        for (const int input : inputs_[i]) {
            NodePlan* from = input == model_input ? nullptr : &nodes_[static_cast<std::size_t>(input)];
            if (!from || !from->backward) {
                node.input_gradients.push_back(nullptr);
            } else if (!written[static_cast<std::size_t>(input)]) {
                written[static_cast<std::size_t>(input)] = true;
                node.input_gradients.push_back(&from->gradient);
            } else {
                node.parts.push_back({Tensor{from->output.desc, nullptr, 0}, &from->gradient});
                node.input_gradients.push_back(&node.parts.back().part);
            }
        }
    }
}

// The last moment at which a node's output (or the model's input) is read, by a forward or a backward.
int ExecutionPlan::last_use(int value) const {
    const int n = static_cast<int>(nodes_.size());
    int last = value == n - 1 ? n : value;
    for (int reader = 0; reader < n; ++reader) {
        const auto& inputs = inputs_[static_cast<std::size_t>(reader)];
        if (std::find(inputs.begin(), inputs.end(), value) == inputs.end()) continue;
        last = std::max(last, nodes_[static_cast<std::size_t>(reader)].backward ? 2 * n - reader : reader);
    }
    if (value >= 0 && nodes_[static_cast<std::size_t>(value)].backward) last = std::max(last, 2 * n - value);
    return last;
}

void ExecutionPlan::plan_memory(const Backend& backend) {
    const int n = static_cast<int>(nodes_.size());
    std::vector<Lifetime> blocks;
    auto use = [&](Tensor& tensor, int first, int last) {
        placed_.push_back(&tensor);
        blocks.push_back({backend.bytes(tensor.desc), first, last, 0});
    };
    use(input_, -1, last_use(model_input));
    std::vector<int> first_written(nodes_.size(), n);  // the last node's gradient is written with the loss
    for (int i = n - 1; i >= 0; --i) {
        NodePlan& node = nodes_[static_cast<std::size_t>(i)];
        if (!node.operation) continue;
        node.last_use = last_use(i);
        use(node.output, i, node.last_use);
        if (!node.backward) continue;
        use(node.gradient, first_written[static_cast<std::size_t>(i)], 2 * n - i);
        for (GradientPart& part : node.parts) use(part.part, 2 * n - i, 2 * n - i);
        for (std::size_t slot = 0; slot < node.input_gradients.size(); ++slot) {
            const int input = inputs_[static_cast<std::size_t>(i)][slot];
            if (node.input_gradients[slot] &&
                node.input_gradients[slot] == &nodes_[static_cast<std::size_t>(input)].gradient)
                first_written[static_cast<std::size_t>(input)] = 2 * n - i;
        }
    }
    tensor_bytes_ = place(blocks, tensor_alignment);
    for (std::size_t i = 0; i < blocks.size(); ++i) placed_[i]->offset = blocks[i].offset;
}

void ExecutionPlan::bind(const std::shared_ptr<Storage>& memory) {
    if (bound_ == memory.get()) return;
    bound_ = memory.get();
    for (Tensor* tensor : placed_) tensor->storage = memory;
}

}  // namespace divs::nn
