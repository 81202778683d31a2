// Activations, sums and dropout: one pass over memory.
#include <algorithm>
#include <optional>

#include "dropout.hpp"
#include "onednn.hpp"
#include "operation.hpp"
#include "parallel.hpp"

namespace divs::nn::cpu {
namespace {

class AddOperation final : public Operation {  // of one input or two, then the activation
  public:
    AddOperation(Activation activation, const std::vector<TensorDesc>& inputs, const Environment& env)
        : curve_(curve_of(activation)),
          view_(view_of(inputs[0])),
          output_(inputs[0]),
          threads_(env.options.threads),
          kernels_(*env.kernels) {
        if (inputs.size() > 1 && view_of(inputs[1]) != view_) other_ = view_of(inputs[1]);
    }

    const TensorDesc& output() const noexcept override { return output_; }
    std::size_t workspace_bytes() const noexcept override {
        return other_ ? view_.size() * sizeof(float) : 0;
    }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&, const StepContext&,
                 float* workspace) override {
        const float* x1 = inputs[0]->data();
        const float* x2 = inputs.size() > 1 ? inputs[1]->data() : nullptr;
        if (other_) {
            onednn::reorder(*other_, x2, view_, workspace);
            x2 = workspace;
        }
        parallel_lines(threads_, view_.size(), [&](std::size_t at, std::size_t n) {
            kernels_.add(x1 + at, x2 ? x2 + at : nullptr, output.data() + at, n, curve_);
        });
    }

    void backward(std::span<const Tensor* const>, const Tensor& output, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext&,
                  float* workspace) override {
        for (std::size_t i = 0; i < input_gradients.size(); ++i) {
            if (!input_gradients[i]) continue;
            const bool elsewhere = i == 1 && other_;
            float* dx = elsewhere ? workspace : input_gradients[i]->data();
            parallel_lines(threads_, view_.size(), [&](std::size_t at, std::size_t n) {
                kernels_.curve_gradient(output.data() + at, output_gradient.data() + at, dx + at, n, curve_);
            });
            if (elsewhere) onednn::reorder(view_, dx, *other_, input_gradients[i]->data());
        }
    }

  private:
    Curve curve_;
    View view_;
    std::optional<View> other_;  // the second input's layout where it is another
    TensorDesc output_;
    int threads_;
    const Kernels& kernels_;
};

class DropoutOperation final : public Operation {
  public:
    DropoutOperation(const Dropout& op, const TensorDesc& input, bool training, const Environment& env)
        : op_(op),
          view_(view_of(input)),
          output_(input),
          training_(training),
          threads_(env.options.threads) {}

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&,
                 const StepContext& step, float*) override {
        drop(inputs[0]->data(), output.data(), step);
    }

    void backward(std::span<const Tensor* const>, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext& step,
                  float*) override {
        if (input_gradients[0]) drop(output_gradient.data(), input_gradients[0]->data(), step);
    }

  private:
    void drop(const float* from, float* to, const StepContext& step) const {
        const float kept = static_cast<float>(1.0 / (1.0 - static_cast<double>(op_.rate)));
        const std::size_t elements = view_.pixels() * view_.channels();
        parallel_for(threads_, static_cast<std::size_t>(view_.n), [&](std::size_t n) {
            const float* x = from + n * view_.row();
            float* y = to + n * view_.row();
            if (!training_) {
                std::copy_n(x, view_.row(), y);
                return;
            }
            const DropoutRow row(op_, step, static_cast<int>(n), elements);
            for (std::size_t i = 0; i < view_.row(); ++i) {
                const std::size_t c = i / view_.plane() * view_.lanes() + i % view_.lanes();
                const std::size_t pixel = i % view_.plane() / view_.lanes();
                const bool keeps = c < view_.channels() && row.keeps(pixel * view_.channels() + c);
                y[i] = keeps ? x[i] * kept : 0.0F;
            }
        });
    }

    Dropout op_;
    View view_;
    TensorDesc output_;
    bool training_;
    int threads_;
};

}  // namespace

OperationPtr plan(const Activate& op, const std::vector<TensorDesc>& inputs, const PlanOptions&,
                  const Environment& env) {
    return std::make_unique<AddOperation>(op.activation, inputs, env);
}

OperationPtr plan(const Add& op, const std::vector<TensorDesc>& inputs, const PlanOptions&,
                  const Environment& env) {
    return std::make_unique<AddOperation>(op.activation, inputs, env);
}

OperationPtr plan(const Dropout& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env) {
    return std::make_unique<DropoutOperation>(op, inputs[0], options.training, env);
}

}  // namespace divs::nn::cpu
