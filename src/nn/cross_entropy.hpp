// Softmax cross-entropy on the host, in double: logits are few, so every backend on the CPU uses this one.
#pragma once

#include <cstdint>
#include <span>

#include "divs/nn/backend.hpp"

namespace divs::nn {

// ConfigError on a label or a number of weights that does not fit.
void check_loss(int classes, std::span<const std::int32_t> labels, std::span<const float> weights,
                float smoothing);

// Rows of `classes` logits. Loss of row i with label y: -sum_k a_k log softmax_k, where
// a_k = w_k ((1 - s) [k = y] + s / classes), as torch's cross_entropy has it; w = 1 where `class_weights` is
// empty. `gradient` (may be null): rows of a like size, of the sum of the losses. ConfigError on a label or a
// number of weights that does not fit.
LossSum softmax_cross_entropy(const float* logits, int classes, std::span<const std::int32_t> labels,
                              std::span<const float> class_weights, float smoothing, float* gradient);

}  // namespace divs::nn
