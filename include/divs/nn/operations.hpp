// The operations of a model, as values: what a model description is made of and what a backend plans. Shapes are
// (N, H, W, C); weights are stored (O, I, H, W) whatever a backend does with them.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "divs/nn/tensor.hpp"

namespace divs::nn {

enum class Activation { none, relu, relu6 };

// Cross-correlation with zero padding. Parameters: weight (O, I/groups, KH, KW), bias (O) if any. In a model
// folded for prediction (inference.hpp) it also adds its second input, of its output's shape, where it has a
// `residual`, and then applies the activation: no description of a model says so, and no plan for training
// takes it.
struct Conv2d {
    int out_channels = 0;
    int kernel_h = 1, kernel_w = 1;
    int stride_h = 1, stride_w = 1;
    int pad_h = 0, pad_w = 0;
    int dilation_h = 1, dilation_w = 1;
    int groups = 1;
    bool bias = false;
    bool residual = false;
    Activation activation = Activation::none;
};

// Normalisation over (N, H, W) by channel, then `residual` (adds the second input), then the activation: one pass.
// Training uses the biased variance of the batch, running_var the unbiased one (as torch does), with
// running = (1 - momentum) running + momentum batch. Parameters: weight (C), bias (C). Buffers: running_mean (C),
// running_var (C). Ioffe, Szegedy, arXiv 1502.03167.
struct BatchNorm {
    float epsilon = 1e-5F;
    float momentum = 0.1F;
    bool residual = false;
    Activation activation = Activation::none;
};

// An activation by itself.
struct Activate {
    Activation activation = Activation::relu;
};

// The sum of two inputs of one shape, then the activation.
struct Add {
    Activation activation = Activation::none;
};

enum class PoolKind { max, average };  // the average counts only elements inside the image (count_include_pad = false)

struct Pool {
    PoolKind kind = PoolKind::max;
    int kernel_h = 2, kernel_w = 2;
    int stride_h = 2, stride_w = 2;
    int pad_h = 0, pad_w = 0;
};

// Average over windows chosen so that the output is (out_h, out_w): window i is [floor(i H / out), ceil((i+1) H / out)).
struct AdaptiveAveragePool {
    int out_h = 1, out_w = 1;
};

// y = W x + b over the flattened (C, H, W) of each n (torch's order). Parameters: weight (O, C*H*W), bias (O).
struct Linear {
    int out_features = 0;
    bool bias = true;
};

// Zeroes elements with probability `rate` and scales the rest by 1 / (1 - rate); identity in evaluation. Which element
// is kept is a function of (seed, epoch, sample, layer, element); `element` counts (H, W, C) and the frame.
struct Dropout {
    float rate = 0.5F;
    int layer = 0;  // number of this dropout in its model
};

// Moves the first c/divisor channels one frame back (frame t takes t+1's) and the next c/divisor one frame forward
// (frame t takes t-1's), zeros at the ends, within each clip of `frames`. Lin, Gan, Han, arXiv 1811.08383.
struct TemporalShift {
    int frames = 8;
    int divisor = 8;
};

// The mean over the `frames` of each clip: N = clips x frames -> N = clips.
struct FrameMean {
    int frames = 8;
};

// Long short-term memory (Hochreiter, Schmidhuber, 1997; with a forget gate, Gers et al., 2000): one layer
// that reads the `frames` of each clip in their order, from zeros. With x the frame, flattened as for Linear:
//   i, f, g, o = W_ih x + b_ih + W_hh h + b_hh
//   c = sigmoid(f) c + sigmoid(i) tanh(g);  h = sigmoid(o) tanh(c)
// The output is h of every frame, (N, 1, 1, hidden). Parameters, named and ordered as torch.nn.LSTM has them:
// weight_ih_l0 (4 hidden, C*H*W), weight_hh_l0 (4 hidden, hidden), bias_ih_l0, bias_hh_l0 (4 hidden).
struct Lstm {
    int frames = 8;
    int hidden = 0;
};

using Op = std::variant<Conv2d, BatchNorm, Activate, Add, Pool, AdaptiveAveragePool, Linear, Dropout,
                        TemporalShift, FrameMean, Lstm>;

// A named, learned tensor, or a named buffer such as a running mean.
struct ParameterShape {
    std::string name;       // within its operation: "weight", "bias", "running_mean", ...
    std::vector<int> dims;  // (O, I, H, W), (O, I) or (C)
    bool decays = false;    // weight decay applies (weights of convolutions, linear layers and LSTMs)
    std::size_t size() const noexcept;
};

std::string_view kind_name(const Op& op) noexcept;  // "conv2d", "batchnorm", ...

std::size_t input_count(const Op& op) noexcept;

// Shape of the output. Throws ConfigError, naming sizes, when the operation does not fit its inputs.
Shape output_shape(const Op& op, const std::vector<Shape>& inputs);
Shape conv_output_shape(const Conv2d& op, const Shape& in);  // whatever it adds

// What the operation learns, and what it keeps beside (neither for most).
std::vector<ParameterShape> parameter_shapes(const Op& op, const std::vector<Shape>& inputs);
std::vector<ParameterShape> buffer_shapes(const Op& op, const std::vector<Shape>& inputs);

// Multiply-adds of the forward pass (convolutions, linear layers and LSTMs; 0 for the rest).
double multiply_adds(const Op& op, const std::vector<Shape>& inputs);

}  // namespace divs::nn
