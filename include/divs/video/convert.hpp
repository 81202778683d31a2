// From a decoded frame to the pixels a model reads, in one pass: crop, resize, YUV -> RGB by the frame's matrix and
// range, flip and colour jitter.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

struct AVFrame;

namespace divs::video {

// Part of the source picture, in fractions of its width and height.
struct CropBox {
    double x = 0, y = 0, width = 1, height = 1;
};

// How one sample is shown to the model. The default shows the whole picture as it is.
struct View {
    CropBox crop;
    bool flip = false;  // left-right
    // out = colour * (R, G, B, 1), values 0..1: brightness, contrast and saturation as one affine map.
    std::array<std::array<float, 4>, 3> colour{{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}};
};

// Resizes with a triangle filter whose support grows with the scale (anti-aliased bilinear, as PIL's and swscale's
// "bilinear" do), cut at the picture's border. Matrix and range are the frame's; where it does not say, BT.709 from 720
// lines on and BT.601 below, limited range but for JPEG and grey formats. Chroma samples are taken to lie in the middle
// of the pixels they belong to. Within one level of the exact result, and the same bytes on every processor; checked
// against swscale.
class Converter {
  public:
    Converter(int out_width, int out_height);
    ~Converter();
    Converter(Converter&&) noexcept;

    // rgb: (out_height, out_width, 3), 8 bit. Any pixel format that libav knows: those with 8 bits a channel are read as
    // they are, the others pass through one libswscale conversion first. InputError for what cannot be read.
    void convert(const AVFrame& frame, const View& view, std::span<std::uint8_t> rgb);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// What training augmentation may do. Zero or one means off.
struct AugmentOptions {
    double min_scale = 1;       // random resized crop: area in [min_scale, 1] of the picture
    double max_aspect = 1;      // its aspect ratio in [1 / max_aspect, max_aspect] of the picture's
    bool flip = false;
    double brightness = 0, contrast = 0, saturation = 0;  // factors in [1 - v, 1 + v]
};

// The view of a sample in an epoch: a function of (seed, epoch, sample) alone, one for all frames of a clip.
View augmented_view(const AugmentOptions& options, std::uint64_t seed, std::uint64_t epoch, std::uint64_t sample);

}  // namespace divs::video
