// What the tests of whole models share.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/nn/host_view.hpp"
#include "divs/nn/model.hpp"

namespace divs::nn::test {

inline std::shared_ptr<Backend> backend(std::string_view name, int threads = 1) {
    return make_backend(name, {threads, true});
}

inline const Node& node(const ModelSpec& spec, const std::string& name) {
    for (const Node& n : spec.nodes)
        if (n.name == name) return n;
    throw Error("no node " + name);
}

// Clips of noise with labels, made from a seed.
struct Clips {
    std::vector<std::uint8_t> pixels;
    std::vector<std::int32_t> labels;
    std::vector<std::uint64_t> samples;
    std::size_t clip_bytes = 0;

    Clips(const ModelSpec& spec, int clips, std::uint64_t seed) {
        const Random random(seed, Stream::test);
        clip_bytes = static_cast<std::size_t>(spec.frames * spec.height * spec.width * 3);
        for (std::size_t i = 0; i < clip_bytes * static_cast<std::size_t>(clips); ++i)
            pixels.push_back(static_cast<std::uint8_t>(random.below(i, 256)));
        for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(clips); ++i) {
            labels.push_back(static_cast<std::int32_t>(
                random.below((1ULL << 40) + i, static_cast<std::uint64_t>(spec.classes))));
            samples.push_back(100 + i);
        }
    }
    Batch all() const { return part(0, samples.size()); }
    Batch part(std::size_t first, std::size_t count) const {
        Batch batch;
        batch.pixels = std::span(pixels).subspan(first * clip_bytes, count * clip_bytes);
        batch.labels = std::span(labels).subspan(first, count);
        batch.samples = std::span(samples).subspan(first, count);
        batch.seed = 3;
        batch.epoch = 2;
        return batch;
    }
};

inline std::vector<float> copy(std::span<const float> values) {
    return {values.begin(), values.end()};
}

// |a - b| / |b|, of whole vectors.
inline double difference(std::span<const float> a, std::span<const float> b) {
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
        norm += std::pow(static_cast<double>(b[i]), 2);
    }
    return norm > 0 ? std::sqrt(error / norm) : std::sqrt(error);
}

inline std::vector<float> predict(Model& model, const Batch& batch) {
    std::vector<float> logits(static_cast<std::size_t>(batch.clips() * model.spec().classes));
    model.predict(batch, logits);
    return logits;
}

// Norms as training leaves them: no scale, bias or statistic is as it began.
inline void randomise_norms(Model& model, std::uint64_t seed) {
    const Random random(seed, Stream::test);
    std::uint64_t i = 0;
    const auto fill = [&](const std::vector<ParameterView>& views, std::span<float> arena) {
        HostView host(model.backend(), arena);
        for (const ParameterView& view : views) {
            if (view.dims.size() != 1) continue;
            const bool scales = view.name.ends_with("weight") || view.name.ends_with("running_var");
            for (float& value : host.values().subspan(view.offset, view.size))
                value = static_cast<float>(scales ? random.uniform(i++, 0.6, 1.5) : 0.2 * random.normal(i++));
        }
        host.write_back();
    };
    fill(model.parameter_views(), model.parameters());
    fill(model.buffer_views(), model.buffers());
}

// The model without its activations. Where an activation sits at its kink, two ways of rounding give
// gradients that differ by a whole element (measured: 1e-6 without one; 4e-5, 3e-3 and 1e-2 with one, by the model's size,
// the processor and the compiler's options); without kinks they agree to 2e-6 everywhere.
inline ModelSpec smooth(ModelSpec spec) {
    for (Node& node : spec.nodes) {
        if (auto* norm = std::get_if<BatchNorm>(&node.op)) norm->activation = Activation::none;
        if (auto* activate = std::get_if<Activate>(&node.op)) activate->activation = Activation::none;
        if (auto* add = std::get_if<Add>(&node.op)) add->activation = Activation::none;
    }
    return spec;
}
constexpr double kink_tolerance = 0.03;

// Small models of every kind of operation, for (frames, size).
inline ModelSpec small_model(std::string_view kind, int size = 14, int frames = 1, int classes = 3) {
    static constexpr std::string_view plain = R"(
        conv out=6 kernel=5 stride=2 pad=2 bias
        relu
        maxpool kernel=3 stride=2 pad=1
        dropout rate=0.25
        c = conv out=8 kernel=3 pad=1 bias
        relu
        avgpool kernel=2
        linear out=10
        relu6
        dropout rate=0.5
        linear out=classes)";
    static constexpr std::string_view residual = R"(
        conv out=8 kernel=3 stride=2 pad=1
        x = norm relu
        shift divisor=4
        conv out=8 kernel=3 pad=1
        norm relu
        conv out=8 kernel=3 pad=1
        branch = norm
        add relu from=branch,x
        y = conv out=12 kernel=1 stride=2
        norm relu6
        adaptive_pool
        linear out=classes)";
    static constexpr std::string_view inverted = R"(
        conv out=5 kernel=3 stride=2 pad=1
        x = norm
        conv out=20 kernel=1
        norm relu6
        conv out=20 kernel=3 pad=1 groups=20
        norm relu6
        conv out=5 kernel=1
        n = norm
        z = add from=n,x
        dilated = conv out=10 kernel=3 pad=2 dilation=2 groups=5 from=z
        norm relu
        adaptive_pool out=2x1
        linear out=classes)";
    const std::string_view text = kind == "plain" ? plain : kind == "residual" ? residual : inverted;
    return parse_model(text, {classes, frames, size, size}, kind);
}

}  // namespace divs::nn::test
