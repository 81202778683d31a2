// Two nodes of a graph become one, where nobody else reads what lies between.
#pragma once

#include <vector>

#include "divs/nn/model.hpp"

namespace divs::nn {

std::vector<int> count_readers(const ModelSpec& spec);

// What a node becomes when it swallows one of its inputs: the merged node and the input that goes.
struct Merge {
    Node node;
    int swallowed = 0;
};

// Puts the merged node in the place of node i, which now stands one place earlier, and takes the swallowed
// one out.
void apply(ModelSpec& spec, std::size_t i, Merge merge);

// Where an operation may take along an addition and an activation behind it; null where it may not.
struct Ending {
    bool* residual = nullptr;
    Activation* activation = nullptr;
};

// Additions and activations that alone read an operation with such an ending become part of it.
ModelSpec join_endings(ModelSpec spec, Ending (*ending_of)(Op& op));

}  // namespace divs::nn
