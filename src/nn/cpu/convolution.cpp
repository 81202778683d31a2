// Convolutions: Winograd's algorithm where it fits, oneDNN for the rest. Weights and their gradients lie (O,
// I, H, W) in the arenas and are packed in the workspace; activations stay in blocks of channels from layer
// to layer.
#include <omp.h>

#include <algorithm>
#include <optional>

#include "divs/core/error.hpp"
#include "onednn.hpp"
#include "operation.hpp"
#include "winograd.hpp"

namespace divs::nn::cpu {
namespace {

using onednn::Algorithm;
using onednn::ConvolutionProblem;

// One direction of a convolution, by one algorithm. in and out are gradients where the direction says so,
// weights and bias too in backward_weights.
class Route {
  public:
    virtual ~Route() = default;
    virtual std::size_t workspace_bytes() const = 0;
    virtual void run(float* in, float* weights, float* bias, float* out, float* workspace) const = 0;
};

class WinogradRoute final : public Route {
  public:
    WinogradRoute(const ConvolutionProblem& p, Direction direction, const Environment& env)
        : winograd_(p.op, view_of(p.in, p.in_block), view_of(p.out, p.out_block), direction, env) {}
    std::size_t workspace_bytes() const override { return winograd_.workspace_bytes(); }
    void run(float* in, float* weights, float*, float* out, float* workspace) const override {
        winograd_.run(in, weights, out, workspace);
    }

  private:
    Winograd winograd_;
};

// oneDNN, with the reorders that it needs where its layouts are not those of the tensors.
class OneDnnRoute final : public Route {
  public:
    OneDnnRoute(const ConvolutionProblem& problem, Direction direction, onednn::Convolution convolution)
        : direction_(direction),
          in_(view_of(problem.in, problem.in_block)),
          out_(view_of(problem.out, problem.out_block)),
          convolution_(std::move(convolution)),
          inner_in_(view_of(problem.in, convolution_.in_block())),
          inner_out_(view_of(problem.out, convolution_.out_block())) {}

    std::size_t workspace_bytes() const override { return place(Scratch()).bytes; }

    void run(float* in, float* weights, float* bias, float* out, float* workspace) const override {
        const Places at = place(Scratch(workspace));
        float* inner_in = at.in ? at.in : in;
        float* inner_out = at.out ? at.out : out;
        if (at.in && direction_ != Direction::backward_data) onednn::reorder(in_, in, inner_in_, inner_in);
        if (at.out && direction_ != Direction::forward) onednn::reorder(out_, out, inner_out_, inner_out);
        if (direction_ != Direction::backward_weights) convolution_.pack(weights, at.weights);
        convolution_.run(inner_in, at.weights, bias, inner_out, at.scratchpad);
        if (direction_ == Direction::backward_weights) convolution_.unpack(at.weights, weights);
        if (at.in && direction_ == Direction::backward_data) onednn::reorder(inner_in_, inner_in, in_, in);
        if (at.out && direction_ == Direction::forward) onednn::reorder(inner_out_, inner_out, out_, out);
    }

  private:
    struct Places {
        float *weights, *scratchpad, *in, *out;  // in and out: null where oneDNN uses the tensors themselves
        std::size_t bytes;
    };

    Places place(Scratch scratch) const {
        Places at{};
        at.weights = scratch.take(convolution_.weights_bytes());
        at.scratchpad = scratch.take(convolution_.scratchpad_bytes());
        if (inner_in_ != in_) at.in = scratch.take(inner_in_.size() * sizeof(float));
        if (inner_out_ != out_) at.out = scratch.take(inner_out_.size() * sizeof(float));
        at.bytes = scratch.bytes();
        return at;
    }

