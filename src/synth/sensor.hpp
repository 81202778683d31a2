// Between the lens and the file: movement of the mast, rain, noise and colour processing.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "background.hpp"
#include "divs/synth/picture.hpp"
#include "divs/synth/scene.hpp"

namespace divs::synth {

// Pixels that the margin around a background must have for this width.
int shake_margin(int width) noexcept;

class Sensor {
  public:
    Sensor(const Conditions& conditions, int width, int height, std::uint64_t seed);

    // How far the picture has moved, pixels; never beyond the margin.
    Vec2 shake(std::uint64_t frame, double seconds) const;
    void draw_rain(Picture& picture, std::uint64_t frame) const;
    void finish(Picture& picture, std::uint64_t frame) const;  // noise, saturation

  private:
    const Conditions& conditions_;
    int width_, height_;
    std::uint64_t seed_;
    std::vector<std::int8_t> noise_;  // normal deviates scaled to the sensor's noise
    std::array<float, 4> phases_{};
};

// Copies the background, moved by `shift` pixels, bilinearly.
void copy_moved(const Background& background, Vec2 shift, Picture& picture);

// Adds light around a point: full at the centre, nothing at the radii. Values of 255 a plane.
void add_glow(Picture& picture, Vec2 at, float radius_x, float radius_y, Vec3 light) noexcept;

}  // namespace divs::synth
