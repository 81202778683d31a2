// What changes with every step beside the pixels, at fixed device addresses, so that a recorded step reads
// the numbers of the step that it is run for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "divs/nn/backend.hpp"
#include "memory.hpp"

namespace divs::nn::cuda {

class StepData {
  public:
    static constexpr std::size_t most_rows = std::size_t{1} << 16;  // clips of one batch on one device
    static constexpr std::size_t most_classes = std::size_t{1} << 16;

    explicit StepData(const Device& device);

    // Copies to the device, in the order of its stream; nothing while the stream records a graph.
    void stage(const StepContext& step);
    void stage(std::span<const std::int32_t> labels, std::span<const float> class_weights, int classes);

    const std::uint64_t* seed_and_epoch() const noexcept;  // device: seed, epoch
    const std::uint64_t* samples() const noexcept;         // device: one a clip
    const std::int32_t* labels() const noexcept;           // device: one a clip
    const float* class_weights() const noexcept;           // device: all 1 where there are none

  private:
    // More than a step and the one before it call stage(): nobody waits for a place.
    static constexpr std::size_t places = 16;

    // A place in pinned memory, which a copy can be queued from without waiting for what is queued before it;
    // its last copy is over.
    std::byte* next_place(std::size_t bytes);
    void copy(const std::byte* from, std::size_t bytes, std::size_t at);
    void leave_place();  // all its copies are queued

    const Device& device_;
    DeviceBytes memory_;
    PinnedBytes pinned_;
    std::size_t place_bytes_ = 0, place_ = 0;
    std::array<EventHandle, places> copied_;
};

// Whether the device's stream is recording a graph.
bool is_recording(const Device& device);

}  // namespace divs::nn::cuda
