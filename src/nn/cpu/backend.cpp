// The cpu backend: plans operations, and what belongs to no operation: the model's edges, the loss, the
// optimisers.
#include "divs/nn/backend.hpp"

#include <omp.h>

#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "cross_entropy.hpp"
#include "divs/core/error.hpp"
#include "divs/nn/schedule.hpp"
#include "host_storage.hpp"
#include "onednn.hpp"
#include "operation.hpp"
#include "parallel.hpp"

namespace divs::nn::cpu {
namespace {

constexpr std::size_t strip = 16384;  // elements that one task of an optimiser takes

class CpuBackend final : public Backend {
  public:
    explicit CpuBackend(const BackendOptions& options) : env_{options, &kernels()} {
        if (options.threads < 1)
            throw_error<ConfigError>("backend cpu: {} threads, expected at least 1", options.threads);
    }

    std::string_view name() const noexcept override { return "cpu"; }
    std::string description() const override {
        return fmt::format("oneDNN {}, {} kernels of our own", onednn::version(), env_.kernels->name);
    }
    std::shared_ptr<Storage> allocate(std::size_t bytes) override { return allocate_host(bytes); }
    std::size_t bytes(const TensorDesc& desc) const override { return view_of(desc).size() * sizeof(float); }

    std::unique_ptr<Operation> plan(const Op& op, const std::vector<TensorDesc>& inputs,
                                    const PlanOptions& options) override {
        return std::visit([&](const auto& o) { return cpu::plan(o, inputs, options, env_); }, op);
    }

    TensorDesc input_desc(const Shape& shape, const Op& first) override {
        if (const auto* conv = std::get_if<Conv2d>(&first))
            return make_desc(shape, input_block(*conv, shape, env_));
        return make_desc(shape, std::min(shape.c, env_.kernels->block));
    }

    void upload_pixels(const std::uint8_t* pixels, const float mean[3], const float deviation[3],
                       Tensor& tensor) override;
    void upload(const float* nhwc, Tensor& tensor) override {
        omp_set_num_threads(env_.options.threads);
        onednn::reorder(view_of(tensor.shape(), tensor.shape().c), nhwc, view_of(tensor.desc), tensor.data());
    }
    void download(const Tensor& tensor, float* nhwc) override {
        omp_set_num_threads(env_.options.threads);
        onednn::reorder(view_of(tensor.desc), tensor.data(), view_of(tensor.shape(), tensor.shape().c), nhwc);
    }

    void accumulate(const Tensor& source, Tensor& target) override;
    void cross_entropy(const Tensor& logits, std::span<const std::int32_t> labels,
                       std::span<const float> class_weights, float smoothing, Tensor* gradient) override;
    LossSum loss() override { return loss_; }
    void update(const UpdateSettings& settings, std::span<const UpdateRange> ranges,
                std::span<float> parameters, std::span<const float> gradients,
                std::span<const std::span<float>> state) override;
    double gradient_norm() override { return scale_.norm; }

  private:
    double squares(std::span<const float> values);  // their sum
    // Calls f(begin, count) for strips of [begin, end), shared out over the threads.
    template <class F>
    void for_each_strip(std::size_t begin, std::size_t end, F f) const {
        parallel_for(env_.options.threads, (end - begin + strip - 1) / strip, [&](std::size_t i) {
            const std::size_t at = begin + i * strip;
            f(at, std::min(strip, end - at));
        });
    }

