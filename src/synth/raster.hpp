// Anti-aliased convex polygons: filled in a sheet of 2 x 2 samples a pixel, then laid over a picture.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "divs/synth/geometry.hpp"

namespace divs::synth {

using Rgb = std::array<std::uint8_t, 3>;

// Pixels [left, right) x [top, bottom).
struct PixelBox {
    int left = 0, right = 0, top = 0, bottom = 0;
    bool empty() const noexcept { return left >= right || top >= bottom; }
    int width() const noexcept { return right - left; }
    int height() const noexcept { return bottom - top; }
};

class Sheet {
  public:
    static constexpr int oversample = 2;

    // Starts anew: transparent, covering `box` of a picture.
    void open(const PixelBox& box);
    const PixelBox& box() const noexcept { return box_; }

    // Corners in picture coordinates, in either sense of rotation; colour runs from `high` at the polygon's
    // upper end to `low` at its lower end.
    void fill(std::span<const Vec2> corners, Rgb high, Rgb low);

    // A sample's colour with 0xFF in the top byte, 0 where nothing was drawn. Rows of width() * oversample.
    const std::uint32_t* row(int y) const noexcept {
        return samples_.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(across_);
    }
    // Pixels that any sample of was drawn.
    const PixelBox& touched() const noexcept { return touched_; }

  private:
    PixelBox box_, touched_;
    int across_ = 0, down_ = 0;
    std::vector<std::uint32_t> samples_;
};

}  // namespace divs::synth
