// Convolution and linear layers, by their definition.
#include <algorithm>

#include "loops.hpp"

namespace divs::nn::reference {
namespace {

template <class T>
class ConvolutionLoops final : public Loops<T> {
  public:
    ConvolutionLoops(const Conv2d& op, const Shape& in)
        : op_(op),
          in_(in),
          out_(conv_output_shape(op, in)),
          group_in_(in.c / op.groups),
          group_out_(op.out_channels / op.groups) {}

    void forward(const Operands<T>& x) override {
        for_each_output([&](std::size_t y, int n, int h, int w, int o) {
            double sum = op_.bias ? static_cast<double>(x.values[1][o]) : 0.0;
            for_each_tap(n, h, w, o, [&](std::size_t input, std::size_t weight) {
                sum += static_cast<double>(x.inputs[0][input]) * static_cast<double>(x.values[0][weight]);
            });
            if (op_.residual) sum += static_cast<double>(x.inputs[1][y]);
            x.output[y] = static_cast<T>(activate(op_.activation, sum));
        });
    }

    void backward(const Operands<T>& x) override {
        std::vector<double> dx(in_.size()), dw(static_cast<std::size_t>(op_.out_channels) * taps()),
            db(static_cast<std::size_t>(op_.out_channels));
        for_each_output([&](std::size_t y, int n, int h, int w, int o) {
            const double dy = static_cast<double>(x.output_gradient[y]);
            db[static_cast<std::size_t>(o)] += dy;
            for_each_tap(n, h, w, o, [&](std::size_t input, std::size_t weight) {
                dx[input] += dy * static_cast<double>(x.values[0][weight]);
                dw[weight] += dy * static_cast<double>(x.inputs[0][input]);
            });
        });
        auto cast = [](double v) { return static_cast<T>(v); };
        if (x.input_gradients[0]) std::transform(dx.begin(), dx.end(), x.input_gradients[0], cast);
        std::transform(dw.begin(), dw.end(), x.gradients[0], cast);
        if (op_.bias) std::transform(db.begin(), db.end(), x.gradients[1], cast);
    }

  private:
    std::size_t taps() const {
        return static_cast<std::size_t>(group_in_) * static_cast<std::size_t>(op_.kernel_h * op_.kernel_w);
    }

    template <class F>
    void for_each_output(F f) const {
        std::size_t y = 0;
        for (int n = 0; n < out_.n; ++n)
            for (int h = 0; h < out_.h; ++h)
                for (int w = 0; w < out_.w; ++w)
                    for (int o = 0; o < out_.c; ++o) f(y++, n, h, w, o);
    }

    // Every (input element, weight element) that adds to output (n, h, w, o); weights lie (O, I / groups, KH,
    // KW).
    template <class F>
    void for_each_tap(int n, int h, int w, int o, F f) const {
        std::size_t weight = static_cast<std::size_t>(o) * taps();
        const int first = o / group_out_ * group_in_;
        for (int i = 0; i < group_in_; ++i)
            for (int kh = 0; kh < op_.kernel_h; ++kh)
                for (int kw = 0; kw < op_.kernel_w; ++kw, ++weight) {
                    const int y = h * op_.stride_h - op_.pad_h + kh * op_.dilation_h;
                    const int x = w * op_.stride_w - op_.pad_w + kw * op_.dilation_w;
                    if (y >= 0 && y < in_.h && x >= 0 && x < in_.w) f(at(in_, n, y, x, first + i), weight);
                }
    }

    Conv2d op_;
    Shape in_, out_;
    int group_in_, group_out_;
};

// A linear layer is a convolution whose kernel is the whole input: torch's (C, H, W) order is OIHW's.
Conv2d as_convolution(const Linear& op, const Shape& in) {
    Conv2d conv;
    conv.out_channels = op.out_features;
    conv.kernel_h = in.h;
    conv.kernel_w = in.w;
    conv.bias = op.bias;
    return conv;
}

}  // namespace

template <class T>
std::unique_ptr<Loops<T>> make(const Conv2d& op, const std::vector<Shape>& inputs,
                               const PlanOptions& options) {
    require_trainable(op, options);
    return std::make_unique<ConvolutionLoops<T>>(op, inputs[0]);
}

template <class T>
std::unique_ptr<Loops<T>> make(const Linear& op, const std::vector<Shape>& inputs, const PlanOptions&) {
    return std::make_unique<ConvolutionLoops<T>>(as_convolution(op, inputs[0]), inputs[0]);
}

template std::unique_ptr<Loops<float>> make(const Conv2d&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const Conv2d&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<float>> make(const Linear&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const Linear&, const std::vector<Shape>&, const PlanOptions&);

}  // namespace divs::nn::reference
