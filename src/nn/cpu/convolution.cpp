// Convolutions: Winograd's algorithm where it fits, oneDNN for the rest. Weights and their gradients lie (O,
// I, H, W) in the arenas and are packed in the workspace; activations stay in blocks of channels from layer
// to layer.
#include <omp.h>

#include <algorithm>
#include <optional>

#include "divs/core/error.hpp"
#include "onednn.hpp"
#include "operation.hpp"
#include "parallel.hpp"
#include "winograd.hpp"

namespace divs::nn::cpu {
namespace {

using onednn::Algorithm;
using onednn::ConvolutionProblem;

// One direction of a convolution, by one algorithm. in and out are gradients where the direction says so,
// weights and bias too in backward_weights. residual: forward, in the layout of out.
struct Operands {
    float *in, *weights, *bias, *out;
    const float* residual = nullptr;
};
class Route {
  public:
    virtual ~Route() = default;
    virtual std::size_t workspace_bytes() const = 0;
    virtual void run(const Operands& x, float* workspace) const = 0;
};

class WinogradRoute final : public Route {
  public:
    WinogradRoute(const ConvolutionProblem& p, Direction direction, const Environment& env)
        : winograd_(p.op, view_of(p.in, p.in_block), view_of(p.out, p.out_block), direction, env),
          curve_(curve_of(p.op.activation)) {}
    std::size_t workspace_bytes() const override { return winograd_.workspace_bytes(); }
    void run(const Operands& x, float* workspace) const override {
        winograd_.run(x.in, x.weights, x.out, workspace, {x.bias, x.residual, curve_});
    }

  private:
    Winograd winograd_;
    Curve curve_;
};

// oneDNN, with the reorders that it needs where its layouts are not those of the tensors, and a pass over the
// output for what it does not do itself.
class OneDnnRoute final : public Route {
  public:
    OneDnnRoute(const ConvolutionProblem& problem, Direction direction, onednn::Convolution convolution,
                bool whole, const Environment& env)
        : direction_(direction),
          whole_(whole),
          curve_(curve_of(problem.op.activation)),
          threads_(env.options.threads),
          kernels_(*env.kernels),
          in_(view_of(problem.in, problem.in_block)),
          out_(view_of(problem.out, problem.out_block)),
          convolution_(std::move(convolution)),
          inner_in_(view_of(problem.in, convolution_.in_block())),
          inner_out_(view_of(problem.out, convolution_.out_block())) {}

    std::size_t workspace_bytes() const override { return place(Scratch()).bytes; }

    void run(const Operands& x, float* workspace) const override {
        const Places at = place(Scratch(workspace));
        float* inner_in = at.in ? at.in : x.in;
        float* inner_out = at.out ? at.out : x.out;
        if (at.in && direction_ != Direction::backward_data) onednn::reorder(in_, x.in, inner_in_, inner_in);
        if (at.out && direction_ != Direction::forward) onednn::reorder(out_, x.out, inner_out_, inner_out);
        if (direction_ != Direction::backward_weights) convolution_.pack(x.weights, at.weights);
        convolution_.run(inner_in, at.weights, x.bias, whole_ ? x.residual : nullptr, inner_out,
                         at.scratchpad);
        if (direction_ == Direction::backward_weights) convolution_.unpack(at.weights, x.weights);
        if (at.in && direction_ == Direction::backward_data) onednn::reorder(inner_in_, inner_in, in_, x.in);
        if (at.out && direction_ == Direction::forward) onednn::reorder(inner_out_, inner_out, out_, x.out);
        if (!whole_ && (x.residual || curve_ != Curve::none)) finish(x);
    }

  private:
    struct Places {
        float *weights, *scratchpad, *in, *out;  // in and out: null where oneDNN uses the tensors themselves
        std::size_t bytes;
    };

