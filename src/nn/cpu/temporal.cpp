// What moves or averages along the frames of a clip.
#include <algorithm>

#include "operation.hpp"
#include "parallel.hpp"

namespace divs::nn::cpu {
namespace {

class ShiftOperation final : public Operation {
  public:
    ShiftOperation(const TemporalShift& op, const TensorDesc& input, const Environment& env)
        : frames_(op.frames),
          part_(static_cast<std::size_t>(input.shape.c / op.divisor)),
          view_(view_of(input)),
          output_(input),
          threads_(env.options.threads) {}

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&, const StepContext&,
                 float*) override {
        move(inputs[0]->data(), output.data(), 1);
    }

    void backward(std::span<const Tensor* const>, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext&,
                  float*) override {
        if (input_gradients[0]) move(output_gradient.data(), input_gradients[0]->data(), -1);
    }

  private:
    // How far the source of a channel lies, in frames, for a shift in this direction.
    int step_of(std::size_t channel, int direction) const {
        return channel < part_ ? direction : channel < 2 * part_ ? -direction : 0;
    }

    void move(const float* from, float* to, int direction) const {
        const auto blocks = static_cast<std::size_t>(view_.blocks);
        parallel_for(threads_, view_.planes(), [&](std::size_t plane) {
            const std::size_t first = plane % blocks * view_.lanes(), last = first + view_.lanes() - 1;
            const int frame = static_cast<int>(plane / blocks) % frames_;
            if (step_of(first, direction) == step_of(last, direction))
                copy_lanes(from, to, plane, 0, view_.lanes(), frame, step_of(first, direction));
            else
                for (std::size_t begin = 0; begin < view_.lanes();) {  // runs of lanes that move alike
                    std::size_t end = begin + 1;
                    const int step = step_of(first + begin, direction);
                    while (end < view_.lanes() && step_of(first + end, direction) == step) ++end;
                    copy_lanes(from, to, plane, begin, end, frame, step);
                    begin = end;
                }
        });
    }

    void copy_lanes(const float* from, float* to, std::size_t plane, std::size_t begin, std::size_t end,
                    int frame, int step) const {
        const bool inside = frame + step >= 0 && frame + step < frames_;
        float* target = to + plane * view_.plane();
        const float* source = from + static_cast<std::ptrdiff_t>(plane * view_.plane()) +
                              step * static_cast<std::ptrdiff_t>(view_.row());
        if (begin == 0 && end == view_.lanes()) {
            inside ? std::copy_n(source, view_.plane(), target) : std::fill_n(target, view_.plane(), 0.0F);
            return;
        }
        for (std::size_t p = 0; p < view_.plane(); p += view_.lanes())
            for (std::size_t i = p + begin; i < p + end; ++i) target[i] = inside ? source[i] : 0.0F;
    }

    int frames_;
    std::size_t part_;
    View view_;
    TensorDesc output_;
    int threads_;
};

class FrameMeanOperation final : public Operation {
  public:
    FrameMeanOperation(const FrameMean& op, const TensorDesc& input, const Environment& env)
        : frames_(static_cast<std::size_t>(op.frames)),
          in_(view_of(input)),
          threads_(env.options.threads),
          kernels_(*env.kernels) {
        const Shape& in = input.shape;
        output_ = make_desc({in.n / op.frames, in.h, in.w, in.c}, in_.block);
    }

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&, const StepContext&,
                 float*) override {
        const float* x = inputs[0]->data();
        parallel_for(threads_, clips(), [&](std::size_t clip) {
            float* y = output.data() + clip * in_.row();
            std::fill_n(y, in_.row(), 0.0F);
            for (std::size_t t = 0; t < frames_; ++t)
                kernels_.accumulate(x + (clip * frames_ + t) * in_.row(), y, in_.row());
            kernels_.scale(y, y, in_.row(), 1.0F / static_cast<float>(frames_));
        });
    }

    void backward(std::span<const Tensor* const>, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext&,
                  float*) override {
        if (!input_gradients[0]) return;
        const float* dy = output_gradient.data();
        float* dx = input_gradients[0]->data();
        parallel_for(threads_, clips() * frames_, [&](std::size_t n) {
            kernels_.scale(dy + n / frames_ * in_.row(), dx + n * in_.row(), in_.row(),
                           1.0F / static_cast<float>(frames_));
        });
    }

  private:
    std::size_t clips() const { return static_cast<std::size_t>(in_.n) / frames_; }

    std::size_t frames_;
    View in_;
    TensorDesc output_;
    int threads_;
    const Kernels& kernels_;
};

}  // namespace

OperationPtr plan(const TemporalShift& op, const std::vector<TensorDesc>& inputs, const PlanOptions&,
                  const Environment& env) {
    return std::make_unique<ShiftOperation>(op, inputs[0], env);
}

OperationPtr plan(const FrameMean& op, const std::vector<TensorDesc>& inputs, const PlanOptions&,
                  const Environment& env) {
    return std::make_unique<FrameMeanOperation>(op, inputs[0], env);
}

}  // namespace divs::nn::cpu