    Direction direction_;
    View in_, out_;
    onednn::Convolution convolution_;
    View inner_in_, inner_out_;
};

bool is_fast(const onednn::Convolution& convolution) {
    return convolution.in_block() && convolution.out_block() &&
           !convolution.implementation().starts_with("ref");
}

// oneDNN's direct algorithm with the tensors' own layouts where it has fast code for them, else with layouts
// of its choice, else whatever there is.
onednn::Convolution choose_direct(const ConvolutionProblem& problem, Direction direction) {
    auto given = onednn::Convolution::plan(problem, direction, Algorithm::direct);
    if (given && is_fast(*given)) return std::move(*given);
    ConvolutionProblem free = problem;
    free.in_block = free.out_block = 0;
    auto chosen = onednn::Convolution::plan(free, direction, Algorithm::direct);
    if (chosen && chosen->in_block() && chosen->out_block() && (is_fast(*chosen) || !given))
        return std::move(*chosen);
    if (!given)
        throw_error<Error>("oneDNN has no convolution of {} channels {}x{} to {}, kernel {}x{}", problem.in.c,
                           problem.in.h, problem.in.w, problem.out.c, problem.op.kernel_h,
                           problem.op.kernel_w);
    return std::move(*given);
}

// A fixed choice by shape, so that a run repeats. Measured on ResNet-18's layers: Winograd's algorithm wins
// wherever it fits, and oneDNN's own (AVX-512, before its version 3) beats ours by a tenth to a third but for
// weight gradients of few tiles.
std::unique_ptr<Route> make_route(const ConvolutionProblem& p, Direction direction, const Environment& env) {
    const View in = view_of(p.in, p.in_block), out = view_of(p.out, p.out_block);
    if (Winograd::fits(p.op, in, out, *env.kernels)) {
        auto theirs = onednn::Convolution::plan(p, direction, Algorithm::winograd);
        const bool few = direction == Direction::backward_weights && Winograd::tiles(out) <= 64;
        if (!theirs || !is_fast(*theirs) || few) return std::make_unique<WinogradRoute>(p, direction, env);
        return std::make_unique<OneDnnRoute>(p, direction, std::move(*theirs));
    }
    return std::make_unique<OneDnnRoute>(p, direction, choose_direct(p, direction));
}

class ConvolutionOperation final : public Operation {
  public:
    ConvolutionOperation(const ConvolutionProblem& problem, const PlanOptions& options,
                         const Environment& env)
        : op_(problem.op), threads_(env.options.threads), output_(make_desc(problem.out, problem.out_block)) {
        forward_ = make_route(problem, Direction::forward, env);
        if (options.training && options.parameter_gradients)
            weights_ = make_route(problem, Direction::backward_weights, env);
        if (wants_gradient(options, 0)) data_ = make_route(problem, Direction::backward_data, env);
        for (const auto* route : {&forward_, &weights_, &data_})
            if (*route) workspace_ = std::max(workspace_, (*route)->workspace_bytes());
    }

    const TensorDesc& output() const noexcept override { return output_; }
    std::size_t workspace_bytes() const noexcept override { return workspace_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext&, float* workspace) override {
        omp_set_num_threads(threads_);
        forward_->run(inputs[0]->data(), parameters.values[0].data(), bias_of(parameters.values),
                      output.data(), workspace);
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters, const StepContext&,
                  float* workspace) override {
        omp_set_num_threads(threads_);
        if (weights_)
            weights_->run(inputs[0]->data(), parameters.gradients[0].data(), bias_of(parameters.gradients),
                          output_gradient.data(), workspace);
        if (input_gradients[0])
            data_->run(input_gradients[0]->data(), parameters.values[0].data(), nullptr,
                       output_gradient.data(), workspace);
    }

  private:
    float* bias_of(const std::vector<std::span<float>>& spans) const {
        return op_.bias ? spans[1].data() : nullptr;
    }

    Conv2d op_;
    int threads_;
    TensorDesc output_;
    std::unique_ptr<Route> forward_, data_, weights_;
    std::size_t workspace_ = 0;
};

// The block in which oneDNN would write the output of this input.
int output_block(ConvolutionProblem problem, int fallback) {
    problem.out_block = 0;
    const auto plan = onednn::Convolution::plan(problem, Direction::forward, Algorithm::direct);
    return plan && plan->out_block() ? plan->out_block() : fallback;
}

}  // namespace

int input_block(const Conv2d& op, const Shape& in, const Environment& env) {
    omp_set_num_threads(env.options.threads);
    const ConvolutionProblem problem{op, in, output_shape(Op{op}, {in}), 0, 0};
    const auto plan = onednn::Convolution::plan(problem, Direction::forward, Algorithm::direct);
    return plan && plan->in_block() ? plan->in_block() : in.c;
}

OperationPtr plan(const Conv2d& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env) {
    omp_set_num_threads(env.options.threads);
    ConvolutionProblem problem{op, inputs[0].shape, output_shape(Op{op}, {inputs[0].shape}),
                               block_of(inputs[0]), 0};
    problem.out_block = output_block(problem, env.kernels->block);
    return std::make_unique<ConvolutionOperation>(problem, options, env);
}

}  // namespace divs::nn::cpu
