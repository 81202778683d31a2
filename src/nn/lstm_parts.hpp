// The two linear layers that an LSTM is made of.
#pragma once

#include "divs/nn/backend.hpp"

namespace divs::nn {

enum class LstmPart : std::size_t { input, hidden };  // W_ih x + b_ih and W_hh h + b_hh

// Both as a Linear of 4 hidden outputs has them: weight, bias.
inline Parameters part_of(const Parameters& lstm, LstmPart part) {
    const auto pick = [part](const std::vector<std::span<float>>& all) {
        const auto first = static_cast<std::size_t>(part);  // both weights, then both biases
        return all.empty() ? all : std::vector{all[first], all[first + 2]};
    };
    return {pick(lstm.values), pick(lstm.gradients), {}};
}

}  // namespace divs::nn
