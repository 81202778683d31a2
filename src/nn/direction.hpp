#pragma once

namespace divs::nn {

// Of a convolution: its output, the gradient of its input, or that of its weights.
enum class Direction { forward, backward_data, backward_weights };

}  // namespace divs::nn
