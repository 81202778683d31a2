#include "divs/synth/plan.hpp"

#include <algorithm>
#include <cmath>

#include "divs/core/error.hpp"
#include "draw.hpp"

namespace divs::synth {
namespace {

int scene_count(const SynthOptions& o) {
    return o.scenes > 0 ? o.scenes : std::max(3, o.videos / 2);
}

int share_of(double share, int scenes) {
    return share > 0 ? std::max(1, static_cast<int>(std::lround(share * scenes))) : 0;
}

// A split for each scene, and the scene's place among those of its split.
struct SceneSplit {
    video::Split split;
    int place;
};

std::vector<SceneSplit> split_scenes(const SynthOptions& o) {
    const int scenes = scene_count(o), val = share_of(o.val_share, scenes),
              test = share_of(o.test_share, scenes);
    const auto order = keyed(o.seed, Purpose::plan, 0).permutation(static_cast<std::uint32_t>(scenes));
    std::vector<SceneSplit> splits(order.size());
    for (int i = 0; i < scenes; ++i) {
        const video::Split split = i < val          ? video::Split::val
                                   : i < val + test ? video::Split::test
                                                    : video::Split::train;
        const int place = i < val ? i : i < val + test ? i - val : i - val - test;
        splits[order[static_cast<std::size_t>(i)]] = {split, place};
    }
    return splits;
}

}  // namespace

Level level_of(double density) noexcept {
    std::size_t level = 0;
    while (level + 1 < level_bounds.size() && density >= level_bounds[level + 1]) ++level;
    return static_cast<Level>(level);
}

void check_options(const SynthOptions& o) {
    const auto need = [](bool good, const char* option, const auto& value, const char* expected) {
        if (!good) throw_error<ConfigError>("{} {}: expected {}", option, value, expected);
    };
    need(o.videos >= 1 && o.videos <= 100000, "--videos", o.videos, "1 to 100000");
    need(o.seconds > 0 && o.seconds <= 86400, "--seconds", o.seconds, "more than 0, at most a day");
    need(o.width >= 64 && o.width <= 4096 && o.width % 2 == 0, "--size: width", o.width,
         "an even number from 64 to 4096");
    need(o.height >= 48 && o.height <= 2304 && o.height % 2 == 0, "--size: height", o.height,
         "an even number from 48 to 2304");
    const double aspect = static_cast<double>(o.height) / o.width;
    need(aspect > 0.4 && aspect < 1.3, "--size: height / width", aspect, "0.4 to 1.3");
    need(o.fps >= 1 && o.fps <= 120, "--fps", o.fps, "1 to 120");
    need(o.seconds * o.fps >= 1, "--seconds", o.seconds, "at least one frame");
    need(o.scenes >= 0 && o.scenes <= o.videos, "--scenes", o.scenes, "0 to the number of videos");
    need(o.interval > 0, "--interval", o.interval, "more than 0 seconds");
    need(o.gop >= 1 && o.gop <= 10000, "--gop", o.gop, "1 to 10000");
    need(o.bframes >= 0 && o.bframes <= 16, "--bframes", o.bframes, "0 to 16");
    need(o.quality >= 0 && o.quality <= 51, "--quality", o.quality, "0 to 51");
    need(o.crop >= 16 && o.crop <= 1024 && o.crop % 2 == 0, "--crop", o.crop,
         "an even number from 16 to 1024");
    need(o.threads >= 0 && o.threads <= 1024, "--threads", o.threads, "0 to 1024");
    need(o.container == "mp4" || o.container == "mkv", "--container", o.container, "mp4 or mkv");
    need(o.codec == "h264" || o.codec == "hevc" || o.codec == "mpeg4" || o.codec == "mjpeg", "--codec",
         o.codec, "h264, hevc, mpeg4 or mjpeg");
    need(!o.open_gop || ((o.codec == "h264" || o.codec == "hevc") && o.bframes > 0),
         "--open-gop with --codec", o.codec, "h264 or hevc with --bframes above 0");
    for (const double share : {o.val_share, o.test_share, o.night_share, o.dusk_share, o.rain_share}) {
        need(share >= 0 && share <= 1, "a share of", share, "0 to 1");
    }
    need(o.night_share + o.dusk_share <= 1, "--night-share + --dusk-share", o.night_share + o.dusk_share,
         "at most 1");
    const int scenes = scene_count(o), held = share_of(o.val_share, scenes) + share_of(o.test_share, scenes);
    need(held < std::min(scenes, o.videos), "--val-share and --test-share", held,
         "fewer scenes than there are, to train on the rest");
}

std::vector<VideoPlan> plan_videos(const SynthOptions& o) {
    check_options(o);
    const auto splits = split_scenes(o);
    const auto count = static_cast<std::uint32_t>(o.videos);
    const auto light = keyed(o.seed, Purpose::plan, 1).permutation(count);
    const auto rain = keyed(o.seed, Purpose::plan, 2).permutation(count);
    std::vector<VideoPlan> plans;
    for (int i = 0; i < o.videos; ++i) {
        VideoPlan p;
        p.number = i;
        p.scene = i % static_cast<int>(splits.size());
        const SceneSplit& split = splits[static_cast<std::size_t>(p.scene)];
        p.split = split.split;
        const int round = i / static_cast<int>(splits.size());
        // Two rounds further in the levels each time: a scene's videos differ much, and all scenes together
        // are balanced.
        p.level = static_cast<Level>((split.place + 2 * round) % static_cast<int>(level_names.size()));
        const auto number = static_cast<std::size_t>(i);
        const double shade = (light[number] + 0.5) / o.videos, wet = (rain[number] + 0.5) / o.videos;
        p.daylight = shade < o.night_share                  ? Daylight::night
                     : shade < o.night_share + o.dusk_share ? Daylight::dusk
                                                            : Daylight::day;
        p.rain = wet < o.rain_share;
        p.name = fmt::format("v{:04}", i);
        p.group = fmt::format("scene{:03}", p.scene);
        plans.push_back(std::move(p));
    }
    return plans;
}

}  // namespace divs::synth
