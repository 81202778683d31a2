// Convolutions and linear layers as operations: each direction by the algorithm that the tuner chose for it.
#include <algorithm>

#include "convolution.hpp"
#include "convolution_shape.hpp"
#include "operation.hpp"

namespace divs::nn::cuda {
namespace {

using AlgorithmPtr = std::shared_ptr<const ConvAlgorithm>;

Tuner& tuner_of(Context& context) {
    if (!context.tuner) {
        ConvOptions options;
        options.choice = context.options.conv;
        options.deterministic = context.options.deterministic;
        if (!context.options.cache_folder.empty())
            options.cache = context.options.cache_folder + "/convolutions.jsonl";
        context.tuner = std::make_shared<Tuner>(context.device, options);
    }
    return *context.tuner;
}

ConvProblem problem_of(const Conv2d& op, const Shape& in, const PlanOptions& options,
                       const Context& context) {
    ConvProblem problem;
    problem.in = in;
    problem.op = op;
    problem.arithmetic = context.type() == DType::bf16 ? Arithmetic::bf16
                         : context.tf32()              ? Arithmetic::tf32
                                                       : Arithmetic::f32;
    if (options.shift) problem.shift = *options.shift;
    return problem;
}

// The copy of the weights that an algorithm reads. None for one that reads the master.
WeightForm form_of(const ConvProblem& problem, WeightOrder order) {
    const kernels::ConvShape s = kernel_shape(problem);
    const int in = s.c / s.groups, taps = s.r * s.s;
    return order == WeightOrder::krsc ? filter_form(s.k, in, taps, s.group_c())
                                      : channel_form(s.k, in, taps, s.groups, s.group_k());
}

class ConvolutionOperation final : public Operation {
  public:
    ConvolutionOperation(const Conv2d& op, const Descs& inputs, const PlanOptions& options, Context& context)
        : problem_(problem_of(op, inputs[0].shape, options, context)),
          output_(make_desc(problem_.out(), context.type())),
          context_(context) {
        require_trainable(op, options);
        for (const TensorDesc& input : inputs)
            if (!layout_of(input) || layout_of(input)->type != context.type())
                throw Error("backend cuda: a convolution takes tensors in its own layout and type");
        Tuner& tuner = tuner_of(context);
        forward_ = tuner.choose(problem_, Direction::forward);
        if (!options.training) return;
        if (options.parameter_gradients) weights_ = tuner.choose(problem_, Direction::backward_weights);
        if (wants_gradient(options, 0)) data_ = tuner.choose(problem_, Direction::backward_data);
    }

    const TensorDesc& output() const noexcept override { return output_; }

    std::size_t workspace_bytes() const noexcept override {
        std::size_t bytes = 0;
        for (const AlgorithmPtr& algorithm : {forward_, weights_, data_})
            if (algorithm) bytes = std::max(bytes, algorithm->workspace_bytes());
        if (weights_ && problem_.op.bias)
            bytes = std::max(bytes, bias_gradient_workspace(problem_.op.out_channels));
        return bytes;
    }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext&, float* workspace) override {
        ConvArguments x;
        x.in = inputs[0]->data();
        x.out = output.data();
        x.weights = packed(*forward_, parameters);
        x.bias = problem_.op.bias ? parameters.values[1].data() : nullptr;
        x.residual = problem_.op.residual ? inputs[1]->data() : nullptr;
        x.workspace = workspace;
        forward_->run(x, context_.stream());
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters, const StepContext&,
                  float* workspace) override {
        ConvArguments x;
        x.out = output_gradient.data();
        x.workspace = workspace;
        if (weights_) {
            x.in = inputs[0]->data();
            x.weight_gradient = parameters.gradients[0].data();
            weights_->run(x, context_.stream());
            if (problem_.op.bias)
                bias_gradient(x.out, view_of(output_).pixels(), problem_.op.out_channels, problem_.arithmetic,
                              parameters.gradients[1].data(), workspace, context_.stream());
        }
        if (!data_ || !input_gradients[0]) return;
        x.in = input_gradients[0]->data();
        x.weights = packed(*data_, parameters);
        data_->run(x, context_.stream());
    }

  private:
    const void* packed(const ConvAlgorithm& algorithm, const Parameters& parameters) const {
        const WeightOrder order = algorithm.weight_order();
        if (order == WeightOrder::oihw) return parameters.values[0].data();
        return context_.weights.copy(parameters.values[0], form_of(problem_, order));
    }

    ConvProblem problem_;
    TensorDesc output_;
    Context& context_;
    AlgorithmPtr forward_, weights_, data_;
};

}  // namespace

OperationPtr plan(const Conv2d& op, const Descs& inputs, const PlanOptions& options, Context& context) {
    return std::make_unique<ConvolutionOperation>(op, inputs, options, context);
}

OperationPtr plan(const Linear& op, const Descs& inputs, const PlanOptions& options, Context& context) {
    Conv2d whole;
    whole.out_channels = op.out_features;
    whole.kernel_h = inputs[0].shape.h;
    whole.kernel_w = inputs[0].shape.w;
    whole.bias = op.bias;
    return std::make_unique<ConvolutionOperation>(whole, inputs, options, context);
}

}  // namespace divs::nn::cuda
