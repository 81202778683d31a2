// A place with a road and a fixed camera, and the light and weather of one recording there.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "divs/synth/geometry.hpp"
#include "divs/synth/traffic.hpp"

namespace divs::synth {

// What lines the road.
enum class Surroundings : std::uint8_t { city, suburb, forest, field };

// Colours are linear light, 1 = a white surface in full sun.
struct Scene {
    std::uint64_t seed = 0;  // of textures and of what stands where
    CentreLine line;
    std::vector<Lane> lanes;
    float lane_width = 3.5F;
    float left = -8, right = 8;               // edges of the asphalt, d
    float median_left = 0, median_right = 0;  // between the directions, d; equal where there is none
    bool barrier = false;                     // on the median
    double speed_limit = 27;                  // m/s
    Surroundings surroundings = Surroundings::field;
    Vec3 asphalt{0.12F, 0.12F, 0.125F};
    Vec3 verge{0.1F, 0.14F, 0.05F};
    float lamp_spacing = 0;  // metres between street lamps, 0: none
    bool lamps_left = false;
    float gantry = 0;  // place of a sign gantry, s; 0: none
    bool guard_rails = false;
    Camera camera;               // for pictures of width 1: scale focal and centre by the width
    float near = 10, far = 100;  // stretch of road that is watched, s: labels and counts are taken there
    float count_at = 30;         // count line, s
};

enum class Daylight : std::uint8_t { day, dusk, night };
inline constexpr std::array daylight_names{std::string_view("day"), std::string_view("dusk"),
                                           std::string_view("night")};

struct Conditions {
    Daylight daylight = Daylight::day;
    bool overcast = false;
    float rain = 0;  // 0 dry .. 1 heavy
    // Light.
    Vec3 to_sun{0.3F, 0.3F, 0.9F};  // unit vector
    Vec3 sun{1, 1, 1}, ambient{0.3F, 0.3F, 0.35F};
    Vec3 sky_high{0.2F, 0.4F, 0.8F}, sky_low{0.6F, 0.7F, 0.8F};
    Vec3 haze{0.6F, 0.65F, 0.7F};
    float haze_density = 0.001F;  // 1 / metres
    Vec3 lamp{0, 0, 0};           // light of a street lamp under it
    bool headlights = false;
    // Camera electronics.
    float exposure = 1, gamma = 2, saturation = 1;
    Vec3 balance{1, 1, 1};
    float noise = 2;  // standard deviation, of 255
    float shake = 0;  // standard deviation of the picture's movement, in 1/1000 of its width
};

// A function of (seed, number) alone. `aspect` is height / width of the pictures to come.
Scene make_scene(std::uint64_t seed, std::uint64_t number, float aspect);

// A function of its arguments alone; `video` numbers the recording.
Conditions make_conditions(std::uint64_t seed, std::uint64_t video, Daylight daylight, bool rain);

// The scene's camera for pictures of this width in pixels.
Camera camera_for(const Scene& scene, int width);

// Light of the street lamps on the ground at a place of the road, 0 (none) .. about 1.
float lamp_light(const Scene& scene, RoadPoint at) noexcept;
// The lamps' side of the road and their reach over it.
float lamp_offset(const Scene& scene) noexcept;

}  // namespace divs::synth
