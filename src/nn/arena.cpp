#include "arena.hpp"

#include "divs/core/config.hpp"
#include "divs/core/error.hpp"

namespace divs::nn {
namespace {

std::size_t aligned(std::size_t elements) {
    return (elements + parameter_alignment - 1) / parameter_alignment * parameter_alignment;
}

ViewRange append(std::vector<ParameterView>& views, std::size_t& elements, const std::string& node,
                 const std::vector<ParameterShape>& shapes) {
    const ViewRange range{views.size(), shapes.size()};
    for (const ParameterShape& shape : shapes) {
        views.push_back({node + "." + shape.name, shape.dims, elements, shape.size(), shape.decays, false});
        elements += aligned(shape.size());
    }
    return range;
}

bool below(const std::string& name, const std::string& prefix) {
    return name.starts_with(prefix) &&
           (name.size() == prefix.size() || prefix.ends_with('.') || name[prefix.size()] == '.');
}

// What a prefix could have meant: every name and each of its parents.
std::vector<std::string> possible_prefixes(const std::vector<ParameterView>& views) {
    std::vector<std::string> known;
    for (const ParameterView& view : views)
        for (auto dot = view.name.find('.'); dot != std::string::npos; dot = view.name.find('.', dot + 1))
            known.push_back(view.name.substr(0, dot));
    return known;
}

}  // namespace

ArenaLayout lay_out(const ModelSpec& spec) {
    ArenaLayout layout;
    const std::vector<Shape> shapes = node_shapes(spec, 1);
    for (const Node& node : spec.nodes) {
        const std::vector<Shape> inputs = input_shapes(spec, shapes, node, 1);
        layout.node_parameters.push_back(append(layout.parameters, layout.parameter_elements, node.name,
                                                parameter_shapes(node.op, inputs)));
        layout.node_buffers.push_back(
            append(layout.buffers, layout.buffer_elements, node.name, buffer_shapes(node.op, inputs)));
    }
    return layout;
}

void freeze(std::vector<ParameterView>& views, const std::vector<std::string>& prefixes) {
    for (const std::string& prefix : prefixes) {
        bool found = false;
        for (const ParameterView& view : views) found = found || below(view.name, prefix);
        if (found) continue;
        const std::string near = nearest(prefix, possible_prefixes(views));
        throw_error<ConfigError>("freeze: no parameter's name begins with '{}'{}", prefix,
                                 near.empty() ? "" : "; did you mean '" + near + "'?");
    }
    for (ParameterView& view : views) {
        view.frozen = false;
        for (const std::string& prefix : prefixes) view.frozen = view.frozen || below(view.name, prefix);
    }
}

std::vector<UpdateRange> update_ranges(const ArenaLayout& layout) {
    std::vector<UpdateRange> ranges;
    for (const ParameterView& view : layout.parameters) {
        const std::size_t end = view.offset + aligned(view.size);
        if (!ranges.empty() && ranges.back().decays == view.decays && ranges.back().frozen == view.frozen) {
            ranges.back().end = end;
        } else {
            ranges.push_back({view.offset, end, view.decays, view.frozen});
        }
    }
    return ranges;
}

Tensor arena_view(const std::shared_ptr<Storage>& storage, std::size_t offset, std::size_t size) {
    return {{Shape{1, 1, 1, static_cast<int>(size)}, nullptr}, storage, offset * sizeof(float)};
}

}  // namespace divs::nn
