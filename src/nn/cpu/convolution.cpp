// Convolutions on oneDNN. Weights and their gradients lie (O, I, H, W) in the arenas and are packed into
// oneDNN's own layout in the workspace; activations stay in blocks of channels from layer to layer.
#include <omp.h>

#include <algorithm>

#include "divs/core/error.hpp"
#include "onednn.hpp"
#include "operation.hpp"

namespace divs::nn::cpu {
namespace {

using onednn::Algorithm;
using onednn::ConvolutionProblem;
using onednn::Direction;

// A convolution in one direction, with the reorders that it needs where its layouts are not those of the
// tensors.
class Pass {
  public:
    Pass(const ConvolutionProblem& problem, Direction direction)
        : in_(view_of(problem.in, problem.in_block)),
          out_(view_of(problem.out, problem.out_block)),
          convolution_(choose(problem, direction)),
          inner_in_(view_of(problem.in, convolution_.in_block())),
          inner_out_(view_of(problem.out, convolution_.out_block())) {}

    const onednn::Convolution& convolution() const { return convolution_; }
    const View& in() const { return inner_in_; }
    const View& out() const { return inner_out_; }
    bool copies_in() const { return inner_in_ != in_; }
    bool copies_out() const { return inner_out_ != out_; }

  private:
    // What runs with the tensors' own layouts, Winograd's algorithm first: where oneDNN has it (3x3, stride
    // 1, AVX-512) it needs 2.25 to 4 times fewer multiplications, and was faster on every layer measured.
    // Else oneDNN with layouts of its own choice, else whatever there is.
    static onednn::Convolution choose(const ConvolutionProblem& problem, Direction direction) {
        auto winograd = onednn::Convolution::plan(problem, direction, Algorithm::winograd);
        if (winograd && is_fast(*winograd)) return std::move(*winograd);
        auto given = onednn::Convolution::plan(problem, direction, Algorithm::direct);
        if (given && is_fast(*given)) return std::move(*given);
        ConvolutionProblem free = problem;
        free.in_block = free.out_block = 0;
        auto chosen = onednn::Convolution::plan(free, direction, Algorithm::direct);
        if (chosen && chosen->in_block() && chosen->out_block() && (is_fast(*chosen) || !given))
            return std::move(*chosen);
        if (!given)
            throw_error<Error>("oneDNN has no convolution of {} channels {}x{} to {}, kernel {}x{}",
                               problem.in.c, problem.in.h, problem.in.w, problem.out.c, problem.op.kernel_h,
                               problem.op.kernel_w);
        return std::move(*given);
    }

    static bool is_fast(const onednn::Convolution& convolution) {
        return convolution.in_block() && convolution.out_block() &&
               !convolution.implementation().starts_with("ref");
    }

    View in_, out_;
    onednn::Convolution convolution_;
    View inner_in_, inner_out_;
};

class ConvolutionOperation final : public Operation {
  public:
    ConvolutionOperation(const ConvolutionProblem& problem, const PlanOptions& options,
                         const Environment& env)
        : op_(problem.op),
          threads_(env.options.threads),
          in_(view_of(problem.in, problem.in_block)),
          out_(view_of(problem.out, problem.out_block)),
          output_(make_desc(problem.out, problem.out_block)) {
        omp_set_num_threads(threads_);
        forward_.emplace(problem, Direction::forward);
        if (options.training && options.parameter_gradients)
            weights_.emplace(problem, Direction::backward_weights);
        if (wants_gradient(options, 0)) data_.emplace(problem, Direction::backward_data);
        for (const auto* pass : {&forward_, &weights_, &data_})
            if (*pass) workspace_ = std::max(workspace_, place(**pass, Scratch()).bytes);
    }

    const TensorDesc& output() const noexcept override { return output_; }
    std::size_t workspace_bytes() const noexcept override { return workspace_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext&, float* workspace) override {
        omp_set_num_threads(threads_);
        const Places at = place(*forward_, Scratch(workspace));
        float* in = bring(forward_->copies_in(), in_, inputs[0]->data(), forward_->in(), at.in);
        float* out = forward_->copies_out() ? at.out : output.data();
        forward_->convolution().pack(parameters.values[0].data(), at.weights);
        forward_->convolution().run(in, at.weights, op_.bias ? parameters.values[1].data() : nullptr, out,
                                    at.scratchpad);
        if (forward_->copies_out()) onednn::reorder(forward_->out(), out, out_, output.data());
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters, const StepContext&,
                  float* workspace) override {
        omp_set_num_threads(threads_);
        if (weights_) backward_weights(*inputs[0], output_gradient, parameters, workspace);
        if (input_gradients[0]) backward_data(*input_gradients[0], output_gradient, parameters, workspace);
    }

  private:
    struct Places {
        float *weights, *scratchpad, *in, *out;
        std::size_t bytes;
    };

    static Places place(const Pass& pass, Scratch scratch) {
        Places at{};
        at.weights = scratch.take(pass.convolution().weights_bytes());
        at.scratchpad = scratch.take(pass.convolution().scratchpad_bytes());
        if (pass.copies_in()) at.in = scratch.take(pass.in().size() * sizeof(float));
        if (pass.copies_out()) at.out = scratch.take(pass.out().size() * sizeof(float));
        at.bytes = scratch.bytes();
        return at;
    }

    static float* bring(bool copies, const View& from, float* data, const View& to, float* copy) {
        if (!copies) return data;
        onednn::reorder(from, data, to, copy);
        return copy;
    }

    void backward_weights(const Tensor& input, Tensor& output_gradient, const Parameters& parameters,
                          float* workspace) {
        const Places at = place(*weights_, Scratch(workspace));
        float* in = bring(weights_->copies_in(), in_, input.data(), weights_->in(), at.in);
        float* out = bring(weights_->copies_out(), out_, output_gradient.data(), weights_->out(), at.out);
        weights_->convolution().run(in, at.weights, op_.bias ? parameters.gradients[1].data() : nullptr, out,
                                    at.scratchpad);
        weights_->convolution().unpack(at.weights, parameters.gradients[0].data());
    }

    void backward_data(Tensor& input_gradient, Tensor& output_gradient, const Parameters& parameters,
                       float* workspace) {
        const Places at = place(*data_, Scratch(workspace));
        float* out = bring(data_->copies_out(), out_, output_gradient.data(), data_->out(), at.out);
        float* in = data_->copies_in() ? at.in : input_gradient.data();
        data_->convolution().pack(parameters.values[0].data(), at.weights);
        data_->convolution().run(in, at.weights, nullptr, out, at.scratchpad);
        if (data_->copies_in()) onednn::reorder(data_->in(), in, in_, input_gradient.data());
    }

    Conv2d op_;
    int threads_;
    View in_, out_;
    TensorDesc output_;
    std::optional<Pass> forward_, data_, weights_;
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
