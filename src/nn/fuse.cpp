// Fuses norm, residual addition and activation into one pass over the data.
#include <optional>
#include <utility>

#include "divs/nn/model.hpp"

namespace divs::nn {
namespace {

std::vector<int> count_readers(const ModelSpec& spec) {
    std::vector<int> readers(spec.nodes.size());
    for (const Node& node : spec.nodes)
        for (const int input : node.inputs)
            if (input >= 0) ++readers[static_cast<std::size_t>(input)];
    return readers;
}

// What node i becomes when it swallows one of its inputs: the merged node and the input that goes.
struct Merge {
    Node node;
    int swallowed = 0;
};

std::optional<Merge> merge_activation(const ModelSpec& spec, const Node& activate,
                                      const std::vector<int>& readers) {
    const int from = activate.inputs[0];
    if (from < 0 || readers[static_cast<std::size_t>(from)] != 1) return std::nullopt;
    Merge merge{spec.nodes[static_cast<std::size_t>(from)], from};
    const Activation activation = std::get<Activate>(activate.op).activation;
    if (auto* norm = std::get_if<BatchNorm>(&merge.node.op); norm && norm->activation == Activation::none) {
        norm->activation = activation;
        return merge;
    }
    if (auto* add = std::get_if<Add>(&merge.node.op); add && add->activation == Activation::none) {
        add->activation = activation;
        return merge;
    }
    return std::nullopt;
}

std::optional<Merge> merge_addition(const ModelSpec& spec, const Node& add, const std::vector<int>& readers) {
    if (add.inputs[0] == add.inputs[1]) return std::nullopt;
    for (const std::size_t side : {std::size_t{0}, std::size_t{1}}) {
        const int from = add.inputs[side];
        if (from < 0 || readers[static_cast<std::size_t>(from)] != 1) continue;
        Merge merge{spec.nodes[static_cast<std::size_t>(from)], from};
        auto* norm = std::get_if<BatchNorm>(&merge.node.op);
        if (!norm || norm->residual || norm->activation != Activation::none) continue;
        norm->residual = true;
        norm->activation = std::get<Add>(add.op).activation;
        merge.node.inputs.push_back(add.inputs[1 - side]);
        return merge;
    }
    return std::nullopt;
}

std::optional<Merge> merge_of(const ModelSpec& spec, const Node& node, const std::vector<int>& readers) {
    if (std::holds_alternative<Activate>(node.op)) return merge_activation(spec, node, readers);
    if (std::holds_alternative<Add>(node.op)) return merge_addition(spec, node, readers);
    return std::nullopt;
}

// Puts the merged node in the place of node i, and takes the swallowed one out.
void apply(ModelSpec& spec, std::size_t i, Merge merge) {
    spec.nodes[i] = std::move(merge.node);
    spec.nodes.erase(spec.nodes.begin() + merge.swallowed);
    for (Node& node : spec.nodes)
        for (int& input : node.inputs)
            if (input > merge.swallowed) --input;
}

}  // namespace

ModelSpec fuse(ModelSpec spec) {
    // In order, so that a norm has joined its addition before the activation behind it comes up.
    for (std::size_t i = 0; i < spec.nodes.size();) {
        if (auto merge = merge_of(spec, spec.nodes[i], count_readers(spec))) {
            apply(spec, i, std::move(*merge));
            --i;  // the merged node now stands one place earlier, and may merge on
        } else {
            ++i;
        }
    }
    return spec;
}

}  // namespace divs::nn
