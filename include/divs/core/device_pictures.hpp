// Pictures that a hardware decoder left in a device's memory, and what turns them into a clip's pixels there.
// Backends implement it; video knows no device.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "divs/core/pixels.hpp"

namespace divs {

// 8-bit samples of one channel in the device's memory.
struct DevicePlane {
    const std::uint8_t* data = nullptr;
    int stride = 0;  // bytes from row to row
    int step = 1;    // bytes from sample to sample: 2 for the chroma of NV12
};

// Output i is the sum of `count` samples from `first`, weighted by weights[offset ...].
struct FilterWindow {
    std::int32_t first = 0, count = 0;
    std::uint32_t offset = 0;
};
struct DeviceFilter {
    std::span<const FilterWindow> windows;  // one an output
    std::span<const float> weights;
};

// What becomes of a picture: (height, width, 3) RGB, 8 bit.
struct PictureJob {
    std::array<DevicePlane, 3> planes;  // Y, U, V
    DeviceFilter luma_down, luma_across, chroma_down, chroma_across;
    std::array<std::array<float, 4>, 3> colour{};  // rows of (Y, U, V, 1) -> R, G, B in levels, 0..255
    int width = 0, height = 0;
};

class PictureConverter {
  public:
    virtual ~PictureConverter() = default;
    // Queues the conversion behind what wrote the picture, to the bytes of `to` from `offset` on. The picture
    // may be given back at once, to who writes the next one in the same queue.
    virtual void convert(const PictureJob& job, Pixels& to, std::size_t offset) = 0;
};

class DevicePictures {
  public:
    virtual ~DevicePictures() = default;
    virtual void* context() const = 0;         // in which the device is used: a CUcontext
    virtual void* queue() const noexcept = 0;  // in which decoders must write: a cudaStream_t
    virtual std::unique_ptr<PictureConverter> make_converter() = 0;  // one for each thread
};

}  // namespace divs
