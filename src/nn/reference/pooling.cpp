// Maximum and average over windows.
#include <algorithm>
#include <limits>

#include "loops.hpp"

namespace divs::nn::reference {
namespace {

struct Window {
    int begin = 0, end = 0;  // clipped to the image
};

Window pool_window(int i, int size, int kernel, int stride, int pad) {
    const int begin = i * stride - pad;
    return {std::max(begin, 0), std::min(begin + kernel, size)};
}

Window adaptive_window(int i, int size, int out) {
    return {i * size / out, ((i + 1) * size + out - 1) / out};
}

// Average or maximum over the windows that rows[h] x columns[w] name.
template <class T>
class WindowLoops final : public Loops<T> {
  public:
    WindowLoops(PoolKind kind, const Shape& in, std::vector<Window> rows, std::vector<Window> columns)
        : kind_(kind), in_(in), rows_(std::move(rows)), columns_(std::move(columns)) {}

    void forward(const Operands<T>& x) override {
        for_each_window([&](std::size_t out, auto elements) {
            const std::vector<std::size_t> inside = elements();
            x.output[out] = kind_ == PoolKind::max ? x.inputs[0][largest(x.inputs[0], inside)]
                                                   : static_cast<T>(mean(x.inputs[0], inside));
        });
    }

    void backward(const Operands<T>& x) override {
        if (!x.input_gradients[0]) return;
        std::vector<double> dx(in_.size());
        for_each_window([&](std::size_t out, auto elements) {
            const std::vector<std::size_t> inside = elements();
            const double dy = static_cast<double>(x.output_gradient[out]);
            if (kind_ == PoolKind::max)
                dx[largest(x.inputs[0], inside)] += dy;
            else
                for (std::size_t i : inside) dx[i] += dy / static_cast<double>(inside.size());
        });
        std::transform(dx.begin(), dx.end(), x.input_gradients[0],
                       [](double v) { return static_cast<T>(v); });
    }

  private:
    template <class F>
    void for_each_window(F f) const {
        std::size_t out = 0;
        for (int n = 0; n < in_.n; ++n)
            for (const Window& row : rows_)
                for (const Window& column : columns_)
                    for (int c = 0; c < in_.c; ++c) f(out++, [&] { return elements(n, row, column, c); });
    }

    std::vector<std::size_t> elements(int n, const Window& row, const Window& column, int c) const {
        std::vector<std::size_t> inside;
        for (int h = row.begin; h < row.end; ++h)
            for (int w = column.begin; w < column.end; ++w) inside.push_back(at(in_, n, h, w, c));
        return inside;
    }

    // The first of the largest, as torch takes; a NaN counts as largest.
    static std::size_t largest(const T* x, const std::vector<std::size_t>& inside) {
        std::size_t best = inside.front();
        for (std::size_t i : inside)
            if (x[i] > x[best] || x[i] != x[i]) best = i;
        return best;
    }

    static double mean(const T* x, const std::vector<std::size_t>& inside) {
        double sum = 0;
        for (std::size_t i : inside) sum += static_cast<double>(x[i]);
        return sum / static_cast<double>(inside.size());
    }

    PoolKind kind_;
    Shape in_;
    std::vector<Window> rows_, columns_;
};

}  // namespace

template <class T>
std::unique_ptr<Loops<T>> make(const Pool& op, const std::vector<Shape>& inputs, const PlanOptions&) {
    const Shape& in = inputs[0];
    const Shape out = output_shape(Op{op}, inputs);
    std::vector<Window> rows, columns;
    for (int h = 0; h < out.h; ++h) rows.push_back(pool_window(h, in.h, op.kernel_h, op.stride_h, op.pad_h));
    for (int w = 0; w < out.w; ++w)
        columns.push_back(pool_window(w, in.w, op.kernel_w, op.stride_w, op.pad_w));
    return std::make_unique<WindowLoops<T>>(op.kind, in, std::move(rows), std::move(columns));
}

template <class T>
std::unique_ptr<Loops<T>> make(const AdaptiveAveragePool& op, const std::vector<Shape>& inputs,
                               const PlanOptions&) {
    const Shape& in = inputs[0];
    std::vector<Window> rows, columns;
    for (int h = 0; h < op.out_h; ++h) rows.push_back(adaptive_window(h, in.h, op.out_h));
    for (int w = 0; w < op.out_w; ++w) columns.push_back(adaptive_window(w, in.w, op.out_w));
    return std::make_unique<WindowLoops<T>>(PoolKind::average, in, std::move(rows), std::move(columns));
}

template std::unique_ptr<Loops<float>> make(const Pool&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const Pool&, const std::vector<Shape>&, const PlanOptions&);
template std::unique_ptr<Loops<float>> make(const AdaptiveAveragePool&, const std::vector<Shape>&,
                                            const PlanOptions&);
template std::unique_ptr<Loops<double>> make(const AdaptiveAveragePool&, const std::vector<Shape>&,
                                             const PlanOptions&);

}  // namespace divs::nn::reference
