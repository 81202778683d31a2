// Long short-term memory, by its definition.
#include <algorithm>
#include <cmath>

#include "loops.hpp"

namespace divs::nn::reference {
namespace {

using Doubles = std::vector<double>;

double sigmoid(double x) {
    return 1 / (1 + std::exp(-x));
}

template <class T>
class LstmLoops final : public Loops<T> {
  public:
    LstmLoops(const Lstm& op, const Shape& in)
        : in_(in),
          frames_(op.frames),
          hidden_(static_cast<std::size_t>(op.hidden)),
          features_(Shape{1, in.h, in.w, in.c}.size()) {}

    void forward(const Operands<T>& x) override {
        for (int clip = 0; clip < in_.n / frames_; ++clip) {
            const std::vector<Step> steps = run(x, clip);
            for (std::size_t t = 0; t < steps.size(); ++t)
                std::transform(steps[t].h.begin(), steps[t].h.end(),
                               x.output + (static_cast<std::size_t>(clip * frames_) + t) * hidden_,
                               [](double h) { return static_cast<T>(h); });
        }
    }

    void backward(const Operands<T>& x) override {
        Sums sums{Doubles(in_.size()), Doubles(4 * hidden_ * features_), Doubles(4 * hidden_ * hidden_),
                  Doubles(4 * hidden_)};
        for (int clip = 0; clip < in_.n / frames_; ++clip) run_back(x, clip, sums);
        const auto write = [](const Doubles& from, T* to) {
            std::transform(from.begin(), from.end(), to, [](double v) { return static_cast<T>(v); });
        };
        if (x.input_gradients[0]) write(sums.input, x.input_gradients[0]);
        write(sums.weight_ih, x.gradients[0]);
        write(sums.weight_hh, x.gradients[1]);
        for (const std::size_t bias : {std::size_t{2}, std::size_t{3}}) write(sums.bias, x.gradients[bias]);
    }

  private:
    // One frame of one clip: the gates behind their functions (i, f, g, o), and both states.
    struct Step {
        Doubles gates, c, h;
    };
    struct Sums {
        Doubles input, weight_ih, weight_hh, bias;  // the biases have one gradient
    };

    // Where feature j of a frame lies; features are counted as (C, H, W).
    std::size_t place(int n, std::size_t j) const {
        const auto w = static_cast<std::size_t>(in_.w), pixels = static_cast<std::size_t>(in_.h) * w;
        return at(in_, n, static_cast<int>(j % pixels / w), static_cast<int>(j % w),
                  static_cast<int>(j / pixels));
    }

    std::vector<Step> run(const Operands<T>& x, int clip) const {
        std::vector<Step> steps;
        Step before{{}, Doubles(hidden_), Doubles(hidden_)};
        for (int t = 0; t < frames_; ++t) {
            steps.push_back(next(x, clip * frames_ + t, before));
            before = steps.back();
        }
        return steps;
    }

    Step next(const Operands<T>& x, int n, const Step& before) const {
        Step step{Doubles(4 * hidden_), Doubles(hidden_), Doubles(hidden_)};
        for (std::size_t row = 0; row < 4 * hidden_; ++row) {
            double sum = static_cast<double>(x.values[2][row]) + static_cast<double>(x.values[3][row]);
            for (std::size_t j = 0; j < features_; ++j)
                sum += static_cast<double>(x.values[0][row * features_ + j]) *
                       static_cast<double>(x.inputs[0][place(n, j)]);
            for (std::size_t k = 0; k < hidden_; ++k)
                sum += static_cast<double>(x.values[1][row * hidden_ + k]) * before.h[k];
            step.gates[row] = row / hidden_ == 2 ? std::tanh(sum) : sigmoid(sum);
        }
        for (std::size_t k = 0; k < hidden_; ++k) {
            const double* gate = step.gates.data() + k;
            step.c[k] = gate[hidden_] * before.c[k] + gate[0] * gate[2 * hidden_];
            step.h[k] = gate[3 * hidden_] * std::tanh(step.c[k]);
        }
        return step;
    }

    // Back through time: dh and dc are the gradients of a frame's states that come from the frames behind it.
    void run_back(const Operands<T>& x, int clip, Sums& sums) const {
        const std::vector<Step> steps = run(x, clip);
        const Step zero{{}, Doubles(hidden_), Doubles(hidden_)};
        Doubles dh(hidden_), dc(hidden_);
        for (std::size_t t = steps.size(); t-- > 0;) {
            const int n = clip * frames_ + static_cast<int>(t);
            const Step& before = t > 0 ? steps[t - 1] : zero;
            for (std::size_t k = 0; k < hidden_; ++k)
                dh[k] += static_cast<double>(x.output_gradient[static_cast<std::size_t>(n) * hidden_ + k]);
            const Doubles dgates = gate_gradients(steps[t], before, dh, dc);
            std::fill(dh.begin(), dh.end(), 0.0);
            for (std::size_t row = 0; row < 4 * hidden_; ++row)
                add_row(x, n, row, dgates[row], before, sums, dh);
        }
    }

    // Of the gates before their functions; dc becomes that of the frame before.
    Doubles gate_gradients(const Step& step, const Step& before, const Doubles& dh, Doubles& dc) const {
        Doubles dgates(4 * hidden_);
        for (std::size_t k = 0; k < hidden_; ++k) {
            const double i = step.gates[k], f = step.gates[hidden_ + k], g = step.gates[2 * hidden_ + k],
                         o = step.gates[3 * hidden_ + k], bent = std::tanh(step.c[k]);
            dc[k] += dh[k] * o * (1 - bent * bent);
            dgates[k] = dc[k] * g * i * (1 - i);
            dgates[hidden_ + k] = dc[k] * before.c[k] * f * (1 - f);
            dgates[2 * hidden_ + k] = dc[k] * i * (1 - g * g);
            dgates[3 * hidden_ + k] = dh[k] * bent * o * (1 - o);
            dc[k] *= f;
        }
        return dgates;
    }

    // What one gate's gradient adds to all that the gate was made of.
    void add_row(const Operands<T>& x, int n, std::size_t row, double dgate, const Step& before, Sums& sums,
                 Doubles& dh) const {
        sums.bias[row] += dgate;
        for (std::size_t j = 0; j < features_; ++j) {
            sums.weight_ih[row * features_ + j] += dgate * static_cast<double>(x.inputs[0][place(n, j)]);
            sums.input[place(n, j)] += dgate * static_cast<double>(x.values[0][row * features_ + j]);
        }
        for (std::size_t k = 0; k < hidden_; ++k) {
            sums.weight_hh[row * hidden_ + k] += dgate * before.h[k];
            dh[k] += dgate * static_cast<double>(x.values[1][row * hidden_ + k]);
        }
    }

    Shape in_;
    int frames_;
    std::size_t hidden_, features_;
};

}  // namespace

template <class T>
std::unique_ptr<Loops<T>> make(const Lstm& op, const std::vector<Shape>& inputs, const PlanOptions&) {
    return std::make_unique<LstmLoops<T>>(op, inputs[0]);
}

template std::unique_ptr<Loops<float>> make(const Lstm&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const Lstm&, const std::vector<Shape>&, const PlanOptions&);

}  // namespace divs::nn::reference
