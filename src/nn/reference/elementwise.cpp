// Activations, sums and dropout: one element at a time.
#include "dropout.hpp"
#include "loops.hpp"

namespace divs::nn::reference {
namespace {

template <class T>
class AddLoops final : public Loops<T> {  // of one input or more, then the activation
  public:
    AddLoops(Activation activation, std::size_t elements) : activation_(activation), elements_(elements) {}

    void forward(const Operands<T>& x) override {
        for (std::size_t i = 0; i < elements_; ++i) {
            double sum = 0;
            for (const T* input : x.inputs) sum += static_cast<double>(input[i]);
            x.output[i] = static_cast<T>(activate(activation_, sum));
        }
    }

    void backward(const Operands<T>& x) override {
        for (T* gradient : x.input_gradients)
            for (std::size_t i = 0; gradient && i < elements_; ++i)
                gradient[i] = static_cast<T>(static_cast<double>(x.output_gradient[i]) *
                                             slope(activation_, static_cast<double>(x.output[i])));
    }

  private:
    Activation activation_;
    std::size_t elements_;
};

template <class T>
class DropoutLoops final : public Loops<T> {
  public:
    DropoutLoops(const Dropout& op, const Shape& shape, bool training)
        : op_(op), shape_(shape), training_(training) {}

    void forward(const Operands<T>& x) override { scale(x.inputs[0], x.output, x.step); }
    void backward(const Operands<T>& x) override {
        if (x.input_gradients[0]) scale(x.output_gradient, x.input_gradients[0], x.step);
    }

  private:
    void scale(const T* from, T* to, const StepContext& step) const {
        const std::size_t row = shape_.n > 0 ? shape_.size() / static_cast<std::size_t>(shape_.n) : 0;
        const double kept = training_ ? 1.0 / (1.0 - static_cast<double>(op_.rate)) : 1.0;
        for (int n = 0; n < shape_.n; ++n)
            for (std::size_t i = 0; i < row; ++i, ++from, ++to) {
                const bool keeps = !training_ || DropoutRow(op_, step, n, row).keeps(i);
                *to = keeps ? static_cast<T>(static_cast<double>(*from) * kept) : T{0};
            }
    }

    Dropout op_;
    Shape shape_;
    bool training_;
};

}  // namespace

template <class T>
std::unique_ptr<Loops<T>> make(const Activate& op, const std::vector<Shape>& inputs, const PlanOptions&) {
    return std::make_unique<AddLoops<T>>(op.activation, inputs[0].size());
}

template <class T>
std::unique_ptr<Loops<T>> make(const Add& op, const std::vector<Shape>& inputs, const PlanOptions&) {
    return std::make_unique<AddLoops<T>>(op.activation, inputs[0].size());
}

template <class T>
std::unique_ptr<Loops<T>> make(const Dropout& op, const std::vector<Shape>& inputs,
                               const PlanOptions& options) {
    return std::make_unique<DropoutLoops<T>>(op, inputs[0], options.training);
}

template std::unique_ptr<Loops<float>> make(const Activate&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const Activate&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<float>> make(const Add&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const Add&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<float>> make(const Dropout&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const Dropout&, const std::vector<Shape>&, const PlanOptions&);

}  // namespace divs::nn::reference
