// One recording's pictures: what the fixed camera sees of given vehicles, frame by frame.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "divs/synth/picture.hpp"
#include "divs/synth/scene.hpp"
#include "divs/synth/traffic.hpp"

namespace divs::synth {

// A vehicle as it appears in a picture. Pixels of that picture, camera shake included.
struct Sighting {
    std::size_t vehicle = 0;  // place in the list given
    float x = 0, y = 0, width = 0,
          height = 0;   // smallest box of whole pixels around it, clipped to the picture
    float visible = 0;  // share of its pixels in the picture that nothing nearer hides
    float inside = 0;   // share of its whole box that lies in the picture
    Vec2 foot;          // where the middle of its footprint lies; may be outside the picture
};

class Renderer {
  public:
    // Pictures are a function of (scene, conditions, seed, frame number, time, vehicles). Keeps references.
    Renderer(const Scene& scene, const Conditions& conditions, int width, int height, std::uint64_t seed);
    ~Renderer();
    Renderer(Renderer&&) noexcept;

    // The picture stays valid until the next call. Sightings come nearest last and without vehicles that show
    // no pixel.
    const Picture& render(const std::vector<Vehicle>& vehicles, std::uint64_t frame, double seconds,
                          std::vector<Sighting>* sightings = nullptr);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::synth
