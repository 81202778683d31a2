// Maximum and average over windows.
#include <algorithm>
#include <functional>

#include "kernels/pool.hpp"
#include "operation.hpp"

namespace divs::nn::cuda {
namespace {

using kernels::Range;
using Ranges = std::vector<Range>;

Ranges strided_windows(int size, int out, int kernel, int stride, int pad) {
    Ranges windows;
    for (int i = 0; i < out; ++i)
        windows.push_back({std::max(i * stride - pad, 0), std::min(i * stride - pad + kernel, size)});
    return windows;
}

Ranges adaptive_windows(int size, int out) {
    Ranges windows;
    for (int i = 0; i < out; ++i) windows.push_back({i * size / out, ((i + 1) * size + out - 1) / out});
    return windows;
}

// Which windows each element lies in: their ends do not decrease, so they are neighbours.
Ranges readers_of(const Ranges& windows, int size) {
    Ranges readers;
    for (int i = 0; i < size; ++i) {
        const auto first =
            std::find_if(windows.begin(), windows.end(), [&](const Range& w) { return w.end > i; });
        const auto last = std::find_if(first, windows.end(), [&](const Range& w) { return w.begin > i; });
        readers.push_back(
            {static_cast<int>(first - windows.begin()), static_cast<int>(last - windows.begin())});
    }
    return readers;
}

int longest(const Ranges& windows) {
    int most = 0;
    for (const Range& w : windows) most = std::max(most, w.end - w.begin);
    return most;
}

template <class T>
class PoolOperation final : public Operation {
  public:
    PoolOperation(PoolKind kind, const TensorDesc& input, const Ranges& rows, const Ranges& columns,
                  const PlanOptions& options, Context& context)
        : kind_(kind), stream_(context.stream()) {
        const View in = view_of(input);
        output_ =
            make_desc({in.n, static_cast<int>(rows.size()), static_cast<int>(columns.size()), in.c}, in.type);
        shape_ = {in.n,    in.h, in.w, static_cast<int>(rows.size()), static_cast<int>(columns.size()),
                  in.pitch};
        place_ranges({rows, columns, readers_of(rows, in.h), readers_of(columns, in.w)}, context.device);
        if (kind == PoolKind::average || !options.training) return;
        if (longest(rows) * longest(columns) > 0xFFFF)
            throw_error<ConfigError>("pool: a window of {} x {}, expected at most 65535 elements",
                                     longest(rows), longest(columns));
        chosen_ = allocate_device(context.device, view_of(output_).size() * sizeof(std::uint16_t),
                                  "places of maxima");
    }

    const TensorDesc& output() const noexcept override { return output_; }

    void forward(std::span<const Tensor* const> inputs, Tensor& output, const Parameters&, const StepContext&,
                 float*) override {
        if (kind_ == PoolKind::max)
            kernels::max_pool(elements<T>(inputs[0]), shape_, elements<T>(output), chosen(), stream_);
        else
            kernels::average_pool(elements<T>(inputs[0]), shape_, elements<T>(output), stream_);
        DIVS_CUDA_LAUNCHED("pooling");
    }

    void backward(std::span<const Tensor* const>, const Tensor&, Tensor& output_gradient,
                  std::span<Tensor* const> input_gradients, const Parameters&, const StepContext&,
                  float*) override {
        if (!input_gradients[0]) return;
        if (kind_ == PoolKind::max)
            kernels::max_pool_backward(elements<T>(output_gradient), chosen(), shape_,
                                       elements<T>(input_gradients[0]), stream_);
        else
            kernels::average_pool_backward(elements<T>(output_gradient), shape_,
                                           elements<T>(input_gradients[0]), stream_);
        DIVS_CUDA_LAUNCHED("pooling, backward");
    }

  private:
    std::uint16_t* chosen() const { return static_cast<std::uint16_t*>(chosen_.get()); }

    void place_ranges(const std::vector<Ranges>& parts, const Device& device) {
        Ranges all;
        for (const Ranges& part : parts) all.insert(all.end(), part.begin(), part.end());
        ranges_ = allocate_device(device, all.size() * sizeof(Range), "windows");
        DIVS_CUDA_CALL(cudaMemcpyAsync, ranges_.get(), all.data(), all.size() * sizeof(Range),
                       cudaMemcpyHostToDevice, stream_);
        device.synchronise();  // `all` goes
        shape_.rows = static_cast<const Range*>(ranges_.get());
        shape_.columns = shape_.rows + parts[0].size();
        shape_.row_readers = shape_.columns + parts[1].size();
        shape_.column_readers = shape_.row_readers + parts[2].size();
    }

    PoolKind kind_;
    cudaStream_t stream_;
    TensorDesc output_;
    kernels::PoolShape shape_;
    DeviceBytes ranges_, chosen_;
};

}  // namespace

OperationPtr plan(const Pool& op, const Descs& inputs, const PlanOptions& options, Context& context) {
    const Shape& in = inputs[0].shape;
    const Shape out = output_shape(Op{op}, {in});
    return make_typed<PoolOperation>(
        inputs[0], op.kind, inputs[0], strided_windows(in.h, out.h, op.kernel_h, op.stride_h, op.pad_h),
        strided_windows(in.w, out.w, op.kernel_w, op.stride_w, op.pad_w), options, context);
}

OperationPtr plan(const AdaptiveAveragePool& op, const Descs& inputs, const PlanOptions& options,
                  Context& context) {
    const Shape& in = inputs[0].shape;
    return make_typed<PoolOperation>(inputs[0], PoolKind::average, inputs[0],
                                     adaptive_windows(in.h, op.out_h), adaptive_windows(in.w, op.out_w),
                                     options, context);
}

}  // namespace divs::nn::cuda
