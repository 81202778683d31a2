// What moves or averages along the frames of a clip.
#include "loops.hpp"

namespace divs::nn::reference {
namespace {

template <class T>
class ShiftLoops final : public Loops<T> {
  public:
    ShiftLoops(const TemporalShift& op, const Shape& shape) : op_(op), shape_(shape) {}

    void forward(const Operands<T>& x) override { move(x.inputs[0], x.output, 1); }
    void backward(const Operands<T>& x) override {
        if (x.input_gradients[0]) move(x.output_gradient, x.input_gradients[0], -1);
    }

  private:
    // The first channels take the frame `direction` later, the next ones the frame `direction` earlier.
    void move(const T* from, T* to, int direction) const {
        const int part = shape_.c / op_.divisor;
        for (int n = 0; n < shape_.n; ++n)
            for (int h = 0; h < shape_.h; ++h)
                for (int w = 0; w < shape_.w; ++w)
                    for (int c = 0; c < shape_.c; ++c) {
                        const int step = c < part ? direction : c < 2 * part ? -direction : 0;
                        const int frame = n % op_.frames + step;
                        const bool inside = frame >= 0 && frame < op_.frames;
                        to[at(shape_, n, h, w, c)] = inside ? from[at(shape_, n + step, h, w, c)] : T{0};
                    }
    }

    TemporalShift op_;
    Shape shape_;
};

template <class T>
class FrameMeanLoops final : public Loops<T> {
  public:
    FrameMeanLoops(const FrameMean& op, const Shape& in)
        : frames_(static_cast<std::size_t>(op.frames)),
          clips_(static_cast<std::size_t>(in.n / op.frames)),
          elements_(Shape{1, in.h, in.w, in.c}.size()) {}

    void forward(const Operands<T>& x) override {
        for (std::size_t clip = 0; clip < clips_; ++clip)
            for (std::size_t i = 0; i < elements_; ++i) {
                double sum = 0;
                for (std::size_t t = 0; t < frames_; ++t)
                    sum += static_cast<double>(x.inputs[0][(clip * frames_ + t) * elements_ + i]);
                x.output[clip * elements_ + i] = static_cast<T>(sum / static_cast<double>(frames_));
            }
    }

    void backward(const Operands<T>& x) override {
        if (!x.input_gradients[0]) return;
        for (std::size_t row = 0; row < clips_ * frames_; ++row)
            for (std::size_t i = 0; i < elements_; ++i)
                x.input_gradients[0][row * elements_ + i] =
                    static_cast<T>(static_cast<double>(x.output_gradient[row / frames_ * elements_ + i]) /
                                   static_cast<double>(frames_));
    }

  private:
    std::size_t frames_, clips_, elements_;
};

}  // namespace

template <class T>
std::unique_ptr<Loops<T>> make(const TemporalShift& op, const std::vector<Shape>& inputs,
                               const PlanOptions&) {
    return std::make_unique<ShiftLoops<T>>(op, inputs[0]);
}

template <class T>
std::unique_ptr<Loops<T>> make(const FrameMean& op, const std::vector<Shape>& inputs, const PlanOptions&) {
    return std::make_unique<FrameMeanLoops<T>>(op, inputs[0]);
}

template std::unique_ptr<Loops<float>> make(const TemporalShift&, const std::vector<Shape>&,
                                            const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const TemporalShift&, const std::vector<Shape>&,
                                             const PlanOptions&);
template std::unique_ptr<Loops<float>> make(const FrameMean&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const FrameMean&, const std::vector<Shape>&, const PlanOptions&);

}  // namespace divs::nn::reference
