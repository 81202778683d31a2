// Linear layers: three matrix products. The input is read as (N, C x H x W), torch's order.
#include <omp.h>

#include <algorithm>

#include "onednn.hpp"
#include "operation.hpp"

namespace divs::nn::cpu {
namespace {

class LinearOperation final : public Operation {
  public:
    LinearOperation(const Linear& op, const TensorDesc& input, const PlanOptions& options,
                    const Environment& env)
        : in_(view_of(input)),
          flat_(view_of(input.shape, 1)),
          n_(input.shape.n),
          features_(op.out_features),
          inputs_(input.shape.c * input.shape.h * input.shape.w),
          bias_(op.bias),
          learns_(options.parameter_gradients),
          threads_(env.options.threads) {
        const Shape shape{input.shape.n, 1, 1, op.out_features};
        output_ = {shape, nullptr};
        // One pixel in whole blocks, or one channel, lies in torch's order already.
        is_flat_ = in_.block == 1 || (in_.pixels() == 1 && in_.padded_channels() == in_.channels());
    }

    const TensorDesc& output() const noexcept override { return output_; }
    std::size_t workspace_bytes() const noexcept override {
        return is_flat_ ? 0 : flat_.size() * sizeof(float);
    }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext&, float* workspace) override {
        omp_set_num_threads(threads_);
        float* y = output.data();
        if (bias_)
            for (int n = 0; n < n_; ++n)
                std::copy_n(parameters.values[1].data(), features_,
                            y + static_cast<std::ptrdiff_t>(n) * features_);
        onednn::gemm(false, true, n_, features_, inputs_, flatten(*inputs[0], workspace), inputs_,
                     parameters.values[0].data(), inputs_, bias_, y, features_);
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters, const StepContext&,
                  float* workspace) override {
        omp_set_num_threads(threads_);
        const float* dy = output_gradient.data();
        if (learns_) parameter_gradients(flatten(*inputs[0], workspace), dy, parameters);
        if (!input_gradients[0]) return;
        float* dx = is_flat_ ? input_gradients[0]->data() : workspace;
        onednn::gemm(false, false, n_, inputs_, features_, dy, features_, parameters.values[0].data(),
                     inputs_, false, dx, inputs_);
        if (!is_flat_) onednn::reorder(flat_, dx, in_, input_gradients[0]->data());
    }

  private:
    void parameter_gradients(const float* x, const float* dy, const Parameters& parameters) const {
        onednn::gemm(true, false, features_, inputs_, n_, dy, features_, x, inputs_, false,
                     parameters.gradients[0].data(), inputs_);
        if (bias_) sum_rows(dy, parameters.gradients[1]);
    }

    const float* flatten(const Tensor& input, float* workspace) const {
        if (is_flat_) return input.data();
        onednn::reorder(in_, input.data(), flat_, workspace);
        return workspace;
    }

    void sum_rows(const float* dy, std::span<float> sums) const {
        for (int o = 0; o < features_; ++o) {
            double sum = 0;
            for (int n = 0; n < n_; ++n)
                sum += static_cast<double>(dy[static_cast<std::ptrdiff_t>(n) * features_ + o]);
            sums[static_cast<std::size_t>(o)] = static_cast<float>(sum);
        }
    }

    View in_, flat_;
    TensorDesc output_;
    int n_, features_, inputs_;
    bool bias_, learns_, is_flat_ = false;
    int threads_;
};

}  // namespace

OperationPtr plan(const Linear& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env) {
    return std::make_unique<LinearOperation>(op, inputs[0], options, env);
}

}  // namespace divs::nn::cpu
