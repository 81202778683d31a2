// The oracle as a backend: plain NHWC tensors, no workspace, one thread.
#include "divs/nn/backend.hpp"

#include <algorithm>
#include <cmath>

#include "cross_entropy.hpp"
#include "divs/nn/schedule.hpp"
#include "host_storage.hpp"
#include "loops.hpp"

namespace divs::nn::reference {
namespace {

class ReferenceOperation final : public Operation {
  public:
    ReferenceOperation(const Op& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options) {
        std::vector<Shape> shapes;
        for (const auto& desc : inputs) shapes.push_back(desc.shape);
        output_ = {output_shape(op, shapes), nullptr};
        loops_ = make_loops<float>(op, shapes, options);
        if (!options.parameter_gradients)
            for (const auto& p : parameter_shapes(op, shapes)) unwanted_.emplace_back(p.size());
    }

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext& step, float*) override {
        auto operands = of(parameters);
        for (const Tensor* input : inputs) operands.inputs.push_back(input->data());
        operands.output = output.data();
        operands.step = step;
        loops_->forward(operands);
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor& output, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters,
                  const StepContext& step, float*) override {
        auto operands = of(parameters);
        for (const Tensor* input : inputs) operands.inputs.push_back(input->data());
        for (const Tensor* gradient : input_gradients)
            operands.input_gradients.push_back(gradient ? gradient->data() : nullptr);
        operands.output = output.data();
        operands.output_gradient = output_gradient.data();
        operands.step = step;
        loops_->backward(operands);
    }

    void forward_empty(const Parameters& parameters) override { loops_->forward_empty(of(parameters)); }
    void backward_empty(const Parameters& parameters) override { loops_->backward_empty(of(parameters)); }

  private:
    Operands<float> of(const Parameters& parameters) {
        Operands<float> operands;
        for (const auto& span : parameters.values) operands.values.push_back(span.data());
        for (auto& gradients : unwanted_) operands.gradients.push_back(gradients.data());
        if (unwanted_.empty())
            for (const auto& span : parameters.gradients) operands.gradients.push_back(span.data());
        for (const auto& span : parameters.buffers) operands.buffers.push_back(span.data());
        return operands;
    }

    TensorDesc output_;
    std::unique_ptr<Loops<float>> loops_;
    std::vector<std::vector<float>> unwanted_;  // takes the parameter gradients where nobody asked for them
};

// One element of an optimiser's step, in double.
void step_sgd(const UpdateSettings& s, double decay, double gradient, float& parameter, float* velocity) {
    const double g = gradient + decay * static_cast<double>(parameter);
    double direction = g;
    if (velocity) {
        const double v = static_cast<double>(s.momentum) * static_cast<double>(*velocity) + g;
        *velocity = static_cast<float>(v);
        direction = s.nesterov ? g + static_cast<double>(s.momentum) * v : v;
    }
    parameter =
        static_cast<float>(static_cast<double>(parameter) - static_cast<double>(s.learning_rate) * direction);
}

void step_adamw(const UpdateSettings& s, double decay, double g, float& parameter, float& first,
                float& second) {
    const double rate = static_cast<double>(s.learning_rate), b1 = static_cast<double>(s.beta1),
                 b2 = static_cast<double>(s.beta2), t = static_cast<double>(s.step);
    const double m = b1 * static_cast<double>(first) + (1 - b1) * g;
    const double v = b2 * static_cast<double>(second) + (1 - b2) * g * g;
    first = static_cast<float>(m);
    second = static_cast<float>(v);
    const double corrected =
        (m / (1 - std::pow(b1, t))) / (std::sqrt(v / (1 - std::pow(b2, t))) + static_cast<double>(s.epsilon));
    parameter = static_cast<float>(static_cast<double>(parameter) * (1 - rate * decay) - rate * corrected);
}

class ReferenceBackend final : public Backend {
  public:
    std::string_view name() const noexcept override { return "reference"; }
    std::shared_ptr<Storage> allocate(std::size_t bytes) override { return allocate_host(bytes); }
    std::size_t bytes(const TensorDesc& desc) const override { return desc.shape.size() * sizeof(float); }

    std::unique_ptr<Operation> plan(const Op& op, const std::vector<TensorDesc>& inputs,
                                    const PlanOptions& options) override {
        return std::make_unique<ReferenceOperation>(op, inputs, options);
    }
    TensorDesc input_desc(const Shape& shape, const Op&) override { return {shape, nullptr}; }

    void upload_pixels(const std::uint8_t* pixels, const float mean[3], const float deviation[3],
                       Tensor& tensor) override {
        for (std::size_t i = 0; i < tensor.shape().size(); ++i) {
            const double m = static_cast<double>(mean[i % 3]), d = static_cast<double>(deviation[i % 3]);
            tensor.data()[i] = static_cast<float>((pixels[i] / 255.0 - m) / d);
        }
    }
    void upload(const float* nhwc, Tensor& tensor) override {
        std::copy_n(nhwc, tensor.shape().size(), tensor.data());
    }
    void download(const Tensor& tensor, float* nhwc) override {
        std::copy_n(tensor.data(), tensor.shape().size(), nhwc);
    }
    void accumulate(const Tensor& source, Tensor& target) override {
        for (std::size_t i = 0; i < source.shape().size(); ++i) target.data()[i] += source.data()[i];
    }

    void cross_entropy(const Tensor& logits, std::span<const std::int32_t> labels,
                       std::span<const float> class_weights, float smoothing, Tensor* gradient) override {
        loss_ = nn::softmax_cross_entropy(logits.data(), logits.shape().c, labels, class_weights, smoothing,
                                          gradient ? gradient->data() : nullptr);
    }
    LossSum loss() override { return loss_; }

    void update(const UpdateSettings& settings, std::span<const UpdateRange> ranges,
                std::span<float> parameters, std::span<const float> gradients,
                std::span<const std::span<float>> state) override {
        double squares = 0;
        for (float v : gradients) squares += static_cast<double>(v) * static_cast<double>(v);
        scale_ = gradient_scale(squares, settings.weight, settings.clip_norm);
        if (scale_.factor == 0) return;
        for (const UpdateRange& range : ranges) {
            const double decay = range.decays ? static_cast<double>(settings.weight_decay) : 0.0;
            for (std::size_t i = range.begin; !range.frozen && i < range.end; ++i) {
                const double g = static_cast<double>(scale_.factor) * static_cast<double>(gradients[i]);
                if (settings.optimizer == Optimizer::sgd)
                    step_sgd(settings, decay, g, parameters[i], state.empty() ? nullptr : &state[0][i]);
                else
                    step_adamw(settings, decay, g, parameters[i], state[0][i], state[1][i]);
            }
        }
    }

    double gradient_norm() override { return scale_.norm; }

  private:
    LossSum loss_;
    GradientScale scale_;  // of the last update
};

}  // namespace

std::unique_ptr<Backend> make_backend() {
    return std::make_unique<ReferenceBackend>();
}

}  // namespace divs::nn::reference
