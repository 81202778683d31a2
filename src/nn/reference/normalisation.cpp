// Batch normalisation with residual and activation, in two passes over the data.
#include "loops.hpp"
#include "norm_statistics.hpp"

namespace divs::nn::reference {
namespace {

template <class T>
class NormLoops final : public Loops<T> {
  public:
    NormLoops(const BatchNorm& op, const Shape& shape, const PlanOptions& options)
        : op_(op),
          shape_(shape),
          channels_(static_cast<std::size_t>(shape.c)),
          training_(options.training),
          reducer_(options.reducer) {}

    void forward(const Operands<T>& x) override {
        if (training_)
            measure(x);
        else
            use_running(x);
        for (std::size_t i = 0; i < shape_.size(); ++i) {
            const std::size_t c = i % channels_;
            double y = normalised(x, i) * value(x.values[0][c]) + value(x.values[1][c]);
            if (op_.residual) y += value(x.inputs[1][i]);
            x.output[i] = static_cast<T>(activate(op_.activation, y));
        }
    }

    void backward(const Operands<T>& x) override {
        std::vector<double> sums(2 * channels_);  // of dy, of dy x normalised input
        for (std::size_t i = 0; i < shape_.size(); ++i) {
            const double dy = inner_gradient(x, i);
            sums[i % channels_] += dy;
            sums[channels_ + i % channels_] += dy * normalised(x, i);
        }
        for (std::size_t c = 0; c < channels_; ++c) {
            x.gradients[0][c] = static_cast<T>(sums[channels_ + c]);
            x.gradients[1][c] = static_cast<T>(sums[c]);
        }
        if (reducer_) reducer_->sum(sums);
        for (std::size_t i = 0; i < shape_.size(); ++i) {
            const std::size_t c = i % channels_;
            const double dy = inner_gradient(x, i);
            const double centred =
                dy - (sums[c] + normalised(x, i) * sums[channels_ + c]) / statistics_.count;
            if (x.input_gradients[0])
                x.input_gradients[0][i] =
                    static_cast<T>(value(x.values[0][c]) * statistics_.inverse[c] * centred);
            if (op_.residual && x.input_gradients[1]) x.input_gradients[1][i] = static_cast<T>(dy);
        }
    }

    void forward_empty(const Operands<T>& x) override {
        if (!training_ || !reducer_) return;
        statistics_.begin(channels_, 0);
        statistics_.reduce(*reducer_, epsilon());
        update_running(x);
    }

    void backward_empty(const Operands<T>&) override {
        std::vector<double> sums(2 * channels_);
        if (training_ && reducer_) reducer_->sum(sums);
    }

  private:
    static double value(T x) { return static_cast<double>(x); }

    double normalised(const Operands<T>& x, std::size_t i) const {
        const std::size_t c = i % channels_;
        return (value(x.inputs[0][i]) - statistics_.mean[c]) * statistics_.inverse[c];
    }

    double inner_gradient(const Operands<T>& x, std::size_t i) const {
        return value(x.output_gradient[i]) * slope(op_.activation, value(x.output[i]));
    }

    void measure(const Operands<T>& x) {
        const double count = static_cast<double>(shape_.size() / channels_);
        std::vector<double> mean(channels_), variance(channels_);
        for (std::size_t i = 0; i < shape_.size(); ++i) mean[i % channels_] += value(x.inputs[0][i]) / count;
        for (std::size_t i = 0; i < shape_.size(); ++i) {
            const double d = value(x.inputs[0][i]) - mean[i % channels_];
            variance[i % channels_] += d * d / count;
        }
        statistics_.begin(channels_, count);
        for (std::size_t c = 0; c < channels_; ++c) statistics_.set(c, mean[c], variance[c], epsilon());
        if (reducer_) statistics_.reduce(*reducer_, epsilon());
        update_running(x);
    }

    void update_running(const Operands<T>& x) {
        std::vector<float> mean(x.buffers[0], x.buffers[0] + channels_),
            var(x.buffers[1], x.buffers[1] + channels_);
        statistics_.update_running(static_cast<double>(op_.momentum), mean, var);
        std::copy(mean.begin(), mean.end(), x.buffers[0]);
        std::copy(var.begin(), var.end(), x.buffers[1]);
    }

    void use_running(const Operands<T>& x) {
        statistics_.begin(channels_, 1);
        for (std::size_t c = 0; c < channels_; ++c)
            statistics_.set(c, value(x.buffers[0][c]), value(x.buffers[1][c]), epsilon());
    }

    double epsilon() const { return static_cast<double>(op_.epsilon); }

    BatchNorm op_;
    Shape shape_;
    std::size_t channels_;
    bool training_;
    Reducer* reducer_;
    NormStatistics statistics_;
};

}  // namespace

template <class T>
std::unique_ptr<Loops<T>> make(const BatchNorm& op, const std::vector<Shape>& inputs,
                               const PlanOptions& options) {
    return std::make_unique<NormLoops<T>>(op, inputs[0], options);
}

template std::unique_ptr<Loops<float>> make(const BatchNorm&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const BatchNorm&, const std::vector<Shape>&, const PlanOptions&);

}  // namespace divs::nn::reference
