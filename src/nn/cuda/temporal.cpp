// What moves or averages along the frames of a clip.
#include "kernels/temporal.hpp"

#include "operation.hpp"

namespace divs::nn::cuda {
namespace {

kernels::ClipShape clip_shape(const TensorDesc& input, int frames) {
    const View view = view_of(input);
    return {view.n, frames, view.h * view.w, view.pitch};
}

template <class T>
class ShiftOperation final : public Operation {
  public:
    ShiftOperation(const TemporalShift& op, const TensorDesc& input, const Context& context)
        : shape_(clip_shape(input, op.frames)),
          part_(input.shape.c / op.divisor),
          output_(input),
          stream_(context.stream()) {}

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&, const StepContext&,
                 float*) override {
        kernels::temporal_shift(elements<T>(inputs[0]), shape_, part_, 1, elements<T>(output), stream_);
        DIVS_CUDA_LAUNCHED("temporal shift");
    }
    void backward(std::span<const Tensor* const>, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext&,
                  float*) override {
        if (!input_gradients[0]) return;
        kernels::temporal_shift(elements<T>(output_gradient), shape_, part_, -1,
                                elements<T>(input_gradients[0]), stream_);
        DIVS_CUDA_LAUNCHED("temporal shift, backward");
    }

  private:
    kernels::ClipShape shape_;
    int part_;
    TensorDesc output_;
    cudaStream_t stream_;
};

template <class T>
class FrameMeanOperation final : public Operation {
  public:
    FrameMeanOperation(const FrameMean& op, const TensorDesc& input, const Context& context)
        : shape_(clip_shape(input, op.frames)), stream_(context.stream()) {
        const Shape& in = input.shape;
        output_ = make_desc({in.n / op.frames, in.h, in.w, in.c}, view_of(input).type);
    }

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&, const StepContext&,
                 float*) override {
        kernels::frame_mean(elements<T>(inputs[0]), shape_, elements<T>(output), stream_);
        DIVS_CUDA_LAUNCHED("frame mean");
    }
    void backward(std::span<const Tensor* const>, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext&,
                  float*) override {
        if (!input_gradients[0]) return;
        kernels::frame_mean_backward(elements<T>(output_gradient), shape_, elements<T>(input_gradients[0]),
                                     stream_);
        DIVS_CUDA_LAUNCHED("frame mean, backward");
    }

  private:
    kernels::ClipShape shape_;
    TensorDesc output_;
    cudaStream_t stream_;
};

}  // namespace

OperationPtr plan(const TemporalShift& op, const Descs& inputs, const PlanOptions&, Context& context) {
    return make_typed<ShiftOperation>(inputs[0], op, inputs[0], context);
}
OperationPtr plan(const FrameMean& op, const Descs& inputs, const PlanOptions&, Context& context) {
    return make_typed<FrameMeanOperation>(inputs[0], op, inputs[0], context);
}

}  // namespace divs::nn::cuda
