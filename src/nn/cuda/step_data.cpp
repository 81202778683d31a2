#include "step_data.hpp"

#include <array>
#include <vector>

namespace divs::nn::cuda {
namespace {

// Offsets into the one block of memory, in bytes.
constexpr std::size_t samples_at = 16;
constexpr std::size_t labels_at = samples_at + StepData::most_rows * sizeof(std::uint64_t);
constexpr std::size_t weights_at = labels_at + StepData::most_rows * sizeof(std::int32_t);
constexpr std::size_t total = weights_at + StepData::most_classes * sizeof(float);

}  // namespace

bool is_recording(const Device& device) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    DIVS_CUDA_CALL(cudaStreamIsCapturing, device.stream(), &status);
    return status != cudaStreamCaptureStatusNone;
}

StepData::StepData(const Device& device)
    : device_(device), memory_(allocate_device(device, total, "the numbers of a step")) {}

// The host's memory may be reused at once: the runtime takes pageable memory over before it returns.
void StepData::put(const void* from, std::size_t bytes, std::size_t at) {
    if (bytes > 0)
        DIVS_CUDA_CALL(cudaMemcpyAsync, static_cast<char*>(memory_.get()) + at, from, bytes,
                       cudaMemcpyHostToDevice, device_.stream());
}

void StepData::stage(const StepContext& step) {
    if (is_recording(device_)) return;
    if (step.samples.size() > most_rows)
        throw_error<ConfigError>("a batch of {} clips on one GPU, expected at most {}", step.samples.size(),
                                 most_rows);
    const std::array<std::uint64_t, 2> numbers{step.seed, step.epoch};
    put(numbers.data(), sizeof numbers, 0);
    put(step.samples.data(), step.samples.size_bytes(), samples_at);
}

void StepData::stage(std::span<const std::int32_t> labels, std::span<const float> class_weights,
                     int classes) {
    if (is_recording(device_)) return;
    if (labels.size() > most_rows || static_cast<std::size_t>(classes) > most_classes)
        throw_error<ConfigError>("a loss of {} clips and {} classes on one GPU, expected at most {} of each",
                                 labels.size(), classes, most_rows);
    put(labels.data(), labels.size_bytes(), labels_at);
    const std::vector<float> ones(class_weights.empty() ? static_cast<std::size_t>(classes) : 0, 1.0F);
    const std::span<const float> weights = class_weights.empty() ? std::span(ones) : class_weights;
    put(weights.data(), weights.size_bytes(), weights_at);
}

const std::uint64_t* StepData::seed_and_epoch() const noexcept {
    return static_cast<const std::uint64_t*>(memory_.get());
}
const std::uint64_t* StepData::samples() const noexcept {
    return seed_and_epoch() + samples_at / sizeof(std::uint64_t);
}
const std::int32_t* StepData::labels() const noexcept {
    return static_cast<const std::int32_t*>(memory_.get()) + labels_at / sizeof(std::int32_t);
}
const float* StepData::class_weights() const noexcept {
    return static_cast<const float*>(memory_.get()) + weights_at / sizeof(float);
}

}  // namespace divs::nn::cuda
