// Models that only predict. A batch norm that uses its running statistics is a line in each channel: the
// convolution before it takes that line into its weights and bias, and the norm's residual and activation
// with it, so that the norm's pass over the data is gone.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "divs/nn/model.hpp"

namespace divs::nn {

// A model and its numbers, as the arenas of a Model of this spec hold them.
struct FoldedModel {
    ModelSpec spec;
    std::vector<float> parameters, buffers;
};

// Norms, additions and activations that alone read a convolution become part of it: weights scaled by
// gamma / sqrt(variance + epsilon), bias = beta + (bias - mean) gamma / sqrt(variance + epsilon), in double.
// The convolution keeps its name. Norms elsewhere stay. `parameters` and `buffers` are the arenas of a Model
// of `spec`.
FoldedModel fold(const ModelSpec& spec, std::span<const float> parameters, std::span<const float> buffers);

// The same as a model on a backend, which may be another. Such a model refuses to train.
std::unique_ptr<Model> make_predictor(Model& trained, std::shared_ptr<Backend> backend);

}  // namespace divs::nn
