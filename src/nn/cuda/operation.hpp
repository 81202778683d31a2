// What the operations of the cuda backend share.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "device.hpp"
#include "divs/nn/backend.hpp"
#include "kernels/curve.hpp"
#include "memory.hpp"
#include "step_data.hpp"
#include "tensor_view.hpp"
#include "weights.hpp"

namespace divs::nn::cuda {

class Tuner;

// Operations queue their work on device.stream() and never wait; the memory that they own they take when they
// are planned, so that a step allocates nothing and can be recorded as a graph.
struct Context {
    Device& device;
    const BackendOptions& options;
    Weights& weights;
    StepData& step;
    std::shared_ptr<Tuner> tuner = nullptr;  // of convolutions; made when the first is planned

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

inline kernels::Curve curve_of(Activation activation) {
    return activation == Activation::none   ? kernels::Curve::none
           : activation == Activation::relu ? kernels::Curve::relu
                                            : kernels::Curve::relu6;
}

// A tensor's elements, of the type that its layout names.
template <class T>
T* elements(const Tensor& tensor) {
    return reinterpret_cast<T*>(tensor.data());
}
template <class T>
T* elements(const Tensor* tensor) {
    return tensor ? elements<T>(*tensor) : nullptr;
}

// Operation<float> or Operation<bf16>, as the input's layout asks. Error for a tensor without a layout.
template <template <class> class TypedOperation, class... Arguments>
std::unique_ptr<Operation> make_typed(const TensorDesc& input, Arguments&&... arguments) {
    const DeviceLayout* layout = layout_of(input);
    if (!layout) throw Error("backend cuda: operations take tensors in its own layout, not plain ones");
    if (layout->type == DType::f32)
        return std::make_unique<TypedOperation<float>>(std::forward<Arguments>(arguments)...);
    return std::make_unique<TypedOperation<kernels::bf16>>(std::forward<Arguments>(arguments)...);
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
// Whether convolutions read their input through a shift: any kernel of ours can, cuDNN's cannot. In float32 ours are
// plain ones, so the input is copied there and cuDNN's may be chosen.
inline bool can_fold(const Context& context) {
    return context.type() == DType::bf16 || context.tf32();
}
// A convolution whose window is the whole image: (O, C * H * W) is (O, C, H, W).
OperationPtr plan(const Linear& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const Dropout& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const TemporalShift& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const FrameMean& op, const Descs& inputs, const PlanOptions& options, Context& context);
OperationPtr plan(const Lstm& op, const Descs& inputs, const PlanOptions& options, Context& context);

}  // namespace divs::nn::cuda
