#include "divs/synth/recording.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_map>

#include "draw.hpp"

namespace divs::synth {
namespace {

// The density that traffic of a level is made with, and the range of measured densities that clearly is that
// level.
struct LevelTarget {
    double density, low, high;
};

constexpr LevelTarget targets[] = {{0.1, 0, 0.5}, {8, 5, 10.5}, {21, 17, 24.5}, {48, 41, 56}, {98, 82, 1e9}};
constexpr int attempts = 24;

std::vector<double> frame_times(const SynthOptions& o, int video) {
    const auto count = std::max<long>(1, std::lround(o.seconds * o.fps));
    std::vector<double> times;
    if (!o.variable_rate) {
        for (long i = 0; i < count; ++i) times.push_back(static_cast<double>(i) / o.fps);
        return times;
    }
    Draw draw(keyed(o.seed, Purpose::timing, static_cast<std::uint64_t>(video)));
    double at = 0;
    while (at < o.seconds - 1e-9) {
        times.push_back(at);
        const double frames =
            draw.chance(0.05) ? draw.range(3, 6) : draw.range(0.5, 1.5);  // now and then some are lost
        at += std::max(1.0, std::round(1000 * frames / o.fps)) / 1000;
    }
    return times;
}

// Level intervals from the density at each frame.
std::vector<LevelInterval> measure(const std::vector<double>& times, const std::vector<double>& density,
                                   double every, double end) {
    std::vector<LevelInterval> found;
    std::size_t i = 0;
    for (int n = 0; i < times.size(); ++n) {
        const double start = n * every;
        double stop = std::min(end, start + every);
        if (end - stop < every / 2) stop = end;  // no short rest
        double sum = 0;
        const std::size_t first = i;
        while (i < times.size() && (times[i] < stop || stop == end)) sum += density[i++];
        if (i == first) continue;
        const double mean = sum / static_cast<double>(i - first);
        found.push_back({start, stop, mean, level_of(mean)});
    }
    return found;
}

}  // namespace

struct Recording::Impl {
    SynthOptions options;
    VideoPlan plan;
    Scene scene;
    Conditions conditions;
    std::vector<double> times;
    TrafficOptions traffic_options;
    std::uint64_t traffic_key = 0;
    std::vector<LevelInterval> intervals;
    std::optional<Traffic> traffic;
    std::optional<Renderer> renderer;
    std::size_t position = 0;
    std::vector<Crossing> crossings;
    std::unordered_map<std::uint32_t, double> place_before;  // by track, s

