// The pixels of a decoded frame as up to three 8-bit channels, and what they mean as colours.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "divs/video/convert.hpp"

struct AVFrame;

namespace divs::video {

struct Channel {
    const std::uint8_t* data = nullptr;   // of the plane; several channels may lie in one
    std::ptrdiff_t stride = 0;            // bytes from row to row; may be negative
    int step = 1;                         // bytes from sample to sample
    int offset = 0;                       // bytes from the start of a row to the first sample
    int width = 0, height = 0;            // in samples
    int log2_width = 0, log2_height = 0;  // how much coarser than the picture
};

struct Picture {
    int width = 0, height = 0;
    int channels = 0;  // 1: grey, 3: Y U V or R G B
    std::array<Channel, 3> channel;
    bool rgb = false, full_range = false;
    double kr = 0, kb = 0;  // luma weights of red and blue
};

// Rows of (channel 0, 1, 2, 1) -> R, G, B in 0..255.
using ColourMap = std::array<std::array<float, 4>, 3>;
ColourMap colour_map(const Picture& picture, const View& view);

// A frame that lies in a device's memory (convertible_on_device): its channels have addresses there.
Picture picture_on_device(const AVFrame& frame);

// Looks at frames as Pictures; those with other than 8 bits a channel are first brought there by libswscale,
// at their own size, matrix and range.
class PictureReader {
  public:
    PictureReader();
    ~PictureReader();
    PictureReader(PictureReader&&) noexcept;
    // Valid until the frame is freed or the next call. InputError for a format that cannot be read.
    Picture read(const AVFrame& frame);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::video
