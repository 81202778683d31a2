// Batch normalisation with residual and activation: one pass for the statistics, one for the result; two
// backwards.
#include <algorithm>

#include "divs/core/error.hpp"
#include "norm_statistics.hpp"
#include "onednn.hpp"
#include "operation.hpp"
#include "parallel.hpp"

namespace divs::nn::cpu {
namespace {

class NormOperation final : public Operation {
  public:
    NormOperation(const BatchNorm& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env)
        : op_(op),
          view_(view_of(inputs[0])),
          output_(inputs[0]),
          curve_(curve_of(op.activation)),
          training_(options.training),
          learns_(options.parameter_gradients),
          reducer_(options.reducer),
          threads_(env.options.threads),
          kernels_(*env.kernels) {
        if (op.residual && view_of(inputs[1]) != view_) other_ = view_of(inputs[1]);
        const std::size_t channels = view_.padded_channels();
        for (auto* array : {&scale_, &offset_, &mean_, &a_, &b_, &c_}) array->assign(channels, 0.0F);
        // As many parts as give every thread work, whatever their number: results do not depend on the
        // threads.
        const auto blocks = static_cast<std::size_t>(view_.blocks);
        parts_ = std::min(static_cast<std::size_t>(view_.n), (16 + blocks - 1) / blocks);
        partial_.resize(2 * channels * std::max<std::size_t>(parts_, 1));
    }

    const TensorDesc& output() const noexcept override { return output_; }
    std::size_t workspace_bytes() const noexcept override {
        return other_ ? view_.size() * sizeof(float) : 0;
    }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext&, float* workspace) override {
        if (training_)
            measure(inputs[0]->data(), parameters);
        else
            use_running(parameters);
        set_line(parameters);
        const float* residual = op_.residual ? inputs[1]->data() : nullptr;
        if (other_) {
            onednn::reorder(*other_, residual, view_, workspace);
            residual = workspace;
        }
        const float* x = inputs[0]->data();
        parallel_for(threads_, view_.planes(), [&](std::size_t i) {
            const std::size_t c = channel(i), at = i * view_.plane();
            kernels_.norm_apply(x + at, residual ? residual + at : nullptr, output.data() + at,
                                view_.pixels(), view_.lanes(), &scale_[c], &offset_[c], curve_);
        });
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor& output, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters, const StepContext&,
                  float* workspace) override {
        const float* x = inputs[0]->data();
        const float* y = output.data();
        const float* dy = output_gradient.data();
        set_slopes(sum_gradients(x, y, dy), parameters);
        float* dx = input_gradients[0] ? input_gradients[0]->data() : nullptr;
        Tensor* residual = op_.residual ? input_gradients[1] : nullptr;
        float* dr = !residual ? nullptr : other_ ? workspace : residual->data();
        if (dx || dr)
            parallel_for(threads_, view_.planes(), [&](std::size_t i) {
                const std::size_t c = channel(i), at = i * view_.plane();
                kernels_.norm_gradient(x + at, y + at, dy + at, dx ? dx + at : nullptr,
                                       dr ? dr + at : nullptr, view_.pixels(), view_.lanes(), &mean_[c],
                                       &a_[c], &b_[c], &c_[c], curve_);
            });
        if (residual && other_) onednn::reorder(view_, dr, *other_, residual->data());
    }

    void forward_empty(const Parameters& parameters) override {
        if (!training_ || !reducer_) return;
        const std::vector<double> nothing(view_.channels());
        statistics_.gather(0, nothing, nothing, static_cast<double>(op_.epsilon), reducer_);
        update_running(parameters);
    }

    void backward_empty(const Parameters&) override {
        std::vector<double> sums(2 * view_.channels());
        if (training_ && reducer_) reducer_->sum(sums);
    }

  private:
    std::size_t channel(std::size_t plane) const {  // the first channel of a plane
        return plane % static_cast<std::size_t>(view_.blocks) * view_.lanes();
    }

    // Adds up reduce(plane, channel, sums, others) over the planes: two sums a channel, in an order that is
    // fixed.
    template <class F>
    std::vector<double> reduce_planes(F reduce) {
        const std::size_t channels = view_.padded_channels(), blocks = static_cast<std::size_t>(view_.blocks);
        const std::size_t batch = static_cast<std::size_t>(view_.n);
        std::fill(partial_.begin(), partial_.end(), 0.0);
        parallel_for(threads_, parts_ * blocks, [&](std::size_t task) {
            const std::size_t block = task / parts_, part = task % parts_;
            double* sums = &partial_[part * 2 * channels + block * view_.lanes()];
            for (std::size_t n = batch * part / parts_; n < batch * (part + 1) / parts_; ++n)
                reduce(n * blocks + block, block * view_.lanes(), sums, sums + channels);
        });
        std::vector<double> total(2 * view_.channels());
        for (std::size_t part = 0; part < parts_; ++part)
            for (std::size_t c = 0; c < view_.channels(); ++c) {
                total[c] += partial_[part * 2 * channels + c];
                total[view_.channels() + c] += partial_[(part * 2 + 1) * channels + c];
            }
        return total;
    }

