// Batch normalisation with residual and activation: one pass for the statistics, one for the result; two
// backwards. Both passes go over a group of channels that fits into the caches before the next group is
// touched.
#include <algorithm>
#include <optional>

#include "norm_statistics.hpp"
#include "onednn.hpp"
#include "operation.hpp"
#include "parallel.hpp"

namespace divs::nn::cpu {
namespace {

constexpr std::size_t cached_bytes = std::size_t{1} << 20;  // of one tensor, for each thread
constexpr std::size_t tasks_wanted = 16;

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
        for (auto* array : {&scale_, &offset_, &mean_, &a_, &b_, &c_})
            array->assign(view_.padded_channels(), 0.0F);
        // Parts of the batch by its shape, whatever the number of threads: results do not depend on them.
        const auto blocks = static_cast<std::size_t>(view_.blocks);
        parts_ = std::min(static_cast<std::size_t>(view_.n), (tasks_wanted + blocks - 1) / blocks);
        parts_ = std::max<std::size_t>(parts_, 1);
        const std::size_t block_bytes = static_cast<std::size_t>(view_.n) * view_.plane() * sizeof(float);
        group_ = std::max(
            cached_bytes * static_cast<std::size_t>(threads_) / std::max<std::size_t>(block_bytes, 1),
            static_cast<std::size_t>(threads_) / parts_);
        group_ = std::clamp<std::size_t>(group_, 1, blocks);
        partial_.resize(parts_ * 2 * view_.padded_channels());
        statistics_.begin(view_.channels(), 0);
    }

