#include "op_fields.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "divs/core/error.hpp"

namespace divs::nn {
namespace {

constexpr std::array<std::string_view, std::variant_size_v<Op>> words{
    "conv",   "norm",    "activate", "add",        "pool", "adaptive_pool",
    "linear", "dropout", "shift",    "frame_mean", "lstm"};

template <std::size_t... I>
Op make(std::string_view word, std::index_sequence<I...>) {
    Op op;
    ((word == words[I] ? (op = std::variant_alternative_t<I, Op>{}, true) : false) || ...);
    return op;
}

struct FieldTexts {
    std::vector<std::pair<std::string, std::string>> texts;
    void operator()(const char* name, int a) { texts.emplace_back(name, std::to_string(a)); }
    void operator()(const char* name, int a, int b) {
        texts.emplace_back(name, a == b ? std::to_string(a) : fmt::format("{}x{}", a, b));
    }
    void operator()(const char* name, bool a) { texts.emplace_back(name, a ? "true" : "false"); }
    void operator()(const char* name, float a) { texts.emplace_back(name, float_text(a)); }
    void operator()(const char* name, Activation a) { texts.emplace_back(name, activation_word(a)); }
    void operator()(const char* name, PoolKind a) {
        texts.emplace_back(name, a == PoolKind::max ? "max" : "average");
    }
};

}  // namespace

std::vector<std::pair<std::string, std::string>> field_texts(const Op& op) {
    FieldTexts fields;
    std::visit([&](const auto& o) { visit_fields(o, fields); }, op);
    return std::move(fields.texts);
}

void require_description(const ModelSpec& spec) {
    for (const Node& node : spec.nodes)
        if (const auto* conv = std::get_if<Conv2d>(&node.op);
            conv && (conv->residual || conv->activation != Activation::none))
            throw_error<Error>("model {}: '{}' is folded for prediction, expected the model as it is trained",
                               spec.architecture, node.name);
}

std::string_view op_word(const Op& op) noexcept {
    return words[op.index()];
}

Op op_of_word(std::string_view word) {
    return make(word, std::make_index_sequence<words.size()>{});
}

const std::vector<std::string>& op_words() {
    static const std::vector<std::string> all(words.begin(), words.end());
    return all;
}

std::string_view activation_word(Activation activation) noexcept {
    switch (activation) {
        case Activation::relu:
            return "relu";
        case Activation::relu6:
            return "relu6";
        case Activation::none:
            break;
    }
    return "none";
}

bool read_activation(std::string_view word, Activation& activation) noexcept {
    for (const Activation candidate : {Activation::none, Activation::relu, Activation::relu6}) {
        if (word != activation_word(candidate)) continue;
        activation = candidate;
        return true;
    }
    return false;
}

std::string float_text(float value) {
    return fmt::format("{}", value);
}

}  // namespace divs::nn
