// When a model's gradients become final during a backward pass, without the model: for steps that only sleep.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace divs::bench {

struct ModelGradients {
    std::size_t elements = 0;         // of the arena
    std::vector<std::size_t> starts;  // of the parameters, ascending
    struct Layer {
        std::size_t begin = 0;  // its first element; it ends where the next one begins
        double share = 0;       // of the backward pass: its multiply-adds
    };
    std::vector<Layer> layers;  // ascending; those with parameters
};

// A model of the zoo for images of this height and width and 1000 classes.
ModelGradients gradients_of(const std::string& model, int pixels);

}  // namespace divs::bench