    void finish(const Operands& x) const {
        parallel_lines(threads_, out_.size(), [&](std::size_t at, std::size_t n) {
            kernels_.add(x.out + at, x.residual ? x.residual + at : nullptr, x.out + at, n, curve_);
        });
    }

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
    bool whole_;  // oneDNN adds the residual and applies the activation itself
    Curve curve_;
    int threads_;
    const Kernels& kernels_;
    View in_, out_;
    onednn::Convolution convolution_;
    View inner_in_, inner_out_;
};

bool is_fast(const onednn::Convolution& convolution) {
    return convolution.in_block() && convolution.out_block() &&
           !convolution.implementation().starts_with("ref");
}

// What may also be done in a pass behind the convolution.
bool adds_more(const Conv2d& op) {
    return op.residual || op.activation != Activation::none;
}
ConvolutionProblem bare(ConvolutionProblem p) {
    p.op.residual = false;
    p.op.activation = Activation::none;
    return p;
}

// oneDNN's convolutions by matrix products add other elements of a residual than they should where the layout
// is NHWC (seen in its version 2.6).
bool adds_elsewhere(const onednn::Convolution& convolution) {
    return convolution.implementation().find("gemm") != std::string::npos;
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

// All in one where oneDNN has fast code for it: a pass behind the sums may cost as much as they do.
std::unique_ptr<Route> make_direct(const ConvolutionProblem& p, Direction direction, const Environment& env) {
    if (adds_more(p.op)) {
        auto whole = onednn::Convolution::plan(p, direction, Algorithm::direct);
        if (whole && is_fast(*whole) && !(p.op.residual && adds_elsewhere(*whole)))
            return std::make_unique<OneDnnRoute>(p, direction, std::move(*whole), true, env);
    }
    return std::make_unique<OneDnnRoute>(p, direction, choose_direct(bare(p), direction), false, env);
}

// A fixed choice by shape, so that a run repeats. Measured on ResNet-18's layers: Winograd's algorithm wins
// wherever it fits, and oneDNN's own (AVX-512, before its version 3) beats ours by a tenth to a third but for
// weight gradients of few tiles, and where ours does in its last step what oneDNN's leaves to a pass behind
// it.
std::unique_ptr<Route> make_route(const ConvolutionProblem& p, Direction direction, const Environment& env) {
    const View in = view_of(p.in, p.in_block), out = view_of(p.out, p.out_block);
    if (!Winograd::fits(p.op, in, out, direction, *env.kernels)) return make_direct(p, direction, env);
    const bool few = direction == Direction::backward_weights && Winograd::tiles(out) <= 64;
    if (!few && !adds_more(p.op))
        if (auto theirs = onednn::Convolution::plan(p, direction, Algorithm::winograd);
            theirs && is_fast(*theirs))
            return std::make_unique<OneDnnRoute>(p, direction, std::move(*theirs), true, env);
    return std::make_unique<WinogradRoute>(p, direction, env);
}

class ConvolutionOperation final : public Operation {
  public:
    ConvolutionOperation(const ConvolutionProblem& problem, const std::vector<TensorDesc>& inputs,
                         const PlanOptions& options, const Environment& env)
        : op_(problem.op), threads_(env.options.threads), output_(make_desc(problem.out, problem.out_block)) {
        require_trainable(op_, options);
        if (op_.residual && view_of(inputs[1]) != view_of(output_)) other_ = view_of(inputs[1]);
        forward_ = make_route(problem, Direction::forward, env);
        if (options.training && options.parameter_gradients)
            weights_ = make_route(problem, Direction::backward_weights, env);
        if (wants_gradient(options, 0)) data_ = make_route(problem, Direction::backward_data, env);
        for (const auto* route : {&forward_, &weights_, &data_})
            if (*route) workspace_ = std::max(workspace_, (*route)->workspace_bytes());
    }

    const TensorDesc& output() const noexcept override { return output_; }
    std::size_t workspace_bytes() const noexcept override { return place(Scratch()).bytes; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext&, float* workspace) override {
        omp_set_num_threads(threads_);
        const Places at = place(Scratch(workspace));
        Operands x{inputs[0]->data(), parameters.values[0].data(), bias_of(parameters.values), output.data()};
        if (op_.residual) x.residual = other_ ? at.residual : inputs[1]->data();
        if (other_) onednn::reorder(*other_, inputs[1]->data(), view_of(output_), at.residual);
        forward_->run(x, at.route);
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters, const StepContext&,
                  float* workspace) override {
        omp_set_num_threads(threads_);
        if (weights_)
            weights_->run({inputs[0]->data(), parameters.gradients[0].data(), bias_of(parameters.gradients),
                           output_gradient.data()},
                          workspace);
        if (input_gradients[0])
            data_->run(
                {input_gradients[0]->data(), parameters.values[0].data(), nullptr, output_gradient.data()},
                workspace);
    }

  private:
    struct Places {
        float *route, *residual;  // residual: in the output's layout, where its own is another
        std::size_t bytes;
    };

    Places place(Scratch scratch) const {
        Places at{};
        at.route = scratch.take(workspace_);
        if (other_) at.residual = scratch.take(view_of(output_).size() * sizeof(float));
        at.bytes = scratch.bytes();
        return at;
    }

    float* bias_of(const std::vector<std::span<float>>& spans) const {
        return op_.bias ? spans[1].data() : nullptr;
    }

    Conv2d op_;
    int threads_;
    TensorDesc output_;
    std::optional<View> other_;  // the residual's layout where it is not the output's
    std::unique_ptr<Route> forward_, data_, weights_;
    std::size_t workspace_ = 0;
};

// The block in which oneDNN would write the output of this input.
int output_block(ConvolutionProblem problem, int fallback) {
    problem.out_block = 0;
    const auto plan = onednn::Convolution::plan(bare(problem), Direction::forward, Algorithm::direct);
    return plan && plan->out_block() ? plan->out_block() : fallback;
}

}  // namespace

int input_block(const Conv2d& op, const Shape& in, const Environment& env) {
    omp_set_num_threads(env.options.threads);
    const ConvolutionProblem problem{op, in, conv_output_shape(op, in), 0, 0};
    const auto plan = onednn::Convolution::plan(bare(problem), Direction::forward, Algorithm::direct);
    return plan && plan->in_block() ? plan->in_block() : in.c;
}

OperationPtr plan(const Conv2d& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env) {
    omp_set_num_threads(env.options.threads);
    ConvolutionProblem problem{op, inputs[0].shape, conv_output_shape(op, inputs[0].shape),
                               block_of(inputs[0]), 0};
    problem.out_block = output_block(problem, env.kernels->block);
    return std::make_unique<ConvolutionOperation>(problem, inputs, options, env);
}

}  // namespace divs::nn::cpu