    Impl(const SynthOptions& o, const VideoPlan& p);
    Traffic start(std::uint64_t attempt) const;
    std::vector<double> densities(Traffic& ring) const;
    double misfit(const std::vector<LevelInterval>& found) const;
    void find_traffic();
    void advance();
    void count(double before, double now);
};

Recording::Impl::Impl(const SynthOptions& o, const VideoPlan& p)
    : options(o),
      plan(p),
      scene(make_scene(o.seed, static_cast<std::uint64_t>(p.scene),
                       static_cast<float>(o.height) / static_cast<float>(o.width))),
      conditions(make_conditions(o.seed, static_cast<std::uint64_t>(p.number), p.daylight, p.rain)),
      times(frame_times(o, p.number)) {
    traffic_options.lanes = scene.lanes;
    traffic_options.speed_limit = scene.speed_limit;
    traffic_options.density = targets[static_cast<std::size_t>(p.level)].density;
    if (o.task == Task::vehicles) traffic_options.mix.fill(1.0 / 6);
    find_traffic();
}

Traffic Recording::Impl::start(std::uint64_t attempt) const {
    return Traffic(traffic_options, options.seed, static_cast<std::uint64_t>(Purpose::traffic),
                   static_cast<std::uint64_t>(plan.number) * 256 + attempt);
}

std::vector<double> Recording::Impl::densities(Traffic& ring) const {
    std::vector<double> found;
    for (std::size_t i = 0; i < times.size(); ++i) {
        if (i > 0) ring.advance(times[i] - times[i - 1]);
        found.push_back(ring.density(scene.near, scene.far));
    }
    return found;
}

// How far the intervals are from the range of the wanted level; 0 when all are in it.
double Recording::Impl::misfit(const std::vector<LevelInterval>& found) const {
    const LevelTarget& target = targets[static_cast<std::size_t>(plan.level)];
    double worst = 0;
    for (const LevelInterval& i : found)
        worst = std::max({worst, target.low - i.density, i.density - target.high});
    return worst;
}

// Density on the watched stretch varies: takes the first start whose levels are clear, or else the nearest to
// it.
void Recording::Impl::find_traffic() {
    double best = std::numeric_limits<double>::infinity();
    for (std::uint64_t attempt = 0; attempt < attempts && best > 0; ++attempt) {
        Traffic ring = start(attempt);
        const double end = times.size() > 1 ? times.back() + 1 / options.fps : 1 / options.fps;
        auto found = measure(times, densities(ring), options.interval, end);
        const double off = misfit(found);
        if (off >= best) continue;
        best = off;
        traffic_key = attempt;
        intervals = std::move(found);
    }
}

void Recording::Impl::count(double before, double now) {
    std::unordered_map<std::uint32_t, double> place_now;
    for (const Vehicle& v : traffic->vehicles()) {
        place_now.emplace(v.track, v.s);
        const auto old = place_before.find(v.track);
        if (old == place_before.end()) continue;
        const double from = old->second - scene.count_at, to = v.s - scene.count_at;
        if ((from < 0) == (to < 0)) continue;
        const Direction direction = scene.lanes[static_cast<std::size_t>(v.lane)].direction;
        crossings.push_back(
            {v.track, v.kind, v.lane, direction, before + (now - before) * from / (from - to)});
    }
    place_before = std::move(place_now);
}

void Recording::Impl::advance() {
    if (position == 0) {
        traffic.emplace(start(traffic_key));
        renderer.emplace(
            scene, conditions, options.width, options.height,
            Random(options.seed, Stream::synth, 99, static_cast<std::uint64_t>(plan.number)).bits(0));
        count(0, 0);
        return;
    }
    const double before = times[position - 1], now = times[position];
    traffic->advance(now - before);
    const std::size_t known = crossings.size();
    count(before, now);
    std::sort(crossings.begin() + static_cast<std::ptrdiff_t>(known), crossings.end(),
              [](const Crossing& a, const Crossing& b) {
                  return a.seconds < b.seconds || (a.seconds == b.seconds && a.track < b.track);
              });
}

Recording::Recording(const SynthOptions& options, const VideoPlan& plan)
    : impl_(std::make_unique<Impl>(options, plan)) {}
Recording::~Recording() = default;
Recording::Recording(Recording&&) noexcept = default;

std::size_t Recording::frames() const noexcept {
    return impl_->times.size();
}
const Scene& Recording::scene() const noexcept {
    return impl_->scene;
}
const Conditions& Recording::conditions() const noexcept {
    return impl_->conditions;
}
const std::vector<LevelInterval>& Recording::intervals() const noexcept {
    return impl_->intervals;
}
const std::vector<Crossing>& Recording::crossings() const noexcept {
    return impl_->crossings;
}
double Recording::seconds() const noexcept {
    return impl_->intervals.back().end;
}

const Picture* Recording::next(FrameTruth& truth) {
    Impl& self = *impl_;
    if (self.position >= self.times.size()) return nullptr;
    self.advance();
    const std::size_t frame = self.position++;
    const std::vector<Vehicle>& vehicles = self.traffic->vehicles();
    std::vector<Sighting> seen;
    const Picture& picture = self.renderer->render(vehicles, frame, self.times[frame], &seen);
    truth = {};
    truth.seconds = self.times[frame];
    truth.density = self.traffic->density(self.scene.near, self.scene.far);
    for (const Sighting& sighting : seen) {
        if (sighting.width < smallest_box || sighting.height < smallest_box) continue;
        const Vehicle& v = vehicles[sighting.vehicle];
        truth.boxes.push_back({v.track, v.kind, v.lane,
                               self.scene.lanes[static_cast<std::size_t>(v.lane)].direction, v.speed,
                               sighting.x, sighting.y, sighting.width, sighting.height, sighting.visible,
                               sighting.inside, sighting.foot, v.s});
    }
    return &picture;
}

}  // namespace divs::synth
