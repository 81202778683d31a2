#include "merge.hpp"

#include <optional>
#include <utility>

namespace divs::nn {
namespace {

using EndingOf = Ending (*)(Op& op);

std::optional<Merge> merge_activation(const ModelSpec& spec, const Node& activate,
                                      const std::vector<int>& readers, EndingOf ending_of) {
    const int from = activate.inputs[0];
    if (from < 0 || readers[static_cast<std::size_t>(from)] != 1) return std::nullopt;
    Merge merge{spec.nodes[static_cast<std::size_t>(from)], from};
    const Ending ending = ending_of(merge.node.op);
    if (!ending.activation || *ending.activation != Activation::none) return std::nullopt;
    *ending.activation = std::get<Activate>(activate.op).activation;
    return merge;
}

std::optional<Merge> merge_addition(const ModelSpec& spec, const Node& add, const std::vector<int>& readers,
                                    EndingOf ending_of) {
    if (add.inputs[0] == add.inputs[1]) return std::nullopt;
    for (const std::size_t side : {std::size_t{0}, std::size_t{1}}) {
        const int from = add.inputs[side];
        if (from < 0 || readers[static_cast<std::size_t>(from)] != 1) continue;
        Merge merge{spec.nodes[static_cast<std::size_t>(from)], from};
        const Ending ending = ending_of(merge.node.op);
        if (!ending.residual || *ending.residual || *ending.activation != Activation::none) continue;
        *ending.residual = true;
        *ending.activation = std::get<Add>(add.op).activation;
        merge.node.inputs.push_back(add.inputs[1 - side]);
        return merge;
    }
    return std::nullopt;
}

std::optional<Merge> merge_of(const ModelSpec& spec, const Node& node, const std::vector<int>& readers,
                              EndingOf ending_of) {
    if (std::holds_alternative<Activate>(node.op)) return merge_activation(spec, node, readers, ending_of);
    if (std::holds_alternative<Add>(node.op)) return merge_addition(spec, node, readers, ending_of);
    return std::nullopt;
}

}  // namespace

std::vector<int> count_readers(const ModelSpec& spec) {
    std::vector<int> readers(spec.nodes.size());
    for (const Node& node : spec.nodes)
        for (const int input : node.inputs)
            if (input >= 0) ++readers[static_cast<std::size_t>(input)];
    return readers;
}

void apply(ModelSpec& spec, std::size_t i, Merge merge) {
    spec.nodes[i] = std::move(merge.node);
    spec.nodes.erase(spec.nodes.begin() + merge.swallowed);
    for (Node& node : spec.nodes)
        for (int& input : node.inputs)
            if (input > merge.swallowed) --input;
}

ModelSpec join_endings(ModelSpec spec, Ending (*ending_of)(Op& op)) {
    // In order, so that an operation has joined its addition before the activation behind it comes up.
    for (std::size_t i = 0; i < spec.nodes.size();) {
        if (auto merge = merge_of(spec, spec.nodes[i], count_readers(spec), ending_of)) {
            apply(spec, i, std::move(*merge));
            --i;  // the merged node now stands one place earlier, and may merge on
        } else {
            ++i;
        }
    }
    return spec;
}

}  // namespace divs::nn
