// Folds batch norms, additions and activations into the convolutions before them.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "arena.hpp"
#include "divs/nn/host_view.hpp"
#include "divs/nn/inference.hpp"
#include "merge.hpp"

namespace divs::nn {
namespace {

using Arrays = std::map<std::string, std::vector<float>>;

void take(const std::vector<ParameterView>& views, std::span<const float> arena, Arrays& arrays) {
    for (const ParameterView& view : views) {
        const auto values = arena.subspan(view.offset, view.size);
        arrays[view.name].assign(values.begin(), values.end());
    }
}

void put(const Arrays& arrays, const std::vector<ParameterView>& views, std::vector<float>& arena) {
    for (const ParameterView& view : views)
        std::copy_n(arrays.at(view.name).begin(), view.size,
                    arena.begin() + static_cast<std::ptrdiff_t>(view.offset));
}

Ending ending_of(Op& op) {
    auto* conv = std::get_if<Conv2d>(&op);
    return conv ? Ending{&conv->residual, &conv->activation} : Ending{};
}

// The convolution that takes node i along, where that is a norm which alone reads one.
std::optional<Merge> merge_norm(const ModelSpec& spec, std::size_t i) {
    const auto* norm = std::get_if<BatchNorm>(&spec.nodes[i].op);
    if (!norm) return std::nullopt;
    const std::vector<int>& inputs = spec.nodes[i].inputs;
    if (inputs[0] < 0 || count_readers(spec)[static_cast<std::size_t>(inputs[0])] != 1) return std::nullopt;
    Merge merge{spec.nodes[static_cast<std::size_t>(inputs[0])], inputs[0]};
    auto* conv = std::get_if<Conv2d>(&merge.node.op);
    if (!conv || conv->residual || conv->activation != Activation::none) return std::nullopt;
    conv->bias = true;
    conv->residual = norm->residual;
    conv->activation = norm->activation;
    merge.node.inputs.insert(merge.node.inputs.end(), inputs.begin() + 1, inputs.end());
    return merge;
}

// y = gamma (w x + b - mean) / sqrt(variance + epsilon) + beta
void fold_arrays(const std::string& conv, const std::string& norm, float epsilon, Arrays& arrays) {
    const auto value = [&](const char* name, std::size_t c) {
        return static_cast<double>(arrays.at(norm + name)[c]);
    };
    std::vector<float>&weight = arrays.at(conv + ".weight"), &bias = arrays[conv + ".bias"];
    const std::size_t channels = arrays.at(norm + ".weight").size(), taps = weight.size() / channels;
    bias.resize(channels);
    for (std::size_t c = 0; c < channels; ++c) {
        const double scale =
            value(".weight", c) / std::sqrt(value(".running_var", c) + static_cast<double>(epsilon));
        bias[c] = static_cast<float>(value(".bias", c) +
                                     (static_cast<double>(bias[c]) - value(".running_mean", c)) * scale);
        for (std::size_t i = c * taps; i < (c + 1) * taps; ++i)
            weight[i] = static_cast<float>(static_cast<double>(weight[i]) * scale);
    }
}

void write(Backend& backend, const std::vector<float>& values, std::span<float> arena) {
    HostView host(backend, arena);
    std::copy(values.begin(), values.end(), host.values().begin());
    host.write_back();
}

}  // namespace

FoldedModel fold(const ModelSpec& spec, std::span<const float> parameters, std::span<const float> buffers) {
    const ArenaLayout before = lay_out(spec);
    Arrays arrays;
    take(before.parameters, parameters, arrays);
    take(before.buffers, buffers, arrays);
    FoldedModel folded{spec, {}, {}};
    for (std::size_t i = 0; i < folded.spec.nodes.size();) {
        auto merge = merge_norm(folded.spec, i);
        if (!merge) {
            ++i;
            continue;
        }
        const Node& norm = folded.spec.nodes[i];
        fold_arrays(merge->node.name, norm.name, std::get<BatchNorm>(norm.op).epsilon, arrays);
        apply(folded.spec, i, std::move(*merge));  // the next node now stands in its place
    }
    folded.spec = join_endings(std::move(folded.spec), ending_of);

    const ArenaLayout after = lay_out(folded.spec);
    folded.parameters.resize(after.parameter_elements);
    folded.buffers.resize(after.buffer_elements);
    put(arrays, after.parameters, folded.parameters);
    put(arrays, after.buffers, folded.buffers);
    return folded;
}

std::unique_ptr<Model> make_predictor(Model& trained, std::shared_ptr<Backend> backend) {
    const FoldedModel folded =
        fold(trained.spec(), HostView(trained.backend(), trained.parameters()).values(),
             HostView(trained.backend(), trained.buffers()).values());
    auto model = std::make_unique<Model>(folded.spec, std::move(backend));
    write(model->backend(), folded.parameters, model->parameters());
    write(model->backend(), folded.buffers, model->buffers());
    return model;
}

}  // namespace divs::nn
