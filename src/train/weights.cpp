// Weights in memory: from checkpoints and models, into models.
#include "divs/train/weights.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/nn/inference.hpp"

namespace divs::train {
namespace {

constexpr std::string_view parameters = "parameters/", buffers = "buffers/";

bool same_shape(const Array& array, const nn::ParameterView& view) {
    return std::equal(view.dims.begin(), view.dims.end(), array.dims.begin(), array.dims.end());
}

void copy_array(const Array& array, const nn::ParameterView& view, std::span<float> arena) {
    std::copy(array.values.begin(), array.values.end(),
              arena.begin() + static_cast<std::ptrdiff_t>(view.offset));
}

// "fc.": what the names of the last learned layer's parameters begin with.
std::string head_prefix(const nn::ModelSpec& spec) {
    for (auto node = spec.nodes.rbegin(); node != spec.nodes.rend(); ++node)
        if (std::holds_alternative<nn::Linear>(node->op) || std::holds_alternative<nn::Conv2d>(node->op))
            return node->name + ".";
    return "";
}

bool starts_with_any(std::string_view name, const std::vector<std::string>& prefixes) {
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [&](const auto& prefix) { return name.starts_with(prefix); });
}

void append(std::vector<Array>& arrays, const std::vector<nn::ParameterView>& views,
            std::span<const float> arena) {
    for (const auto& view : views) {
        const auto values = arena.subspan(view.offset, view.size);
        arrays.push_back({view.name, {view.dims.begin(), view.dims.end()}, {values.begin(), values.end()}});
    }
}

[[noreturn]] void missing(const Weights& weights, const std::string& name) {
    throw_error<ConfigError>("{}: has no \"{}\", which the model needs", weights.file.string(), name);
}

[[noreturn]] void misfit(const Weights& weights, const Array& array, const nn::ParameterView& view) {
    throw_error<ConfigError>("{}: \"{}\" has shape ({}), the model expects ({})", weights.file.string(),
                             array.name, fmt::join(array.dims, ", "), fmt::join(view.dims, ", "));
}

// A head of another number of classes starts afresh as a whole: weight and bias belong together.
bool head_differs(const nn::Model& model, const Weights& weights, const std::string& head) {
    return std::any_of(model.parameter_views().begin(), model.parameter_views().end(), [&](const auto& view) {
        if (head.empty() || !view.name.starts_with(head)) return false;
        const Array* array = weights.find(view.name);
        return array && !same_shape(*array, view);
    });
}

}  // namespace

const Array* Weights::find(std::string_view name) const noexcept {
    const auto found =
        std::find_if(arrays.begin(), arrays.end(), [&](const Array& array) { return array.name == name; });
    return found == arrays.end() ? nullptr : &*found;
}

Weights weights_of(const Checkpoint& checkpoint) {
    Weights weights;
    weights.model_json = checkpoint.info.model_json;
    weights.classes = checkpoint.info.classes;
    weights.clip_stride = checkpoint.info.clip_stride;
    weights.step = checkpoint.info.step;
    weights.revision = checkpoint.info.revision;
    weights.config = checkpoint.info.config;
    weights.file = checkpoint.file;
    for (const std::string_view prefix : {parameters, buffers})
        for (const auto& array : checkpoint.arrays)
            if (array.name.starts_with(prefix))
                weights.arrays.push_back({array.name.substr(prefix.size()), array.dims, array.values});
    return weights;
}

Weights weights_of(nn::Model& model, std::vector<std::string> classes, int clip_stride) {
    Weights weights;
    weights.model_json = nn::to_json(model.spec());
    weights.classes = std::move(classes);
    weights.clip_stride = clip_stride;
    append(weights.arrays, model.parameter_views(),
           nn::HostView(model.backend(), model.parameters()).values());
    append(weights.arrays, model.buffer_views(), nn::HostView(model.backend(), model.buffers()).values());
    return weights;
}

std::unique_ptr<nn::Model> make_model(const Weights& weights, std::shared_ptr<nn::Backend> backend) {
    auto model = std::make_unique<nn::Model>(nn::from_json(weights.model_json), std::move(backend));
    try {
        init_from(*model, weights, {false, {}});
    } catch (const ConfigError& e) {  // here the model is the file's own
        throw InputError(e.what());
    }
    return model;
}

std::unique_ptr<nn::Model> make_predictor(const Weights& weights, std::shared_ptr<nn::Backend> backend) {
    const auto trained = make_model(weights, nn::make_backend("reference", {}));
    return nn::make_predictor(*trained, std::move(backend));
}

Probe make_probe(nn::Model& model, int clips, std::uint64_t seed) {
    const nn::ModelSpec& spec = model.spec();
    Probe probe{clips, spec.frames, spec.height, spec.width, spec.classes, {}, {}};
    const auto count = [](auto... factors) { return (static_cast<std::size_t>(factors) * ...); };
    probe.input.resize(count(clips, spec.frames, spec.height, spec.width, 3));
    probe.logits.resize(count(clips, spec.classes));
    const Random random(seed, Stream::test);
    for (std::size_t i = 0; i < probe.input.size(); ++i)
        probe.input[i] = static_cast<std::uint8_t>(random.below(i, 256));
    std::vector<std::uint64_t> samples(static_cast<std::size_t>(clips));
    std::iota(samples.begin(), samples.end(), std::uint64_t{0});
    nn::Batch batch;
    batch.pixels = probe.input;
    batch.samples = samples;
    model.predict(batch, probe.logits);
    return probe;
}

InitReport init_from(nn::Model& model, const Weights& weights, const InitSettings& settings) {
    const std::string head = head_prefix(model.spec());
    const bool fresh_head = settings.new_head && head_differs(model, weights, head);
    InitReport report;
    const auto load = [&](const std::vector<nn::ParameterView>& views, std::span<float> memory) {
        nn::HostView host(model.backend(), memory);
        const std::span<float> arena = host.values();
        for (const auto& view : views) {
            const Array* array = weights.find(view.name);
            if (fresh_head && view.name.starts_with(head)) {
                if (starts_with_any(view.name, settings.frozen))
                    throw_error<ConfigError>(
                        "{}: \"{}\" cannot be frozen, it is not loaded: the file has another number "
                        "of classes",
                        weights.file.string(), view.name);
                report.fresh.push_back(view.name);
                continue;
            }
            if (!array) missing(weights, view.name);
            if (!same_shape(*array, view) || array->values.size() != view.size) misfit(weights, *array, view);
            copy_array(*array, view, arena);
            ++report.loaded;
        }
        host.write_back();
    };
    load(model.parameter_views(), model.parameters());
    load(model.buffer_views(), model.buffers());
    const auto knows = [&](const std::string& name) {
        const auto is_it = [&](const nn::ParameterView& view) { return view.name == name; };
        return std::any_of(model.parameter_views().begin(), model.parameter_views().end(), is_it) ||
               std::any_of(model.buffer_views().begin(), model.buffer_views().end(), is_it);
    };
    for (const auto& array : weights.arrays)
        if (!knows(array.name)) report.unused.push_back(array.name);
    if (!settings.frozen.empty()) model.freeze(settings.frozen);
    return report;
}

}  // namespace divs::train
