// Draws one vehicle into a sheet: shaded faces, windows, wheels and lamps, far parts first.
#pragma once

#include <vector>

#include "light.hpp"
#include "raster.hpp"
#include "shapes.hpp"

namespace divs::synth {

// A vehicle's axes in the world.
struct Pose {
    Vec3 origin, forward, left;
    Vec3 place(Vec3 p) const noexcept { return origin + forward * p.x + left * p.y + Vec3{0, 0, p.z}; }
    Vec3 turn(Vec3 v) const noexcept { return forward * v.x + left * v.y + Vec3{0, 0, v.z}; }
};

Pose pose_of(const Scene& scene, const Vehicle& vehicle, Direction direction) noexcept;

class VehiclePainter {
  public:
    VehiclePainter(const Scene& scene, const Conditions& conditions);

    const Shape& shape(const Vehicle& vehicle) const;
    // Picture area that the vehicle's bounding box covers, not clipped to a picture; empty when it is not in
    // front of the camera. Pixels, as left, right, top, bottom.
    struct Bounds {
        float left = 1e9F, right = -1e9F, top = 1e9F, bottom = -1e9F;
    };
    Bounds bounds(const Camera& camera, const Vehicle& vehicle, const Pose& pose) const;
    // The sheet must be open.
    void draw(Sheet& sheet, const Camera& camera, const Vehicle& vehicle, const Pose& pose) const;

  private:
    struct Colours {
        Vec3 paint, cargo, cloth;
    };
    struct Brush;  // one vehicle being drawn

    const Scene& scene_;
    const Conditions& conditions_;
    Tone tone_;
    std::vector<std::vector<Shape>> shapes_;  // by class, variant
};

}  // namespace divs::synth
