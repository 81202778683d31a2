// Everything that does not move, as the fixed camera sees it.
#pragma once

#include <limits>
#include <vector>

#include "divs/synth/picture.hpp"
#include "divs/synth/scene.hpp"

namespace divs::synth {

// Larger than the pictures by `margin` pixels on each side, for camera shake.
struct Background {
    int margin = 0;
    Picture picture;
    // (height, width) with margins. Distance along the line of sight to what stands on the ground; infinite
    // elsewhere.
    std::vector<float> depth;
    // Place on the road plane; s is NaN where the pixel does not show the ground.
    std::vector<RoadPoint> ground;
};

Background render_background(const Scene& scene, const Conditions& conditions, int width, int height,
                             int margin);

}  // namespace divs::synth
