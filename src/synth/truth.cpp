#include "truth.hpp"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "divs/core/error.hpp"

namespace divs::synth {
namespace {

using Json = nlohmann::ordered_json;

double rounded(double v, double steps = 100) {
    return std::round(v * steps) / steps;
}
Json vector_of(Vec3 v) {
    return {v.x, v.y, v.z};
}

Json camera_json(const Scene& scene, int width) {
    const Camera c = camera_for(scene, width);
    return {{"position", vector_of(c.position)},
            {"right", vector_of(c.right)},
            {"down", vector_of(c.down)},
            {"forward", vector_of(c.forward)},
            {"focal", c.focal},
            {"centre", {c.centre.x, c.centre.y}}};
}

// The count line's ends in the picture, without camera shake.
Json count_line_json(const Scene& scene, int width) {
    const Camera c = camera_for(scene, width);
    const Vec2 left = c.project(scene.line.at({scene.count_at, scene.left}));
    const Vec2 right = c.project(scene.line.at({scene.count_at, scene.right}));
    return {{"s", rounded(scene.count_at)},
            {"from", {rounded(left.x), rounded(left.y)}},
            {"to", {rounded(right.x), rounded(right.y)}}};
}

Json header_json(const SynthOptions& o, const VideoPlan& plan, const Recording& recording,
                 const VideoTruth& truth) {
    const Scene& scene = recording.scene();
    const Conditions& c = recording.conditions();
    Json lanes = Json::array();
    for (const Lane& lane : scene.lanes) {
        lanes.push_back({{"direction", direction_names[static_cast<std::size_t>(lane.direction)]},
                         {"d", rounded(lane.d)}});
    }
    return {{"type", "video"},
            {"file", truth.file},
            {"seed", o.seed},
            {"group", plan.group},
            {"split", video::split_name(plan.split)},
            {"width", o.width},
            {"height", o.height},
            {"fps", o.fps},
            {"time_base", {truth.time_base.num, truth.time_base.den}},
            {"frames", truth.frames.size()},
            {"daylight", daylight_names[static_cast<std::size_t>(c.daylight)]},
            {"overcast", c.overcast},
            {"rain", rounded(c.rain)},
            {"lanes", lanes},
            {"curvature", scene.line.curvature},
            {"watched", {{"from", rounded(scene.near)}, {"to", rounded(scene.far)}}},
            {"count_line", count_line_json(scene, o.width)},
            {"camera", camera_json(scene, o.width)}};
}

Json frame_json(const FrameTruth& frame, std::size_t number) {
    Json boxes = Json::array();
    for (const Box& b : frame.boxes) {
        boxes.push_back({{"track", b.track},
                         {"class", vehicle_class_names[static_cast<std::size_t>(b.kind)]},
                         {"x", b.x},
                         {"y", b.y},
                         {"w", b.width},
                         {"h", b.height},
                         {"visible", rounded(b.visible)},
                         {"inside", rounded(b.inside)},
                         {"lane", b.lane},
                         {"direction", direction_names[static_cast<std::size_t>(b.direction)]},
                         {"speed", rounded(b.speed)},
                         {"s", rounded(b.s)},
                         {"foot", {rounded(b.foot.x), rounded(b.foot.y)}}});
    }
    return {{"type", "frame"},
            {"frame", number},
            {"pts", frame.pts},
            {"time", rounded(frame.seconds, 1e6)},
            {"density", rounded(frame.density)},
            {"boxes", boxes}};
}

Json crossing_json(const Crossing& c) {
    return {{"type", "crossing"},
            {"track", c.track},
            {"class", vehicle_class_names[static_cast<std::size_t>(c.kind)]},
            {"lane", c.lane},
            {"direction", direction_names[static_cast<std::size_t>(c.direction)]},
            {"time", rounded(c.seconds, 1e4)}};
}

}  // namespace

void write_truth(const std::filesystem::path& file, const SynthOptions& options, const VideoPlan& plan,
                 const Recording& recording, const VideoTruth& truth) {
    std::ofstream out(file);
    out << header_json(options, plan, recording, truth).dump() << '\n';
    for (std::size_t i = 0; i < truth.frames.size(); ++i)
        out << frame_json(truth.frames[i], i).dump() << '\n';
    for (const Crossing& c : recording.crossings()) out << crossing_json(c).dump() << '\n';
    for (const LevelInterval& i : recording.intervals()) {
        out << Json{{"type", "level"},
                    {"start", rounded(i.start, 1e6)},
                    {"end", rounded(i.end, 1e6)},
                    {"level", level_names[static_cast<std::size_t>(i.level)]},
                    {"density", rounded(i.density)}}
                   .dump()
            << '\n';
    }
    out.flush();
    if (!out) throw_error<StorageError>("{}: cannot write the ground truth", file.string());
}

}  // namespace divs::synth
