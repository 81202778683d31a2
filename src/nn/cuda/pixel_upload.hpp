// A batch of pixels on its way to the device: two pinned buffers in turn, so that the host fills one while
// the device still copies from the other.
#pragma once

#include <array>
#include <cstdint>

#include "memory.hpp"

namespace divs::nn::cuda {

class PixelUpload {
  public:
    explicit PixelUpload(const Device& device) : device_(device), bytes_(device, "a batch of pixels") {}

    // Device address of these bytes, in the order of the device's stream; `pixels` is free when it returns.
    const std::uint8_t* stage(const std::uint8_t* pixels, std::size_t bytes);

  private:
    struct Slot {
        PinnedBytes memory;
        std::size_t bytes = 0;
        EventHandle copied;
    };
    const Device& device_;
    GrowingBytes bytes_;
    std::array<Slot, 2> slots_;
    std::size_t next_ = 0;
};

}  // namespace divs::nn::cuda
