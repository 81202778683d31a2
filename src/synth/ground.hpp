// What vehicles do to the road under and before them: shadows and the light of their lamps.
#pragma once

#include <cstdint>
#include <vector>

#include "background.hpp"
#include "vehicle_painter.hpp"

namespace divs::synth {

class GroundEffects {
  public:
    GroundEffects(const Scene& scene, const Conditions& conditions, const Background& background, int width,
                  int height);

    // Shift: where the frame's (0, 0) lies in the background, pixels.
    void begin(int shift_x, int shift_y);
    void add_shadow(const Camera& camera, const Vehicle& vehicle, const Pose& pose, Direction direction);
    void darken(Picture& picture) const;  // by all shadows added
    void add_light(Picture& picture, const Camera& camera, const Vehicle& vehicle, const Pose& pose,
                   Direction direction) const;

  private:
    const RoadPoint& place(int x, int y) const noexcept;
    PixelBox area(const Camera& camera, const Pose& pose, float back, float front, float right,
                  float left) const;

    const Scene& scene_;
    const Conditions& conditions_;
    const Background& background_;
    int width_, height_, shift_x_ = 0, shift_y_ = 0;
    float cast_strength_ = 0;         // 0: no sun
    std::vector<std::uint8_t> mask_;  // (height, width): 255 is black
};

}  // namespace divs::synth
