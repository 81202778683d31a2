#include "initialise.hpp"

#include <algorithm>
#include <cmath>

#include "divs/core/random.hpp"

namespace divs::nn {
namespace {

std::uint64_t name_hash(std::string_view name) {  // FNV-1a, 64 bit (Fowler, Noll, Vo)
    std::uint64_t hash = 0xCBF29CE484222325ULL;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
    return hash;
}

struct Filler {
    std::uint64_t seed;
    std::span<float> arena;

    std::span<float> of(const ParameterView& view) const { return arena.subspan(view.offset, view.size); }
    void constant(const ParameterView& view, float value) const {
        const auto values = of(view);
        std::fill(values.begin(), values.end(), value);
    }
    void normal(const ParameterView& view, double deviation) const {
        const Random random(seed, Stream::initialise, name_hash(view.name));
        const auto values = of(view);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = static_cast<float>(deviation * random.normal(i));
    }
    void uniform(const ParameterView& view, double bound) const {
        const Random random(seed, Stream::initialise, name_hash(view.name));
        const auto values = of(view);
        for (std::size_t i = 0; i < values.size(); ++i)
            values[i] = static_cast<float>(random.uniform(i, -bound, bound));
    }
};

using Views = std::span<const ParameterView>;  // of one node, in the order of parameter_shapes()

void fill(const Conv2d& op, Views views, const Filler& filler) {
    const std::vector<int>& dims = views[0].dims;  // (O, I / groups, KH, KW)
    const double window = static_cast<double>(dims[2]) * dims[3];
    const double fan_out = window * dims[0] / op.groups, fan_in = window * dims[1];
    filler.normal(views[0], std::sqrt(2 / (op.bias ? fan_in : fan_out)));
    if (op.bias) filler.constant(views[1], 0);
}

void fill(const Linear& op, Views views, const Filler& filler, bool small) {
    const double bound = 1 / std::sqrt(static_cast<double>(views[0].dims[1]));  // (O, I)
    if (small) {
        filler.normal(views[0], 0.01);
    } else {
        filler.uniform(views[0], bound);
    }
    if (op.bias && small) filler.constant(views[1], 0);
    if (op.bias && !small) filler.uniform(views[1], bound);
}

void fill(const Lstm& op, Views views, const Filler& filler) {
    for (const ParameterView& view : views)
        filler.uniform(view, 1 / std::sqrt(static_cast<double>(op.hidden)));
}

void fill(const BatchNorm& op, Views views, const Filler& filler, const InitialiseOptions& options) {
    filler.constant(views[0], op.residual && options.zero_residual_norms ? 0.0F : 1.0F);
    filler.constant(views[1], 0);
}

}  // namespace

void fill_buffers(const ArenaLayout& layout, std::span<float> buffers) {
    for (const ParameterView& view : layout.buffers)
        Filler{0, buffers}.constant(view, view.name.ends_with("running_var") ? 1.0F : 0.0F);
}

void fill_initial(const ModelSpec& spec, const ArenaLayout& layout, std::uint64_t seed,
                  const InitialiseOptions& options, std::span<float> parameters, std::span<float> buffers) {
    const Filler filler{seed, parameters};
    for (std::size_t i = 0; i < spec.nodes.size(); ++i) {
        const ViewRange range = layout.node_parameters[i];
        const Views views = Views(layout.parameters).subspan(range.first, range.count);
        const Op& op = spec.nodes[i].op;
        if (const auto* conv = std::get_if<Conv2d>(&op)) fill(*conv, views, filler);
        if (const auto* linear = std::get_if<Linear>(&op))
            fill(*linear, views, filler, spec.architecture == "mobilenet_v2");
        if (const auto* lstm = std::get_if<Lstm>(&op)) fill(*lstm, views, filler);
        if (const auto* norm = std::get_if<BatchNorm>(&op)) fill(*norm, views, filler, options);
    }
    fill_buffers(layout, buffers);
}

}  // namespace divs::nn
