// Fuses norm, residual addition and activation into one pass over the data.
#include <utility>

#include "merge.hpp"

namespace divs::nn {
namespace {

Ending ending_of(Op& op) {
    if (auto* norm = std::get_if<BatchNorm>(&op)) return {&norm->residual, &norm->activation};
    if (auto* add = std::get_if<Add>(&op)) return {nullptr, &add->activation};
    return {};
}

}  // namespace

ModelSpec fuse(ModelSpec spec) {
    return join_endings(std::move(spec), ending_of);
}

}  // namespace divs::nn
