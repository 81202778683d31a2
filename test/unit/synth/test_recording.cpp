// Recordings: the same seed gives the same frames, and the truth agrees with itself.
#include <algorithm>
#include <cmath>
#include <map>

#include "divs/synth/recording.hpp"
#include "support/catch.hpp"

using namespace divs;
using namespace divs::synth;

namespace {

SynthOptions small(std::uint64_t seed) {
    SynthOptions o;
    o.videos = 10;
    o.seconds = 1.5;
    o.width = 160;
    o.height = 90;
    o.fps = 10;
    o.seed = seed;
    return o;
}

std::vector<std::uint64_t> frame_hashes(const SynthOptions& o, const VideoPlan& plan) {
    Recording recording(o, plan);
    std::vector<std::uint64_t> hashes;
    FrameTruth truth;
    while (const Picture* picture = recording.next(truth)) hashes.push_back(hash_of(*picture));
    return hashes;
}

}  // namespace

TEST_CASE("the same seed gives the same frames, another seed other frames") {
    const SynthOptions o = small(5), other = small(6);
    const auto plans = plan_videos(o), other_plans = plan_videos(other);
    for (const std::size_t n : {0U, 3U, 7U}) {
        const auto first = frame_hashes(o, plans[n]);
        CHECK(first.size() == 15);
        CHECK(frame_hashes(o, plans[n]) == first);
        const auto changed = frame_hashes(other, other_plans[n]);
        for (std::size_t i = 0; i < first.size(); ++i) CHECK(first[i] != changed[i]);
    }
}

TEST_CASE("boxes lie in the picture, and tracks move without jumps") {
    SynthOptions o = small(8);
    o.seconds = 3;
    for (const VideoPlan& plan : plan_videos(o)) {
        Recording recording(o, plan);
        FrameTruth truth;
        std::map<std::uint32_t, Box> before;
        double time_before = 0;
        while (recording.next(truth)) {
            std::map<std::uint32_t, Box> now;
            for (const Box& b : truth.boxes) {
                CHECK(b.x >= 0);
                CHECK(b.y >= 0);
                CHECK(b.x + b.width <= o.width);
                CHECK(b.y + b.height <= o.height);
                CHECK(b.visible > 0);
                CHECK(b.visible <= 1);
                CHECK(b.inside > 0);
                CHECK(now.emplace(b.track, b).second);
                const auto old = before.find(b.track);
                if (old == before.end()) continue;
                CHECK(old->second.kind == b.kind);
                CHECK(std::fabs(b.s - old->second.s) <= 45 * (truth.seconds - time_before));  // m/s
            }
            before = std::move(now);
            time_before = truth.seconds;
        }
    }
}

TEST_CASE("crossings are the changes of side of tracks at the count line") {
    SynthOptions o = small(9);
    o.seconds = 6;
    int total = 0;
    for (const VideoPlan& plan : plan_videos(o)) {
        Recording recording(o, plan);
        FrameTruth truth;
        const double line = recording.scene().count_at;
        std::map<std::uint32_t, double> side;
        std::map<std::uint32_t, std::pair<double, double>> changed;  // track -> between which times
        double before = 0;
        while (recording.next(truth)) {
            for (const Box& b : truth.boxes) {
                const auto [at, fresh] = side.emplace(b.track, b.s - line);
                if (!fresh && (at->second < 0) != (b.s - line < 0))
                    changed[b.track] = {before, truth.seconds};
                at->second = b.s - line;
            }
            before = truth.seconds;
        }
        std::map<std::uint32_t, Crossing> counted;
        double last = 0;
        for (const Crossing& c : recording.crossings()) {
            CHECK(counted.emplace(c.track, c).second);
            CHECK(c.seconds >= last);
            last = c.seconds;
        }
        // A hidden vehicle has no box, so not every crossing is seen; every seen one must be counted.
        for (const auto& [track, when] : changed) {
            ++total;
            REQUIRE(counted.contains(track));
            CHECK(counted[track].seconds <= when.second + 1e-9);
        }
        CHECK(counted.size() >= changed.size());
        CHECK(counted.size() <= changed.size() + 6);
    }
    CHECK(total > 20);
}

TEST_CASE("levels are ordered by density and mostly what the plan asks for") {
    SynthOptions o = small(10);
    o.videos = 40;
    o.seconds = 2;
    o.interval = 1;
    std::map<Level, std::vector<double>> density;
    int wanted = 0, all = 0;
    for (const VideoPlan& plan : plan_videos(o)) {
        const Recording recording(o, plan);
        double end = 0;
        for (const LevelInterval& i : recording.intervals()) {
            CHECK(i.start == end);
            end = i.end;
            CHECK(level_of(i.density) == i.level);
            density[plan.level].push_back(i.density);
            wanted += i.level == plan.level;
            ++all;
        }
        CHECK(end == Approx(2).margin(1e-6));
    }
    CHECK(wanted >= 0.95 * all);
    double last = -1;
    for (const auto& [level, values] : density) {
        double sum = 0;
        for (const double v : values) sum += v;
        CHECK(sum / static_cast<double>(values.size()) > last);
        last = sum / static_cast<double>(values.size());
    }
}

TEST_CASE("a variable frame rate has irregular times that only grow") {
    SynthOptions o = small(11);
    o.variable_rate = true;
    o.seconds = 4;
    Recording recording(o, plan_videos(o)[2]);
    FrameTruth truth;
    std::vector<double> times;
    while (recording.next(truth)) times.push_back(truth.seconds);
    std::vector<double> gaps;
    for (std::size_t i = 1; i < times.size(); ++i) gaps.push_back(times[i] - times[i - 1]);
    REQUIRE(gaps.size() > 10);
    CHECK(*std::min_element(gaps.begin(), gaps.end()) >= 0.001);
    CHECK(*std::max_element(gaps.begin(), gaps.end()) > 1.2 * *std::min_element(gaps.begin(), gaps.end()));
}
