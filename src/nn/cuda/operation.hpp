// What the operations of the cuda backend share.
#pragma once

#include <memory>
#include <vector>

#include "device.hpp"
#include "divs/nn/backend.hpp"
#include "memory.hpp"
#include "step_data.hpp"
#include "tensor_view.hpp"
#include "weights.hpp"

namespace divs::nn::cuda {

// Operations queue their work on device.stream() and never wait; the memory that they own they take when they
// are planned, so that a step allocates nothing and can be recorded as a graph.
struct Context {
    Device& device;
    const BackendOptions& options;
    Weights& weights;
    StepData& step;

    DType type() const noexcept {
        return options.precision == Precision::bfloat16 ? DType::bf16 : DType::f32;
    }
    bool tf32() const noexcept { return options.precision == Precision::tf32; }
    cudaStream_t stream() const noexcept { return device.stream(); }
};

// Whether the gradient of input `i` is wanted.
inline bool wants_gradient(const PlanOptions& options, std::size_t i) {
    return options.training && (options.input_gradients.empty() || options.input_gradients.at(i));
}

using OperationPtr = std::unique_ptr<Operation>;
using Descs = std::vector<TensorDesc>;
// Convolutions read options.shift: the temporal shift that their input passes through, if any.
OperationPtr plan(const Conv2d& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const BatchNorm& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const Activate& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const Add& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const Pool& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const AdaptiveAveragePool& op, const Descs& inputs, const PlanOptions& options,
                  Context& context);
// A convolution whose window is the whole image: (O, C * H * W) is (O, C, H, W).
OperationPtr plan(const Linear& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const Dropout& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const TemporalShift& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const FrameMean& op, const Descs& inputs, const PlanOptions& options, Context& context);

}  // namespace divs::nn::cuda
