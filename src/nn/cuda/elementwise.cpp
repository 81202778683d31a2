// Activations, sums and dropout.
#include "kernels/elementwise.hpp"

#include <cmath>

#include "divs/core/random.hpp"
#include "kernels/dropout.hpp"
#include "operation.hpp"

namespace divs::nn::cuda {
namespace {

// curve(a) or curve(a + b).
template <class T>
class CurveOperation final : public Operation {
  public:
    CurveOperation(Activation activation, const TensorDesc& input, const Context& context)
        : curve_(curve_of(activation)),
          output_(input),
          size_(view_of(input).size()),
          stream_(context.stream()) {}

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&, const StepContext&,
                 float*) override {
        kernels::activate(elements<T>(inputs[0]), inputs.size() > 1 ? elements<T>(inputs[1]) : nullptr,
                          curve_, elements<T>(output), size_, stream_);
        DIVS_CUDA_LAUNCHED("activate");
    }

    void backward(std::span<const Tensor* const>, const Tensor& output, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext&,
                  float*) override {
        kernels::activate_backward(
            elements<T>(output), elements<T>(output_gradient), curve_, elements<T>(input_gradients[0]),
            input_gradients.size() > 1 ? elements<T>(input_gradients[1]) : nullptr, size_, stream_);
        DIVS_CUDA_LAUNCHED("activate_backward");
    }

  private:
    kernels::Curve curve_;
    TensorDesc output_;
    std::size_t size_;
    cudaStream_t stream_;
};

template <class T>
class DropoutOperation final : public Operation {
  public:
    DropoutOperation(const Dropout& op, const TensorDesc& input, const PlanOptions& options, Context& context)
        : output_(input), training_(options.training), context_(context) {
        const View view = view_of(input);
        shape_.rows = view.n;
        shape_.pixels = view.h * view.w;
        shape_.channels = view.c;
        shape_.pitch = view.pitch;
        shape_.layer = static_cast<std::uint64_t>(op.layer);
        shape_.stream = static_cast<std::uint64_t>(Stream::dropout);
        // uniform >= rate, where uniform is a whole number of 2^-53.
        if (training_) {
            shape_.threshold = static_cast<std::uint64_t>(std::ceil(static_cast<double>(op.rate) * 0x1.0p53));
            shape_.scale = 1.0F / (1.0F - op.rate);
        }
    }

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&,
                 const StepContext& step, float*) override {
        run(*inputs[0], step, output);
    }

    void backward(std::span<const Tensor* const>, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext& step,
                  float*) override {
        if (input_gradients[0]) run(output_gradient, step, *input_gradients[0]);
    }

  private:
    void run(const Tensor& from, const StepContext& step, Tensor& to) {
        if (training_) context_.step.stage(step);
        kernels::DropoutShape shape = shape_;
        shape.frames =
            training_ ? step.frames : shape.rows;  // in evaluation the samples are not read in turn
        kernels::dropout(elements<T>(from), shape, context_.step.seed_and_epoch(), context_.step.samples(),
                         elements<T>(to), context_.stream());
        DIVS_CUDA_LAUNCHED("dropout");
    }

    TensorDesc output_;
    kernels::DropoutShape shape_;
    bool training_;
    Context& context_;
};

}  // namespace

OperationPtr plan(const Activate& op, const Descs& inputs, const PlanOptions&, Context& context) {
    return make_typed<CurveOperation>(inputs[0], op.activation, inputs[0], context);
}
OperationPtr plan(const Add& op, const Descs& inputs, const PlanOptions&, Context& context) {
    return make_typed<CurveOperation>(inputs[0], op.activation, inputs[0], context);
}
OperationPtr plan(const Dropout& op, const Descs& inputs, const PlanOptions& options, Context& context) {
    return make_typed<DropoutOperation>(inputs[0], op, inputs[0], options, context);
}

}  // namespace divs::nn::cuda
