// A plugin libdivs_cuda.so for machines without a GPU: the CPU's operations under a device's rules. Arrays
// may be touched through the backend alone, and gradients travel by a device's queues (device_double.hpp).
//
// DIVS_GPU_DOUBLE="RANK:WORD,..." by the rank's number in its MPI job: none (there is no device here), share
// (device 9, like all who say so), lose@N (the device is lost in the Nth training batch), overflow@N (its
// gradient is not finite).
// CUDA_VISIBLE_DEVICES names one device, or none.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <string>

#include "divs/core/error.hpp"
#include "divs/nn/plugin.hpp"
#include "support/device_double.hpp"

using namespace divs::nn;
using divs::test::DeviceDouble;

namespace {

std::string own_word() {
    const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
    const char* words = std::getenv("DIVS_GPU_DOUBLE");
    std::istringstream text(words ? words : "");
    const std::string mine = std::string(rank ? rank : "0") + ":";
    for (std::string word; std::getline(text, word, ',');)
        if (word.starts_with(mine)) return word.substr(mine.size());
    return {};
}

bool hidden() {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return visible && !*visible;
}

class GpuDouble : public Backend {
  public:
    explicit GpuDouble(const BackendOptions& options) : cpu_(make_backend("cpu", options)) {
        const std::string word = own_word();
        if (word.starts_with("lose@")) lost_at_ = std::stoi(word.substr(5));
        if (word.starts_with("overflow@")) overflows_at_ = std::stoi(word.substr(9));
        const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
        const int device = visible ? std::atoi(visible) : word == "share" ? 9 : options.device;
        device_ = std::make_shared<DeviceDouble>(
            divs::DeviceIdentity{"GPU double", "0000:0" + std::to_string(device) + ":00.0"},
            static_cast<std::uint64_t>(options.device));
    }

    std::string_view name() const noexcept override { return "cuda"; }
    bool host_memory() const noexcept override { return false; }
    std::shared_ptr<Storage> allocate(std::size_t bytes) override { return cpu_->allocate(bytes); }
    void read(std::span<const float> from, float* to) override { done().read(from, to); }
    void write(const float* from, std::span<float> to) override { done().write(from, to); }
    void clear(std::span<float> values) override { done().clear(values); }
    std::size_t bytes(const TensorDesc& desc) const override { return cpu_->bytes(desc); }
    std::unique_ptr<Operation> plan(const Op& op, const std::vector<TensorDesc>& inputs,
                                    const PlanOptions& options) override {
        if (!options.reducer) return cpu_->plan(op, inputs, options);
        PlanOptions waiting = options;
        waiting.reducer = reducers_.emplace_back(std::make_unique<Waiting>(*options.reducer, *device_)).get();
        return cpu_->plan(op, inputs, waiting);
    }
    TensorDesc input_desc(const Shape& shape, const Op& first) override {
        return cpu_->input_desc(shape, first);
    }
    void upload_pixels(const std::uint8_t* pixels, const float mean[3], const float deviation[3],
                       Tensor& tensor) override {
        done().upload_pixels(pixels, mean, deviation, tensor);
    }
    void upload(const float* nhwc, Tensor& tensor) override { done().upload(nhwc, tensor); }
    void download(const Tensor& tensor, float* nhwc) override { done().download(tensor, nhwc); }
    void accumulate(const Tensor& source, Tensor& target) override { cpu_->accumulate(source, target); }
    void cross_entropy(const Tensor& logits, std::span<const std::int32_t> labels,
                       std::span<const float> class_weights, float smoothing, Tensor* gradient) override {
        if (gradient && ++batches_ == lost_at_) device_->lose();
        cpu_->cross_entropy(logits, labels, class_weights, smoothing, gradient);
        if (gradient && batches_ == overflows_at_)
            gradient->data()[0] = std::numeric_limits<float>::infinity();
    }
    LossSum loss() override { return cpu_->loss(); }
    void update(const UpdateSettings& settings, std::span<const UpdateRange> ranges,
                std::span<float> parameters, std::span<const float> gradients,
                std::span<const std::span<float>> state) override {
        device_->compute([this, settings, parameters, gradients,
                          where = std::vector(ranges.begin(), ranges.end()),
                          kept = std::vector(state.begin(), state.end())] {
            UpdateSettings now = settings;
            if (now.weight_is_queued)
                now.weight = sums_[DeviceSums::not_finite] > 0 ? 0 : sums_[DeviceSums::weight];
            cpu_->update(now, where, parameters, gradients, kept);
            summed_ = sums_;
            summed_row_ = row_;
        });
    }
    std::span<double> queue_sums(bool batch, std::span<const double> more) override {
        const LossSum mine = batch ? cpu_->loss() : LossSum{};
        device_->compute([this, mine, more = std::vector(more.begin(), more.end())] {
            row_ = mine.first_not_finite;
            sums_ = {row_ < 0 ? mine.loss : 0, mine.weight, static_cast<double>(mine.correct),
                     static_cast<double>(row_ >= 0)};
            std::ranges::copy(more, sums_.begin() + DeviceSums::more);
        });
        return std::span(sums_).first(DeviceSums::more + more.size());
    }
    Summed summed() override {
        done();
        return {summed_, summed_row_};
    }
    double gradient_norm() override { return done().gradient_norm(); }
    void synchronise() override { device_->drain(); }
    std::shared_ptr<divs::DeviceStream> communication_stream() override { return device_; }

  private:
    // The CPU's norms read a sum at once that a device would only have queued.
    struct Waiting : Reducer {
        Waiting(Reducer& r, DeviceDouble& d) : reducer(r), device(d) {}
        void sum(std::span<double> values) override {
            reducer.sum(values);
            device.drain();
        }
        Reducer& reducer;
        DeviceDouble& device;
    };

    // What is computed now comes behind all that was queued.
    Backend& done() {
        device_->drain();
        return *cpu_;
    }

    std::unique_ptr<Backend> cpu_;
    std::shared_ptr<DeviceDouble> device_;
    std::vector<std::unique_ptr<Waiting>> reducers_;
    std::array<double, DeviceSums::most> sums_{}, summed_{};  // queued; as the last update found them
    int row_ = -1, summed_row_ = -1;
    int batches_ = 0, lost_at_ = 0, overflows_at_ = 0;
};

}  // namespace

extern "C" Backend* divs_backend_factory_v1(const BackendRequest* request, char* reason,
                                            std::size_t reason_bytes) {
    const char* why_not = request->interface != backend_interface ? "another interface"
                          : own_word() == "none" || hidden()      ? "there is no NVIDIA driver here"
                                                                  : nullptr;
    if (!why_not) return std::make_unique<GpuDouble>(request->options).release();
    std::snprintf(reason, reason_bytes, "%s", why_not);
    return nullptr;
}
