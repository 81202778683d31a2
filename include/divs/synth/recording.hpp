// One video before it is encoded: traffic, pictures and ground truth, frame by frame.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "divs/synth/plan.hpp"
#include "divs/synth/renderer.hpp"

namespace divs::synth {

// A vehicle in a frame; pixels.
struct Box {
    std::uint32_t track = 0;
    VehicleClass kind = VehicleClass::car;
    int lane = 0;
    Direction direction = Direction::away;
    double speed = 0;  // m/s
    float x = 0, y = 0, width = 0, height = 0;
    float visible = 0, inside = 0;  // see Sighting
    Vec2 foot;
    double s = 0;  // metres along the road
};

struct FrameTruth {
    double seconds = 0;      // from the first frame
    std::int64_t pts = 0;    // in the file's time base; set where the frame is encoded
    double density = 0;      // vehicles per kilometre and lane on the watched stretch
    std::vector<Box> boxes;  // nearest last
};

// A vehicle's middle passed the count line.
struct Crossing {
    std::uint32_t track = 0;
    VehicleClass kind = VehicleClass::car;
    int lane = 0;
    Direction direction = Direction::away;
    double seconds = 0;
};

// A stretch of time [start, end) and how crowded the road was.
struct LevelInterval {
    double start = 0, end = 0, density = 0;
    Level level = Level::empty;
};

// Boxes narrower or lower than this many pixels are left out of the truth.
inline constexpr float smallest_box = 3;

class Recording {
  public:
    Recording(const SynthOptions& options, const VideoPlan& plan);
    ~Recording();
    Recording(Recording&&) noexcept;

    std::size_t frames() const noexcept;
    // The next frame, valid until the next call; null at the end.
    const Picture* next(FrameTruth& truth);

    const Scene& scene() const noexcept;
    const Conditions& conditions() const noexcept;
    // Of all frames; known before the first is drawn.
    const std::vector<LevelInterval>& intervals() const noexcept;
    // Of the frames given so far, in order of time.
    const std::vector<Crossing>& crossings() const noexcept;
    double seconds() const noexcept;  // length of the video, the last frame's stay included

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace divs::synth