    void measure(const float* x, const Parameters& parameters) {
        // Shifted by the first element of each channel: no cancellation where the mean is far from zero.
        for (std::size_t c = 0; c < view_.channels(); ++c)
            mean_[c] = x[c / view_.lanes() * view_.plane() + c % view_.lanes()];
        const auto sums = reduce_planes([&](std::size_t plane, std::size_t c, double* sum, double* square) {
            kernels_.norm_measure(x + plane * view_.plane(), view_.pixels(), view_.lanes(), &mean_[c], sum,
                                  square);
        });
        const double count = static_cast<double>(view_.n) * static_cast<double>(view_.pixels());
        std::vector<double> mean(view_.channels()), variance(view_.channels());
        for (std::size_t c = 0; c < view_.channels(); ++c) {
            const double d = sums[c] / count;
            mean[c] = static_cast<double>(mean_[c]) + d;
            variance[c] = std::max(0.0, sums[view_.channels() + c] / count - d * d);
        }
        statistics_.gather(count, mean, variance, static_cast<double>(op_.epsilon), reducer_);
        update_running(parameters);
    }

    void update_running(const Parameters& parameters) {
        statistics_.update_running(static_cast<double>(op_.momentum), parameters.buffers[0],
                                   parameters.buffers[1]);
    }

    void use_running(const Parameters& parameters) {
        const std::vector<double> mean(parameters.buffers[0].begin(), parameters.buffers[0].end()),
            variance(parameters.buffers[1].begin(), parameters.buffers[1].end());
        statistics_.gather(1, mean, variance, static_cast<double>(op_.epsilon), nullptr);
    }

    void set_line(const Parameters& parameters) {  // y = x scale + offset
        for (std::size_t c = 0; c < view_.channels(); ++c) {
            const double scale = static_cast<double>(parameters.values[0][c]) * statistics_.inverse[c];
            scale_[c] = static_cast<float>(scale);
            offset_[c] = static_cast<float>(static_cast<double>(parameters.values[1][c]) -
                                            statistics_.mean[c] * scale);
            mean_[c] = static_cast<float>(statistics_.mean[c]);
        }
    }

    std::vector<double> sum_gradients(const float* x, const float* y, const float* dy) {
        auto sums = reduce_planes([&](std::size_t plane, std::size_t c, double* sum, double* product) {
            const std::size_t at = plane * view_.plane();
            kernels_.norm_sums(x + at, y + at, dy + at, view_.pixels(), view_.lanes(), &mean_[c], curve_, sum,
                               product);
        });
        // The kernels centre with the mean in float; what that misses, and the scale, come here in double.
        for (std::size_t c = 0; c < view_.channels(); ++c) {
            const double missed = static_cast<double>(mean_[c]) - statistics_.mean[c];
            double& product = sums[view_.channels() + c];
            product = (product + missed * sums[c]) * statistics_.inverse[c];
        }
        return sums;
    }

    // dx = a g + b (x - mean) + c
    void set_slopes(std::vector<double> sums, const Parameters& parameters) {
        for (std::size_t c = 0; learns_ && c < view_.channels(); ++c) {
            parameters.gradients[0][c] = static_cast<float>(sums[view_.channels() + c]);
            parameters.gradients[1][c] = static_cast<float>(sums[c]);
        }
        if (reducer_) reducer_->sum(sums);
        for (std::size_t c = 0; c < view_.channels(); ++c) {
            const double a = static_cast<double>(parameters.values[0][c]) * statistics_.inverse[c];
            const double b = -a * statistics_.inverse[c] * sums[view_.channels() + c] / statistics_.count;
            const double missed = static_cast<double>(mean_[c]) - statistics_.mean[c];
            a_[c] = static_cast<float>(a);
            b_[c] = static_cast<float>(b);
            c_[c] = static_cast<float>(b * missed - a * sums[c] / statistics_.count);
        }
    }

    BatchNorm op_;
    View view_;
    std::optional<View> other_;  // the residual's layout where it is another
    TensorDesc output_;
    Curve curve_;
    bool training_, learns_;
    Reducer* reducer_;
    int threads_;
    const Kernels& kernels_;
    NormStatistics statistics_;
    std::size_t parts_ = 1;
    std::vector<double> partial_;                           // (parts, 2, padded channels)
    std::vector<float> scale_, offset_, mean_, a_, b_, c_;  // by channel, zero in the padding
};

}  // namespace

OperationPtr plan(const BatchNorm& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env) {
    return std::make_unique<NormOperation>(op, inputs, options, env);
}

}  // namespace divs::nn::cpu
