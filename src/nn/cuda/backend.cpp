// The cuda backend: plans operations, and what belongs to no operation: the model's edges, the loss, the
// optimisers.
#include "backend.hpp"

#include <algorithm>
#include <cmath>

#include "clip_memory.hpp"
#include "communication_stream.hpp"
#include "cross_entropy.hpp"
#include "kernels/edges.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/loss.hpp"
#include "kernels/optimiser.hpp"
#include "operation.hpp"
#include "recorder.hpp"

namespace divs::nn::cuda {
namespace {

using kernels::bf16;

// Calls f with a pointer to the tensor's elements, of their type.
template <class F>
void with_elements(const Tensor& tensor, DType type, F f) {
    if (type == DType::f32)
        f(elements<float>(tensor));
    else
        f(elements<bf16>(tensor));
}

class CudaBackend final : public Backend {
  public:
    explicit CudaBackend(const BackendOptions& options)
        : options_(options),
          device_(options.device),
          type_(options.precision == Precision::bfloat16 ? DType::bf16 : DType::f32),
          weights_(device_, type_),
          step_(device_),
          context_{device_, options_, weights_, step_},
          clip_memory_(std::make_shared<ClipMemory>(device_)),
          scratch_(device_, "copies to and from the host"),
          loss_queued_(make_event()),
          loss_memory_(allocate_device(
              device_, sizeof(kernels::LossTotals) + StepData::most_rows * sizeof(kernels::LossRow),
              "the loss")),
          totals_(allocate_pinned(sizeof(kernels::LossTotals), "the loss")),
          updated_(make_event()),
          end_memory_(allocate_device(device_, sizeof(StepEnd) + kernels::squares_partials() * sizeof(double),
                                      "the gradient's norm")),
          end_(allocate_pinned(sizeof(StepEnd), "the gradient's norm")),
          recorder_(device_, loss_queued_.get()) {
        *static_cast<StepEnd*>(end_.get()) = {};
    }

    std::string_view name() const noexcept override { return "cuda"; }
    std::string description() const override { return device_.description(); }

    bool host_memory() const noexcept override { return false; }
    std::shared_ptr<Storage> allocate(std::size_t bytes) override { return allocate_storage(device_, bytes); }
    void read(std::span<const float> from, float* to) override;
    void write(const float* from, std::span<float> to) override;
    void clear(std::span<float> values) override {
        DIVS_CUDA_CALL(cudaMemsetAsync, values.data(), 0, values.size_bytes(), device_.stream());
    }
    void touched(std::span<const float> parameters) override { weights_.touched(parameters); }

    std::size_t bytes(const TensorDesc& desc) const override { return view_of(desc).bytes(); }
    std::unique_ptr<Operation> plan(const Op& op, const std::vector<TensorDesc>& inputs,
                                    const PlanOptions& options) override {
        return std::visit([&](const auto& o) { return cuda::plan(o, inputs, options, context_); }, op);
    }
    bool folds(const TemporalShift&, const Conv2d&) const override { return can_fold(context_); }
    TensorDesc input_desc(const Shape& shape, const Op&) override { return make_desc(shape, type_); }

    void upload_pixels(const std::uint8_t* pixels, const float mean[3], const float deviation[3],
                       Tensor& tensor) override;
    void upload_clips(std::span<Pixels* const> clips, const float mean[3], const float deviation[3],
                      Tensor& tensor) override;
    std::shared_ptr<PixelMemory> pixel_memory() override { return clip_memory_; }
    void upload(const float* nhwc, Tensor& tensor) override;
    void download(const Tensor& tensor, float* nhwc) override;
    void accumulate(const Tensor& source, Tensor& target) override;

    void cross_entropy(const Tensor& logits, std::span<const std::int32_t> labels,
                       std::span<const float> class_weights, float smoothing, Tensor* gradient) override;
    LossSum loss() override;
    std::span<double> queue_sums(bool batch, std::span<const double> more) override;

    void update(const UpdateSettings& settings, std::span<const UpdateRange> ranges,
                std::span<float> parameters, std::span<const float> gradients,
                std::span<const std::span<float>> state) override;
    double gradient_norm() override { return step_end().scale.norm; }
    Summed summed() override;
    void synchronise() override { device_.synchronise(); }
    std::shared_ptr<DeviceStream> communication_stream() override {
        return make_communication_stream(device_);
    }

    Recorder* recorder() noexcept override { return &recorder_; }
    void stage(const StepContext& step, std::span<const std::int32_t> labels,
               std::span<const float> class_weights, int classes) override {
        weights_.refresh();
        step_.stage(step);
        step_.stage(labels, class_weights, classes);
    }

  private:
    // What is known of a step when it is over.
    struct StepEnd {
        kernels::GradientScale scale;
        kernels::StepSums sums;
    };
    // On the device. Scratch of gradient_scale() lies behind it.
    StepEnd& queued_end() noexcept { return *static_cast<StepEnd*>(end_memory_.get()); }
    const StepEnd& step_end();  // of the last update; waits for it

