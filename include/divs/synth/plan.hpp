// Which recordings a data set has: scenes, splits, congestion levels, light and weather, fixed before
// anything is drawn.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "divs/synth/scene.hpp"
#include "divs/video/dataset.hpp"

namespace divs::synth {

// How crowded the watched stretch of road is, by its mean density in vehicles per kilometre and lane.
enum class Level : std::uint8_t { empty, low, medium, high, jam };
inline constexpr std::array level_names{std::string_view("empty"), std::string_view("low"),
                                        std::string_view("medium"), std::string_view("high"),
                                        std::string_view("jam")};
// A level reaches from its own bound to the next one's.
inline constexpr std::array<double, 5> level_bounds{0, 2, 13, 32, 68};
Level level_of(double density) noexcept;

enum class Task { level, vehicles };  // congestion of clips | class of single vehicles, as image crops

struct SynthOptions {
    Task task = Task::level;
    int videos = 240;
    double seconds = 3;             // of each video
    int width = 320, height = 180;  // even
    double fps = 12;
    std::uint64_t seed = 1;
    int scenes = 0;                                                 // cameras; 0: one for every two videos
    double val_share = 0.2, test_share = 0.1;                       // of the scenes
    double night_share = 0.2, dusk_share = 0.1, rain_share = 0.15;  // of the videos
    double interval = 1.5;       // seconds that a congestion level is stated for
    bool variable_rate = false;  // irregular frame times
    std::string codec = "h264", container = "mp4";
    int gop = 24;
    bool open_gop = false;
    int bframes = 2;
    int quality = 26;
    int crop = 64;    // pixels, width and height of the crops of single vehicles
    int threads = 0;  // 0: one for each usable core
    bool preview = false;
    bool force = false;
};

// Throws ConfigError naming the option that cannot be used.
void check_options(const SynthOptions& options);

struct VideoPlan {
    int number = 0, scene = 0;
    video::Split split = video::Split::train;
    Level level = Level::medium;  // that its traffic is made for
    Daylight daylight = Daylight::day;
    bool rain = false;
    std::string name;   // "v0012"
    std::string group;  // "scene003"
};

// A function of the options that say what is rendered (not of codec, threads or preview). Levels are equally
// frequent in each split; a scene is in one split.
std::vector<VideoPlan> plan_videos(const SynthOptions& options);

}  // namespace divs::synth
