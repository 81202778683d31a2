// The pixels of a clip on their way from the decoder to the step that reads them. The backend that computes
// says in which memory they wait: where that is a device's, they are copied ahead of the step, or are made
// there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace divs {

class DevicePictures;

// One clip's: (frames, height, width, 3) RGB, 8 bit. One thread fills it; then another may hand it to the
// backend.
class Pixels {
  public:
    virtual ~Pixels() = default;
    virtual std::size_t size() const noexcept = 0;  // bytes
    // Memory of the host for some of them, to write before filled() and to read as long as it lives. What a
    // device wrote is not seen there.
    virtual std::span<std::uint8_t> host(std::size_t offset, std::size_t bytes) = 0;
    std::span<std::uint8_t> host() { return host(0, size()); }
    virtual void filled() {}  // all is written: the way to where it is needed may begin
};

// Any thread may call.
class PixelMemory {
  public:
    virtual ~PixelMemory() = default;
    virtual std::unique_ptr<Pixels> allocate(std::size_t bytes) = 0;  // with any content
    // What turns pictures that a decoder left in a device's memory into Pixels of this memory; null where
    // nothing does.
    virtual DevicePictures* pictures() noexcept { return nullptr; }
};

// The host's own memory.
std::shared_ptr<PixelMemory> host_pixels();

}  // namespace divs
