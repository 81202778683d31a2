#include "step_data.hpp"

#include <algorithm>
#include <vector>

namespace divs::nn::cuda {
namespace {

// Offsets into the one block of memory, in bytes.
constexpr std::size_t samples_at = 16;
constexpr std::size_t labels_at = samples_at + StepData::most_rows * sizeof(std::uint64_t);
constexpr std::size_t weights_at = labels_at + StepData::most_rows * sizeof(std::int32_t);
constexpr std::size_t total = weights_at + StepData::most_classes * sizeof(float);
constexpr std::size_t page = 4096;

}  // namespace

bool is_recording(const Device& device) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    DIVS_CUDA_CALL(cudaStreamIsCapturing, device.stream(), &status);
    return status != cudaStreamCaptureStatusNone;
}

StepData::StepData(const Device& device)
    : device_(device), memory_(allocate_device(device, total, "the numbers of a step")) {
    for (EventHandle& event : copied_) event = make_event();
}

std::byte* StepData::next_place(std::size_t bytes) {
    if (bytes > place_bytes_) {
        device_.synchronise();
        place_bytes_ = (bytes + page - 1) / page * page;
        pinned_.reset();
        pinned_ = allocate_pinned(places * place_bytes_, "the numbers of a step");
    }
    place_ = (place_ + 1) % places;
    if (cudaEventQuery(copied_[place_].get()) != cudaSuccess) {
        cudaGetLastError();  // it is no error yet, but would be found as one
        DIVS_CUDA_CALL(cudaEventSynchronize, copied_[place_].get());
    }
    return static_cast<std::byte*>(pinned_.get()) + place_ * place_bytes_;
}

void StepData::copy(const std::byte* from, std::size_t bytes, std::size_t at) {
    if (bytes > 0)
        DIVS_CUDA_CALL(cudaMemcpyAsync, static_cast<std::byte*>(memory_.get()) + at, from, bytes,
                       cudaMemcpyHostToDevice, device_.stream());
}

void StepData::leave_place() {
    DIVS_CUDA_CALL(cudaEventRecord, copied_[place_].get(), device_.stream());
}

void StepData::stage(const StepContext& step) {
    if (is_recording(device_)) return;
    if (step.samples.size() > most_rows)
        throw_error<ConfigError>("a batch of {} clips on one GPU, expected at most {}", step.samples.size(),
                                 most_rows);
    const std::array<std::uint64_t, 2> numbers{step.seed, step.epoch};
    std::byte* const place = next_place(samples_at + step.samples.size_bytes());
    std::ranges::copy(std::as_bytes(std::span(numbers)), place);
    std::ranges::copy(std::as_bytes(step.samples), place + samples_at);
    copy(place, samples_at + step.samples.size_bytes(), 0);
    leave_place();
}

void StepData::stage(std::span<const std::int32_t> labels, std::span<const float> class_weights,
                     int classes) {
    if (is_recording(device_)) return;
    if (labels.size() > most_rows || static_cast<std::size_t>(classes) > most_classes)
        throw_error<ConfigError>("a loss of {} clips and {} classes on one GPU, expected at most {} of each",
                                 labels.size(), classes, most_rows);
    const std::vector<float> ones(class_weights.empty() ? static_cast<std::size_t>(classes) : 0, 1.0F);
    const std::span<const float> weights = class_weights.empty() ? std::span(ones) : class_weights;
    std::byte* const place = next_place(labels.size_bytes() + weights.size_bytes());
    std::ranges::copy(std::as_bytes(labels), place);
    std::ranges::copy(std::as_bytes(weights), place + labels.size_bytes());
    copy(place, labels.size_bytes(), labels_at);
    copy(place + labels.size_bytes(), weights.size_bytes(), weights_at);
    leave_place();
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
