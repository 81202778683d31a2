// The checks of a model description, piece by piece, so that a reader can say where a description went wrong.
#pragma once

#include "divs/nn/model.hpp"

namespace divs::nn {

// Frames, image, classes, normalisation.
void check_sizes(const ModelSpec& spec);
// Node i, given the shapes before it for one clip; its own shape.
Shape check_node(const ModelSpec& spec, const std::vector<Shape>& shapes, std::size_t i);
// What only the whole model shows: names, unread nodes, and the shape of the logits.
void check_end(const ModelSpec& spec, const Shape& last);

}  // namespace divs::nn
