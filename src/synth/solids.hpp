// What stands beside and over the road: buildings, trees, lamp posts, rails, a sign gantry.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "divs/synth/scene.hpp"

namespace divs::synth {

enum class Surface : std::uint8_t { facade, foliage, bark, metal, concrete, sign, lamp };

// A box, or for foliage the ellipsoid in it, turned about the vertical.
struct Solid {
    Surface surface = Surface::metal;
    Vec3 centre, half;           // metres
    float cosine = 1, sine = 0;  // of its turn about the vertical, to the right
    Vec3 colour{0.4F, 0.4F, 0.4F};
    std::uint32_t seed = 0;
};

struct Hit {
    float t = 0;  // along the ray, in lengths of its direction
    Vec3 normal;  // of unit length
    Vec3 local;   // the place in the solid's own axes, metres from its centre
};

std::optional<Hit> intersect(const Solid& solid, Vec3 origin, Vec3 direction) noexcept;

std::vector<Solid> build_solids(const Scene& scene);

}  // namespace divs::synth
