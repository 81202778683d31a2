// What the operations of the cpu backend share.
#pragma once

#include <memory>
#include <vector>

#include "divs/nn/backend.hpp"
#include "kernels.hpp"
#include "layout.hpp"

namespace divs::nn::cpu {

struct Environment {
    BackendOptions options;
    const Kernels* kernels = nullptr;
};

inline Curve curve_of(Activation activation) {
    return activation == Activation::none   ? Curve::none
           : activation == Activation::relu ? Curve::relu
                                            : Curve::relu6;
}

// Whether the gradient of input `i` is wanted.
inline bool wants_gradient(const PlanOptions& options, std::size_t i) {
    return options.training && (options.input_gradients.empty() || options.input_gradients.at(i));
}

// Lends parts of the workspace, each on its own cache lines. Asked twice in one order: without memory to
// count bytes, and with it to place them.
class Scratch {
  public:
    explicit Scratch(float* memory = nullptr) : memory_(memory) {}
    float* take(std::size_t bytes) {
        float* place = memory_ ? memory_ + used_ / sizeof(float) : nullptr;
        used_ += (bytes + 63) / 64 * 64;
        return place;
    }
    std::size_t bytes() const noexcept { return used_; }

  private:
    float* memory_;
    std::size_t used_ = 0;
};

using OperationPtr = std::unique_ptr<Operation>;
OperationPtr plan(const Conv2d& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);
OperationPtr plan(const BatchNorm& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);
OperationPtr plan(const Activate& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);
OperationPtr plan(const Add& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);
OperationPtr plan(const Pool& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);
OperationPtr plan(const AdaptiveAveragePool& op, const std::vector<TensorDesc>& inputs,
                  const PlanOptions& options, const Environment& env);
OperationPtr plan(const Linear& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);
OperationPtr plan(const Dropout& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);
OperationPtr plan(const TemporalShift& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);
OperationPtr plan(const FrameMean& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);
OperationPtr plan(const Lstm& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env);

// The block of channels in which a convolution reads its input best.
int input_block(const Conv2d& op, const Shape& in, const Environment& env);

std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace divs::nn::cpu
