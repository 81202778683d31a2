// Maximum and average over windows, one plane (n, block of channels) at a time.
#include <algorithm>

#include "operation.hpp"
#include "parallel.hpp"

namespace divs::nn::cpu {
namespace {

struct Window {
    int begin = 0, end = 0;  // clipped to the image
    int skipped = 0;         // elements of the window before the image
};

class WindowOperation final : public Operation {
  public:
    WindowOperation(PoolKind kind, const TensorDesc& input, std::vector<Window> rows,
                    std::vector<Window> columns, int kernel_w, const Environment& env)
        : kind_(kind),
          kernel_w_(kernel_w),
          rows_(std::move(rows)),
          columns_(std::move(columns)),
          in_(view_of(input)),
          threads_(env.options.threads),
          kernels_(*env.kernels) {
        const Shape shape{input.shape.n, static_cast<int>(rows_.size()), static_cast<int>(columns_.size()),
                          input.shape.c};
        output_ = make_desc(shape, in_.block);
        out_ = view_of(output_);
        if (kind_ == PoolKind::max) taps_.resize(out_.size());
    }

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&, const StepContext&,
                 float*) override {
        const float* x = inputs[0]->data();
        float* y = output.data();
        for_each_plane([&](std::size_t plane) {
            const float* image = x + plane * in_.plane();
            for_each_window(plane, [&](std::size_t at, const PoolWindow& window, int first_tap) {
                if (kind_ == PoolKind::max)
                    kernels_.max_pool(image, width(), in_.lanes(), window, kernel_w_, first_tap, y + at,
                                      &taps_[at]);
                else
                    kernels_.average_pool(image, width(), in_.lanes(), window, y + at);
            });
        });
    }

    void backward(std::span<const Tensor* const>, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext&,
                  float*) override {
        if (!input_gradients[0]) return;
        const float* dy = output_gradient.data();
        float* dx = input_gradients[0]->data();
        for_each_plane([&](std::size_t plane) {
            float* image = dx + plane * in_.plane();
            std::fill_n(image, in_.plane(), 0.0F);
            for_each_window(plane, [&](std::size_t at, const PoolWindow& window, int first_tap) {
                if (kind_ == PoolKind::max)
                    kernels_.max_pool_gradient(image, width(), in_.lanes(), window, kernel_w_, first_tap,
                                               dy + at, &taps_[at]);
                else
                    kernels_.average_pool_gradient(image, width(), in_.lanes(), window, dy + at);
            });
        });
    }

  private:
    std::size_t width() const { return static_cast<std::size_t>(in_.w); }

    template <class F>
    void for_each_plane(F f) {
        parallel_for(threads_, in_.planes(), f);
    }

    template <class F>
    void for_each_window(std::size_t plane, F f) const {
        std::size_t at = plane * out_.plane();
        for (const Window& row : rows_)
            for (const Window& column : columns_) {
                f(at, PoolWindow{row.begin, row.end, column.begin, column.end},
                  row.skipped * kernel_w_ + column.skipped);
                at += out_.lanes();
            }
    }

    PoolKind kind_;
    int kernel_w_;
    std::vector<Window> rows_, columns_;
    View in_, out_;
    TensorDesc output_;
    int threads_;
    const Kernels& kernels_;
    std::vector<std::uint16_t> taps_;  // which tap of its window won each output
};

std::vector<Window> pool_windows(int count, int size, int kernel, int stride, int pad) {
    std::vector<Window> windows;
    for (int i = 0; i < count; ++i) {
        const int begin = i * stride - pad;
        windows.push_back({std::max(begin, 0), std::min(begin + kernel, size), std::max(-begin, 0)});
    }
    return windows;
}

std::vector<Window> adaptive_windows(int count, int size) {
    std::vector<Window> windows;
    for (int i = 0; i < count; ++i)
        windows.push_back({i * size / count, ((i + 1) * size + count - 1) / count, 0});
    return windows;
}

}  // namespace

OperationPtr plan(const Pool& op, const std::vector<TensorDesc>& inputs, const PlanOptions&,
                  const Environment& env) {
    const Shape& in = inputs[0].shape;
    const Shape out = output_shape(Op{op}, {in});
    return std::make_unique<WindowOperation>(
        op.kind, inputs[0], pool_windows(out.h, in.h, op.kernel_h, op.stride_h, op.pad_h),
        pool_windows(out.w, in.w, op.kernel_w, op.stride_w, op.pad_w), op.kernel_w, env);
}

OperationPtr plan(const AdaptiveAveragePool& op, const std::vector<TensorDesc>& inputs, const PlanOptions&,
                  const Environment& env) {
    const Shape& in = inputs[0].shape;
    return std::make_unique<WindowOperation>(PoolKind::average, inputs[0], adaptive_windows(op.out_h, in.h),
                                             adaptive_windows(op.out_w, in.w), in.w, env);
}

}  // namespace divs::nn::cpu
