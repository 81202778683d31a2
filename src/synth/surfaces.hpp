// What the unmoving world is made of: the light that leaves the sky, the ground and whatever stands on it.
#pragma once

#include <cstdint>

#include "divs/synth/scene.hpp"
#include "solids.hpp"

namespace divs::synth {

class Surfaces {
  public:
    Surfaces(const Scene& scene, const Conditions& conditions)
        : scene_(scene), conditions_(conditions), texture_(static_cast<std::uint32_t>(scene.seed)) {}

    Vec3 of_sky(Vec3 direction) const;
    Vec3 of_solid(const Solid& solid, const Hit& hit) const;
    // footprint: metres that a pixel covers sideways; sunlit: 0 in shadow .. 1.
    Vec3 of_ground(Vec3 place, RoadPoint p, Vec3 direction, float footprint, float sunlit) const;

  private:
    Vec3 plain(const Solid& solid, const Hit& hit, Vec3 albedo) const;
    Vec3 facade(const Solid& solid, const Hit& hit) const;
    Vec3 road_albedo(RoadPoint p, float footprint) const;
    float marking(RoadPoint p) const;  // 1 on paint, 0 on asphalt

    const Scene& scene_;
    const Conditions& conditions_;
    std::uint32_t texture_;
};

}  // namespace divs::synth
