// What a data set consists of: balance, splits, options that cannot be used.
#include <cmath>
#include <map>
#include <set>

#include "divs/core/error.hpp"
#include "divs/synth/plan.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::synth;

TEST_CASE("splits never share a scene, levels are balanced, light and weather have their shares") {
    for (const int videos : {30, 100, 150}) {
        SynthOptions o;
        o.videos = videos;
        o.seed = static_cast<std::uint64_t>(videos);
        std::map<std::string, std::set<video::Split>> splits;
        std::map<video::Split, std::map<Level, int>> levels;
        int night = 0, rain = 0;
        for (const VideoPlan& p : plan_videos(o)) {
            splits[p.group].insert(p.split);
            ++levels[p.split][p.level];
            night += p.daylight == Daylight::night;
            rain += p.rain;
        }
        for (const auto& [group, in] : splits) CHECK(in.size() == 1);
        for (const auto& [split, count] : levels) {
            int least = videos, most = 0;
            for (std::size_t l = 0; l < level_names.size(); ++l) {
                const auto found = count.find(static_cast<Level>(l));
                least = std::min(least, found == count.end() ? 0 : found->second);
                most = std::max(most, found == count.end() ? 0 : found->second);
            }
            INFO(videos << " videos, split " << static_cast<int>(split));
            CHECK(most - least <= 2);
        }
        CHECK(std::abs(night - o.night_share * videos) <= 1);
        CHECK(std::abs(rain - o.rain_share * videos) <= 1);
    }
}

TEST_CASE("levels are read off the density at their bounds") {
    CHECK(level_of(0) == Level::empty);
    for (std::size_t i = 1; i < level_bounds.size(); ++i) {
        CHECK(level_of(level_bounds[i]) == static_cast<Level>(i));
        CHECK(level_of(level_bounds[i] - 0.01) == static_cast<Level>(i - 1));
    }
    CHECK(level_of(500) == Level::jam);
}

TEST_CASE("options that cannot be used are named") {
    const auto refused = [](auto change, const char* named) {
        SynthOptions o;
        change(o);
        CHECK_THROWS_MATCHES(check_options(o), ConfigError,
                             Catch::Matchers::Predicate<ConfigError>([&](const ConfigError& e) {
                                 return std::string(e.what()).find(named) != std::string::npos;
                             }));
    };
    refused([](auto& o) { o.width = 321; }, "--size");
    refused([](auto& o) { o.fps = 0; }, "--fps");
    refused([](auto& o) { o.codec = "vp9"; }, "--codec");
    refused([](auto& o) { o.videos = 0; }, "--videos");
    refused([](auto& o) { o.night_share = 0.7, o.dusk_share = 0.7; }, "--night-share");
    refused([](auto& o) { o.open_gop = true, o.codec = "mpeg4"; }, "--open-gop");
    refused([](auto& o) { o.scenes = 1; }, "--val-share");
    refused([](auto& o) { o.seconds = 1e-3; }, "--seconds");
}
