// The words of the model description: each operation's name and fields, stated once for the text form, the
// JSON form and comparison.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "divs/nn/model.hpp"

namespace divs::nn {

// Calls visit(name, field...) for each field of an operation; two references make one field of height and
// width. The fields are int, bool, float, Activation or PoolKind. `op` may be const.
template <class Operation, class Visitor>
void visit_fields(Operation& op, Visitor&& visit) {
    using T = std::remove_const_t<Operation>;
    if constexpr (std::is_same_v<T, Conv2d>) {
        visit("out", op.out_channels);
        visit("kernel", op.kernel_h, op.kernel_w);
        visit("stride", op.stride_h, op.stride_w);
        visit("pad", op.pad_h, op.pad_w);
        visit("dilation", op.dilation_h, op.dilation_w);
        visit("groups", op.groups);
        visit("bias", op.bias);
    } else if constexpr (std::is_same_v<T, BatchNorm>) {
        visit("epsilon", op.epsilon);
        visit("momentum", op.momentum);
        visit("residual", op.residual);
        visit("activation", op.activation);
    } else if constexpr (std::is_same_v<T, Activate> || std::is_same_v<T, Add>) {
        visit("activation", op.activation);
    } else if constexpr (std::is_same_v<T, Pool>) {
        visit("kind", op.kind);
        visit("kernel", op.kernel_h, op.kernel_w);
        visit("stride", op.stride_h, op.stride_w);
        visit("pad", op.pad_h, op.pad_w);
    } else if constexpr (std::is_same_v<T, AdaptiveAveragePool>) {
        visit("out", op.out_h, op.out_w);
    } else if constexpr (std::is_same_v<T, Linear>) {
        visit("out", op.out_features);
        visit("bias", op.bias);
    } else if constexpr (std::is_same_v<T, Dropout>) {
        visit("rate", op.rate);
        visit("layer", op.layer);
    } else if constexpr (std::is_same_v<T, TemporalShift>) {
        visit("frames", op.frames);
        visit("divisor", op.divisor);
    } else if constexpr (std::is_same_v<T, FrameMean>) {
        visit("frames", op.frames);
    } else if constexpr (std::is_same_v<T, Lstm>) {
        visit("frames", op.frames);
        visit("out", op.hidden);
    }
}

// Error where the model is folded for prediction: it has no description.
void require_description(const ModelSpec& spec);

// The operation's word in descriptions.
std::string_view op_word(const Op& op) noexcept;
// An operation with default fields; a Conv2d for an unknown word, so ask op_words() first.
Op op_of_word(std::string_view word);
const std::vector<std::string>& op_words();

std::string_view activation_word(Activation activation) noexcept;
// False when the word is none of "none", "relu", "relu6".
bool read_activation(std::string_view word, Activation& activation) noexcept;

// All fields of an operation as text, in order: {"out", "64"}, {"kernel", "3x5"}, {"bias", "false"}, ...
std::vector<std::pair<std::string, std::string>> field_texts(const Op& op);

// The shortest text that reads back as the same float.
std::string float_text(float value);

}  // namespace divs::nn