    const TensorDesc& output() const noexcept override { return output_; }
    std::size_t workspace_bytes() const noexcept override {
        return other_ ? view_.size() * sizeof(float) : 0;
    }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters& parameters,
                 const StepContext&, float* workspace) override {
        const float* x = inputs[0]->data();
        const float* residual = op_.residual ? inputs[1]->data() : nullptr;
        if (other_) {
            onednn::reorder(*other_, residual, view_, workspace);
            residual = workspace;
        }
        begin_statistics(parameters);
        if (training_ && reducer_) {  // all statistics, one reduction, all results
            measure(x, 0, blocks());
            statistics_.reduce(*reducer_, epsilon());
        }
        for (std::size_t first = 0; first < blocks(); first += group_) {
            const std::size_t last = std::min(first + group_, blocks());
            if (training_ && !reducer_) measure(x, first, last);
            set_line(parameters, first, last);
            apply(x, residual, output.data(), first, last);
        }
        if (training_) update_running(parameters);
    }

    void backward(std::span<const Tensor* const> inputs, const Tensor& output, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters& parameters, const StepContext&,
                  float* workspace) override {
        Tensor* residual = op_.residual ? input_gradients[1] : nullptr;
        const Flow flow{inputs[0]->data(), output.data(), output_gradient.data(),
                        input_gradients[0] ? input_gradients[0]->data() : nullptr,
                        !residual ? nullptr
                        : other_  ? workspace
                                  : residual->data()};
        std::vector<double> sums(2 * view_.channels());
        if (reducer_) {
            sum_gradients(flow, sums, 0, blocks());
            set_parameter_gradients(parameters, sums, 0, blocks());
            reducer_->sum(sums);
        }
        for (std::size_t first = 0; first < blocks(); first += group_) {
            const std::size_t last = std::min(first + group_, blocks());
            if (!reducer_) {
                sum_gradients(flow, sums, first, last);
                set_parameter_gradients(parameters, sums, first, last);
            }
            set_slopes(parameters, sums, first, last);
            apply_slopes(flow, first, last);
        }
        if (residual && other_) onednn::reorder(view_, flow.dr, *other_, residual->data());
    }

    void forward_empty(const Parameters& parameters) override {
        if (!training_ || !reducer_) return;
        statistics_.begin(view_.channels(), 0);
        statistics_.reduce(*reducer_, epsilon());
        update_running(parameters);
    }

    void backward_empty(const Parameters&) override {
        std::vector<double> sums(2 * view_.channels());
        if (training_ && reducer_) reducer_->sum(sums);
    }

  private:
    struct Flow {  // what backward reads and writes; dx and dr may be null
        const float *x, *y, *dy;
        float *dx, *dr;
    };

    std::size_t blocks() const { return static_cast<std::size_t>(view_.blocks); }
    double epsilon() const { return static_cast<double>(op_.epsilon); }
    std::size_t end_channel(std::size_t block) const {
        return std::min(block * view_.lanes(), view_.channels());
    }

    // Calls f(part, plane, first channel of the plane) for every plane of blocks [first, last): the same
    // thread for the same planes each time, so that the second pass finds in its cache what the first one
    // read.
    template <class F>
    void for_each_plane(std::size_t first, std::size_t last, F f) const {
        const auto batch = static_cast<std::size_t>(view_.n);
        parallel_for(threads_, parts_ * (last - first), [&](std::size_t task) {
            const std::size_t block = first + task / parts_, part = task % parts_;
            for (std::size_t n = batch * part / parts_; n < batch * (part + 1) / parts_; ++n)
                f(part, n * blocks() + block, block * view_.lanes());
        });
    }

    // Two sums a channel over the planes of blocks [first, last), in an order that is fixed.
    // reduce(plane, channel, sums, others) adds one plane; take(channel, sum, other) receives the totals.
    template <class F, class G>
    void reduce_planes(std::size_t first, std::size_t last, F reduce, G take) {
        const std::size_t channels = view_.padded_channels();
        std::fill(partial_.begin(), partial_.end(), 0.0);
        for_each_plane(first, last, [&](std::size_t part, std::size_t plane, std::size_t c) {
            double* sums = &partial_[part * 2 * channels + c];
            reduce(plane, c, sums, sums + channels);
        });
        for (std::size_t c = first * view_.lanes(); c < end_channel(last); ++c) {
            double sum = 0, other = 0;
            for (std::size_t part = 0; part < parts_; ++part) {
                sum += partial_[part * 2 * channels + c];
                other += partial_[(part * 2 + 1) * channels + c];
            }
            take(c, sum, other);
        }
    }

    void begin_statistics(const Parameters& parameters) {
        const double count = static_cast<double>(view_.n) * static_cast<double>(view_.pixels());
        statistics_.begin(view_.channels(), count);
        for (std::size_t c = 0; !training_ && c < view_.channels(); ++c)
            statistics_.set(c, static_cast<double>(parameters.buffers[0][c]),
                            static_cast<double>(parameters.buffers[1][c]), epsilon());
    }

    void measure(const float* x, std::size_t first, std::size_t last) {
        // Shifted by the first element of each channel: no cancellation where the mean is far from zero.
        for (std::size_t c = first * view_.lanes(); c < end_channel(last); ++c)
            mean_[c] = x[c / view_.lanes() * view_.plane() + c % view_.lanes()];
        const double count = statistics_.count;
        reduce_planes(
            first, last,
            [&](std::size_t plane, std::size_t c, double* sum, double* square) {
                kernels_.norm_measure(x + plane * view_.plane(), view_.pixels(), view_.lanes(), &mean_[c],
                                      sum, square);
            },
            [&](std::size_t c, double sum, double square) {
                const double d = sum / count;
                statistics_.set(c, static_cast<double>(mean_[c]) + d, std::max(0.0, square / count - d * d),
                                epsilon());
            });
    }

    void update_running(const Parameters& parameters) {
        statistics_.update_running(static_cast<double>(op_.momentum), parameters.buffers[0],
                                   parameters.buffers[1]);
    }

    // y = x scale + offset
    void set_line(const Parameters& parameters, std::size_t first, std::size_t last) {
        for (std::size_t c = first * view_.lanes(); c < end_channel(last); ++c) {
            const double scale = static_cast<double>(parameters.values[0][c]) * statistics_.inverse[c];
            scale_[c] = static_cast<float>(scale);
            offset_[c] = static_cast<float>(static_cast<double>(parameters.values[1][c]) -
                                            statistics_.mean[c] * scale);
            mean_[c] = static_cast<float>(statistics_.mean[c]);
        }
    }

    void apply(const float* x, const float* residual, float* y, std::size_t first, std::size_t last) const {
        for_each_plane(first, last, [&](std::size_t, std::size_t plane, std::size_t c) {
            const std::size_t at = plane * view_.plane();
            kernels_.norm_apply(x + at, residual ? residual + at : nullptr, y + at, view_.pixels(),
                                view_.lanes(), &scale_[c], &offset_[c], curve_);
        });
    }

    // Sums of the gradient, and of its product with the normalised input.
    void sum_gradients(const Flow& flow, std::vector<double>& sums, std::size_t first, std::size_t last) {
        reduce_planes(
            first, last,
            [&](std::size_t plane, std::size_t c, double* sum, double* product) {
                const std::size_t at = plane * view_.plane();
                kernels_.norm_sums(flow.x + at, flow.y + at, flow.dy + at, view_.pixels(), view_.lanes(),
                                   &mean_[c], curve_, sum, product);
            },
            [&](std::size_t c, double sum, double product) {
                // The kernels centre with the mean in float; what that misses, and the scale, come here in
                // double.
                const double missed = static_cast<double>(mean_[c]) - statistics_.mean[c];
                sums[c] = sum;
                sums[view_.channels() + c] = (product + missed * sum) * statistics_.inverse[c];
            });
    }

    void set_parameter_gradients(const Parameters& parameters, const std::vector<double>& sums,
                                 std::size_t first, std::size_t last) const {
        for (std::size_t c = first * view_.lanes(); learns_ && c < end_channel(last); ++c) {
            parameters.gradients[0][c] = static_cast<float>(sums[view_.channels() + c]);
            parameters.gradients[1][c] = static_cast<float>(sums[c]);
        }
    }

    // dx = a g + b (x - mean) + c
    void set_slopes(const Parameters& parameters, const std::vector<double>& sums, std::size_t first,
                    std::size_t last) {
        for (std::size_t c = first * view_.lanes(); c < end_channel(last); ++c) {
            const double a = static_cast<double>(parameters.values[0][c]) * statistics_.inverse[c];
            const double b = -a * statistics_.inverse[c] * sums[view_.channels() + c] / statistics_.count;
            const double missed = static_cast<double>(mean_[c]) - statistics_.mean[c];
            a_[c] = static_cast<float>(a);
            b_[c] = static_cast<float>(b);
            c_[c] = static_cast<float>(b * missed - a * sums[c] / statistics_.count);
        }
    }

    void apply_slopes(const Flow& flow, std::size_t first, std::size_t last) const {
        if (!flow.dx && !flow.dr) return;
        for_each_plane(first, last, [&](std::size_t, std::size_t plane, std::size_t c) {
            const std::size_t at = plane * view_.plane();
            kernels_.norm_gradient(flow.x + at, flow.y + at, flow.dy + at, flow.dx ? flow.dx + at : nullptr,
                                   flow.dr ? flow.dr + at : nullptr, view_.pixels(), view_.lanes(), &mean_[c],
                                   &a_[c], &b_[c], &c_[c], curve_);
        });
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
    std::size_t parts_ = 1, group_ = 1;                     // of the batch; blocks of channels at a time
    std::vector<double> partial_;                           // (parts, 2, padded channels)
    std::vector<float> scale_, offset_, mean_, a_, b_, c_;  // by channel, zero in the padding
};

}  // namespace

OperationPtr plan(const BatchNorm& op, const std::vector<TensorDesc>& inputs, const PlanOptions& options,
                  const Environment& env) {
    return std::make_unique<NormOperation>(op, inputs, options, env);
}

}  // namespace divs::nn::cpu