    Environment env_;
    LossSum loss_;
    GradientScale scale_;  // of the last update
};

void CpuBackend::upload_pixels(const std::uint8_t* pixels, const float mean[3], const float deviation[3],
                               Tensor& tensor) {
    std::array<std::array<float, 256>, 3> table;
    for (std::size_t c = 0; c < 3; ++c)
        for (std::size_t v = 0; v < 256; ++v)
            table[c][v] = static_cast<float>((static_cast<double>(v) / 255.0 - static_cast<double>(mean[c])) /
                                             static_cast<double>(deviation[c]));
    const View view = view_of(tensor.desc);
    float* out = tensor.data();
    // Channel c of pixel p lies at c / block planes, p blocks, c % block lanes.
    std::array<std::size_t, 3> at;
    for (std::size_t c = 0; c < 3; ++c) at[c] = c / view.lanes() * view.plane() + c % view.lanes();
    parallel_for(env_.options.threads, static_cast<std::size_t>(view.n), [&](std::size_t n) {
        const std::uint8_t* row = pixels + n * view.pixels() * 3;
        float* image = out + n * view.row();
        if (view.padded_channels() > 3) std::fill_n(image, view.row(), 0.0F);
        for (std::size_t p = 0; p < view.pixels(); ++p)
            for (std::size_t c = 0; c < 3; ++c) image[at[c] + p * view.lanes()] = table[c][row[p * 3 + c]];
    });
}

void CpuBackend::accumulate(const Tensor& source, Tensor& target) {
    const View view = view_of(source.desc);
    if (view != view_of(target.desc)) throw Error("backend cpu: accumulate: two layouts, expected one");
    for_each_strip(0, view.size(), [&](std::size_t at, std::size_t n) {
        env_.kernels->accumulate(source.data() + at, target.data() + at, n);
    });
}

void CpuBackend::cross_entropy(const Tensor& logits, std::span<const std::int32_t> labels,
                               std::span<const float> class_weights, float smoothing, Tensor* gradient) {
    const int classes = logits.shape().c;
    if (block_of(logits.desc) == classes) {
        loss_ = nn::softmax_cross_entropy(logits.data(), classes, labels, class_weights, smoothing,
                                          gradient ? gradient->data() : nullptr);
        return;
    }
    std::vector<float> rows(logits.shape().size()), slopes(rows.size());
    download(logits, rows.data());
    loss_ = nn::softmax_cross_entropy(rows.data(), classes, labels, class_weights, smoothing, slopes.data());
    if (gradient) upload(slopes.data(), *gradient);
}

double CpuBackend::squares(std::span<const float> values) {
    std::vector<double> parts((values.size() + strip - 1) / strip);
    for_each_strip(0, values.size(), [&](std::size_t at, std::size_t n) {
        parts[at / strip] = env_.kernels->squares(values.data() + at, n);
    });
    return std::accumulate(parts.begin(), parts.end(), 0.0);
}

AdamwStep adamw_step(const UpdateSettings& s, float scale, float decay) {
    const double b1 = static_cast<double>(s.beta1), b2 = static_cast<double>(s.beta2),
                 t = static_cast<double>(s.step);
    return {s.learning_rate,
            scale,
            decay,
            s.beta1,
            static_cast<float>(1 - b1),
            s.beta2,
            static_cast<float>(1 - b2),
            s.epsilon,
            static_cast<float>(1 / (1 - std::pow(b1, t))),
            static_cast<float>(1 / std::sqrt(1 - std::pow(b2, t)))};
}

void CpuBackend::update(const UpdateSettings& settings, std::span<const UpdateRange> ranges,
                        std::span<float> parameters, std::span<const float> gradients,
                        std::span<const std::span<float>> state) {
    scale_ = gradient_scale(squares(gradients), settings.weight, settings.clip_norm);
    if (scale_.factor == 0) return;
    for (const UpdateRange& range : ranges) {
        if (range.frozen) continue;
        const float decay = range.decays ? settings.weight_decay : 0.0F;
        const SgdStep sgd{settings.learning_rate, scale_.factor, decay, settings.momentum, settings.nesterov};
        const AdamwStep adamw = adamw_step(settings, scale_.factor, decay);
        for_each_strip(range.begin, range.end, [&](std::size_t at, std::size_t n) {
            if (settings.optimizer == Optimizer::sgd)
                env_.kernels->sgd(sgd, parameters.data() + at, gradients.data() + at,
                                  state.empty() ? nullptr : state[0].data() + at, n);
            else
                env_.kernels->adamw(adamw, parameters.data() + at, gradients.data() + at,
                                    state[0].data() + at, state[1].data() + at, n);
        });
    }
}

}  // namespace

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
    return std::make_unique<CpuBackend>(options);
}

}  // namespace divs::nn::cpu