    // clips: bytes on the device, of equal length, that are there when the compute stream gets to them.
    void normalise(std::span<const std::uint8_t* const> clips, const float mean[3], const float deviation[3],
                   Tensor& tensor);
    template <class T>
    void update_typed(const UpdateSettings& settings, std::span<const UpdateRange> ranges,
                      std::span<float> parameters, std::span<const float> gradients,
                      std::span<const std::span<float>> state);

    BackendOptions options_;
    Device device_;
    DType type_;
    Weights weights_;
    StepData step_;
    Context context_;
    std::shared_ptr<ClipMemory> clip_memory_;
    GrowingBytes scratch_;
    EventHandle loss_queued_;
    DeviceBytes loss_memory_;  // one LossTotals, then one LossRow a row; recorded steps know its address
    PinnedBytes totals_;
    EventHandle updated_;
    DeviceBytes end_memory_;
    PinnedBytes end_;  // of the last update
    GraphRecorder recorder_;
};

void CudaBackend::read(std::span<const float> from, float* to) {
    DIVS_CUDA_CALL(cudaMemcpyAsync, to, from.data(), from.size_bytes(), cudaMemcpyDeviceToHost,
                   device_.stream());
    device_.synchronise();
}

void CudaBackend::write(const float* from, std::span<float> to) {
    DIVS_CUDA_CALL(cudaMemcpyAsync, to.data(), from, to.size_bytes(), cudaMemcpyHostToDevice,
                   device_.stream());
    device_.synchronise();  // `from` may be pinned, and then the copy would still be under way
    weights_.touched(to);
}

void CudaBackend::normalise(std::span<const std::uint8_t* const> clips, const float mean[3],
                            const float deviation[3], Tensor& tensor) {
    const View view = view_of(tensor.desc);
    if (view.c != 3) throw_error<Error>("backend cuda: pixels of {} channels, expected 3", view.c);
    kernels::PixelScale scale{};
    for (int c = 0; c < 3; ++c) {
        scale.factor[c] = static_cast<float>(1 / (255.0 * static_cast<double>(deviation[c])));
        scale.offset[c] =
            static_cast<float>(-static_cast<double>(mean[c]) / static_cast<double>(deviation[c]));
    }
    with_elements(tensor, view.type, [&](auto* to) {
        kernels::upload_pixels(clips, view.pixels() / clips.size(), scale, to, device_.stream());
    });
    DIVS_CUDA_LAUNCHED("upload_pixels");
}

void CudaBackend::upload_pixels(const std::uint8_t* pixels, const float mean[3], const float deviation[3],
                                Tensor& tensor) {
    const auto batch = clip_memory_->allocate(view_of(tensor.desc).pixels() * 3);
    std::copy_n(pixels, batch->size(), batch->host().begin());
    batch->filled();
    Pixels* const one = batch.get();
    upload_clips({&one, 1}, mean, deviation, tensor);
}

void CudaBackend::upload_clips(std::span<Pixels* const> clips, const float mean[3], const float deviation[3],
                               Tensor& tensor) {
    ClipMemory::Batch batch(*clip_memory_, clips);
    normalise(batch.addresses(), mean, deviation, tensor);
    batch.read();
}

void CudaBackend::upload(const float* nhwc, Tensor& tensor) {
    const View view = view_of(tensor.desc);
    const std::size_t size = tensor.shape().size();
    if (!layout_of(tensor.desc)) return write(nhwc, {tensor.data(), size});
    auto* plain = static_cast<float*>(scratch_.at_least(size * sizeof(float)));
    write(nhwc, {plain, size});
    with_elements(tensor, view.type, [&](auto* to) {
        kernels::widen(plain, view.pixels(), view.c, view.pitch, to, device_.stream());
    });
    DIVS_CUDA_LAUNCHED("upload");
}

void CudaBackend::download(const Tensor& tensor, float* nhwc) {
    const View view = view_of(tensor.desc);
    const std::size_t size = tensor.shape().size();
    if (!layout_of(tensor.desc)) return read({tensor.data(), size}, nhwc);
    auto* plain = static_cast<float*>(scratch_.at_least(size * sizeof(float)));
    with_elements(tensor, view.type, [&](auto* from) {
        kernels::narrow(from, view.pixels(), view.c, view.pitch, plain, device_.stream());
    });
    DIVS_CUDA_LAUNCHED("download");
    read({plain, size}, nhwc);
}

void CudaBackend::accumulate(const Tensor& source, Tensor& target) {
    const View view = view_of(source.desc);
    if (view != view_of(target.desc)) throw Error("backend cuda: accumulate: two layouts, expected one");
    with_elements(target, view.type, [&](auto* to) {
        kernels::accumulate(reinterpret_cast<decltype(to)>(source.data()), to, view.size(), device_.stream());
    });
    DIVS_CUDA_LAUNCHED("accumulate");
}

void CudaBackend::cross_entropy(const Tensor& logits, std::span<const std::int32_t> labels,
                                std::span<const float> class_weights, float smoothing, Tensor* gradient) {
    const View view = view_of(logits.desc);
    check_loss(view.c, labels, class_weights, smoothing);
    step_.stage(labels, class_weights, view.c);
    auto* totals = static_cast<kernels::LossTotals*>(loss_memory_.get());
    auto* rows = reinterpret_cast<kernels::LossRow*>(totals + 1);
    const kernels::LossShape shape{static_cast<int>(labels.size()), view.c, view.pitch, smoothing};
    with_elements(logits, view.type, [&](auto* from) {
        using T = std::remove_pointer_t<decltype(from)>;
        kernels::cross_entropy<T>(from, shape, step_.labels(), step_.class_weights(), elements<T>(gradient),
                                  rows, totals, device_.stream());
    });
    DIVS_CUDA_LAUNCHED("cross_entropy");
    DIVS_CUDA_CALL(cudaMemcpyAsync, totals_.get(), totals, sizeof *totals, cudaMemcpyDeviceToHost,
                   device_.stream());
    if (recorder_.recording())
        recorder_.has_loss();
    else
        DIVS_CUDA_CALL(cudaEventRecord, loss_queued_.get(), device_.stream());
}

LossSum CudaBackend::loss() {
    DIVS_CUDA_CALL(cudaEventSynchronize, loss_queued_.get());
    const auto& totals = *static_cast<const kernels::LossTotals*>(totals_.get());
    return {totals.loss, totals.weight, totals.correct, static_cast<int>(totals.first_not_finite)};
}

std::span<double> CudaBackend::queue_sums(bool batch, std::span<const double> more) {
    static_assert(+DeviceSums::most == +kernels::StepSums::most &&
                  +DeviceSums::more == +kernels::StepSums::more);
    kernels::HostNumbers numbers;
    if (more.size() > std::size(numbers.values)) throw Error("backend cuda: too many numbers to add up");
    std::ranges::copy(more, numbers.values);
    kernels::StepSums& sums = queued_end().sums;
    kernels::step_sums(batch ? static_cast<const kernels::LossTotals*>(loss_memory_.get()) : nullptr, numbers,
                       &sums, device_.stream());
    DIVS_CUDA_LAUNCHED("step_sums");
    return std::span(sums.values).first(DeviceSums::more + more.size());
}

template <class T>
void CudaBackend::update_typed(const UpdateSettings& s, std::span<const UpdateRange> ranges,
                               std::span<float> parameters, std::span<const float> gradients,
                               std::span<const std::span<float>> state) {
    const kernels::Arena<T> arena = weights_.arena<T>(parameters, gradients, ranges);
    const kernels::GradientScale* const scale = &queued_end().scale;
    if (s.optimizer == Optimizer::sgd) {
        kernels::sgd({s.learning_rate, s.weight_decay, s.momentum, s.nesterov}, scale, arena,
                     state.empty() ? nullptr : state[0].data(), device_.stream());
        return;
    }
    const double b1 = static_cast<double>(s.beta1), b2 = static_cast<double>(s.beta2),
                 t = static_cast<double>(s.step);
    const kernels::AdamwStep step{s.learning_rate,
                                  s.weight_decay,
                                  s.beta1,
                                  static_cast<float>(1 - b1),
                                  s.beta2,
                                  static_cast<float>(1 - b2),
                                  s.epsilon,
                                  static_cast<float>(1 / (1 - std::pow(b1, t))),
                                  static_cast<float>(1 / std::sqrt(1 - std::pow(b2, t)))};
    kernels::adamw(step, scale, arena, state[0].data(), state[1].data(), device_.stream());
}

void CudaBackend::update(const UpdateSettings& settings, std::span<const UpdateRange> ranges,
                         std::span<float> parameters, std::span<const float> gradients,
                         std::span<const std::span<float>> state) {
    weights_.refresh();  // what is stale must not stay so behind this pass
    StepEnd& end = queued_end();
    const kernels::StepSums* const queued = settings.weight_is_queued ? &end.sums : nullptr;
    kernels::gradient_scale(gradients.data(), gradients.size(), {settings.weight, queued}, settings.clip_norm,
                            reinterpret_cast<double*>(&end + 1), &end.scale, device_.stream());
    if (type_ == DType::f32)
        update_typed<float>(settings, ranges, parameters, gradients, state);
    else
        update_typed<bf16>(settings, ranges, parameters, gradients, state);
    DIVS_CUDA_LAUNCHED("update");
    DIVS_CUDA_CALL(cudaMemcpyAsync, end_.get(), &end, sizeof end, cudaMemcpyDeviceToHost, device_.stream());
    DIVS_CUDA_CALL(cudaEventRecord, updated_.get(), device_.stream());
}

const CudaBackend::StepEnd& CudaBackend::step_end() {
    DIVS_CUDA_CALL(cudaEventSynchronize, updated_.get());
    return *static_cast<const StepEnd*>(end_.get());
}

Backend::Summed CudaBackend::summed() {
    const kernels::StepSums& sums = step_end().sums;
    return {sums.values, static_cast<int>(sums.first_not_finite)};
}

}  // namespace

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
    return std::make_unique<CudaBackend>(options);
}

}  // namespace divs::nn::cuda
