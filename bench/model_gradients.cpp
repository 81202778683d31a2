#include "model_gradients.hpp"

#include "arena.hpp"
#include "divs/nn/model.hpp"

namespace divs::bench {

ModelGradients gradients_of(const std::string& model, int pixels) {
    const nn::ModelSpec spec = nn::zoo_model(model, {1000, 1, pixels, pixels});
    const nn::ArenaLayout layout = nn::lay_out(spec);
    const auto shapes = nn::node_shapes(spec, 1);
    ModelGradients result{layout.parameter_elements, {}, {}};
    for (const nn::ParameterView& view : layout.parameters) result.starts.push_back(view.offset);
    double work = 0, total = 0;  // work: of nodes since the last one with parameters
    for (std::size_t n = 0; n < spec.nodes.size(); ++n) {
        const nn::Node& node = spec.nodes[n];
        const double own = nn::multiply_adds(node.op, nn::input_shapes(spec, shapes, node, 1));
        total += own;
        if (layout.node_parameters[n].count == 0) {
            work += own;
            continue;
        }
        result.layers.push_back({result.starts[layout.node_parameters[n].first], own + work});
        work = 0;
    }
    for (ModelGradients::Layer& layer : result.layers) layer.share /= total;
    return result;
}

}  // namespace divs::bench
