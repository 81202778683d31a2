#include "divs/synth/traffic.hpp"

#include <algorithm>
#include <cmath>

#include "draw.hpp"

namespace divs::synth {
namespace {

constexpr double lane_change_seconds = 3.2;
constexpr double longest_step = 0.05;
constexpr double warm_up_seconds = 12;

struct ClassTraits {
    double length, width, height, spread;  // metres; lengths vary by +- spread
    double speed, headway, acceleration;   // factors and values of its drivers
    int variants;
};

const ClassTraits& traits(VehicleClass kind) {
    static constexpr ClassTraits all[] = {
        {4.4, 1.80, 1.48, 0.10, 1.00, 1.3, 1.5, 3},   // car
        {5.4, 2.00, 2.25, 0.10, 0.95, 1.4, 1.2, 2},   // van
        {5.4, 1.95, 1.80, 0.06, 0.97, 1.4, 1.3, 2},   // pickup
        {9.5, 2.50, 3.60, 0.20, 0.80, 1.8, 0.7, 3},   // truck
        {11.8, 2.55, 3.10, 0.06, 0.80, 1.8, 0.8, 2},  // bus
        {2.1, 0.80, 1.60, 0.08, 1.05, 1.2, 2.0, 2},   // motorbike
    };
    return all[static_cast<std::size_t>(kind)];
}

double smooth(double t) {
    return t * t * (3 - 2 * t);
}

}  // namespace

Traffic::Traffic(const TrafficOptions& options, std::uint64_t seed, std::uint64_t a, std::uint64_t b)
    : options_(options), random_(Random(seed, Stream::synth, a, b)), in_lane_(options.lanes.size()) {
    place_all(seed, a, b);
    for (double t = 0; t < warm_up_seconds; t += longest_step) step(longest_step);
}

void Traffic::enter(std::size_t i) {
    Vehicle& v = vehicles_[i];
    v.track = next_track_++;
    v.look = random_.bits(drawn_++);
}

void Traffic::place_all(std::uint64_t seed, std::uint64_t a, std::uint64_t b) {
    Draw draw(Random(seed, Stream::synth, a, b ^ 0x5EEDULL << 40));
    const auto lanes = static_cast<double>(options_.lanes.size());
    const auto total = static_cast<int>(std::lround(options_.density * options_.length / 1000 * lanes));
    for (int n = 0; n < total; ++n) {
        double at = draw.range(0, 1);
        std::size_t kind = 0;
        while (kind + 1 < options_.mix.size() && at >= options_.mix[kind]) at -= options_.mix[kind++];
        Vehicle v;
        v.kind = static_cast<VehicleClass>(kind);
        const ClassTraits& t = traits(v.kind);
        v.variant = static_cast<std::uint8_t>(draw.below(t.variants));
        const double size = 1 + t.spread * draw.range(-1, 1);
        v.length = t.length * size;
        v.width = t.width * (1 + (size - 1) * 0.3);
        v.height = t.height * (1 + 0.06 * draw.range(-1, 1));
        v.lane = n % static_cast<int>(options_.lanes.size());
        Driver driver;
        driver.desired_speed = options_.speed_limit * t.speed * (1 + 0.12 * draw.normal() * 0.7);
        driver.desired_speed = std::max(driver.desired_speed, 0.5 * options_.speed_limit);
        driver.headway = t.headway * draw.range(0.75, 1.3);
        driver.acceleration = t.acceleration * draw.range(0.8, 1.2);
        driver.gap = draw.range(1.5, 3.0);
        driver.until_check = draw.range(0, 2);
        // Evenly spread with some disorder: the more vehicles, the less room for it.
        const double slots = std::ceil(total / lanes), slot = std::floor(n / lanes);
        driver.x =
            (slot + 0.5 + draw.range(-0.45, 0.45) * (slots > 12 ? 0.4 : 1.0)) / slots * options_.length;
        driver.from_d = options_.lanes[static_cast<std::size_t>(v.lane)].d;
        const double room = std::max(0.0, options_.length / slots - v.length - 2.5);
        v.speed = std::min(driver.desired_speed, room / driver.headway);
        vehicles_.push_back(v);
        drivers_.push_back(driver);
        enter(vehicles_.size() - 1);
        settle(vehicles_.size() - 1);
    }
}

void Traffic::sort_lanes() {
    for (auto& lane : in_lane_) lane.clear();
    for (std::size_t i = 0; i < vehicles_.size(); ++i) {
        in_lane_[static_cast<std::size_t>(vehicles_[i].lane)].push_back(static_cast<int>(i));
    }
    for (auto& lane : in_lane_) {
        std::sort(lane.begin(), lane.end(), [&](int l, int r) {
            const double xl = drivers_[static_cast<std::size_t>(l)].x,
                         xr = drivers_[static_cast<std::size_t>(r)].x;
            return xl < xr || (xl == xr && l < r);
        });
    }
}

Traffic::Neighbours Traffic::neighbours(int lane, double x, int except) const {
    const auto& order = in_lane_[static_cast<std::size_t>(lane)];
    const std::size_t n = order.size();
    if (n == 0 || (n == 1 && order[0] == except)) return {};
    auto next = std::upper_bound(order.begin(), order.end(), x, [&](double value, int i) {
        return value < drivers_[static_cast<std::size_t>(i)].x;
    });
    std::size_t ahead = static_cast<std::size_t>(next - order.begin()) % n;
    if (order[ahead] == except) ahead = (ahead + 1) % n;
    std::size_t behind = (static_cast<std::size_t>(next - order.begin()) + n - 1) % n;
    if (order[behind] == except) behind = (behind + n - 1) % n;
    return {order[ahead], order[behind]};
}

double Traffic::distance(std::size_t behind, std::size_t ahead) const {
    double d = drivers_[ahead].x - drivers_[behind].x;
    if (d < 0) d += options_.length;
    return d - (vehicles_[ahead].length + vehicles_[behind].length) / 2;
}

double Traffic::follow(std::size_t i, int ahead) const {
    const Vehicle& v = vehicles_[i];
    const Driver& p = drivers_[i];
    double wish = 0;
    if (ahead >= 0 && static_cast<std::size_t>(ahead) != i) {
        const double approach = v.speed - vehicles_[static_cast<std::size_t>(ahead)].speed;
        const double gap = std::max(0.3, distance(i, static_cast<std::size_t>(ahead)));
        const double wanted =
            p.gap + std::max(0.0, v.speed * p.headway +
                                      v.speed * approach / (2 * std::sqrt(p.acceleration * p.braking)));
        wish = wanted / gap;
    }
    const double free = v.speed / p.desired_speed;
    return std::max(-8.0, p.acceleration * (1 - free * free * free * free - wish * wish));
}

bool Traffic::worth_changing(std::size_t i, int lane) const {
    const Neighbours there = neighbours(lane, drivers_[i].x, static_cast<int>(i));
    const Neighbours here = neighbours(vehicles_[i].lane, drivers_[i].x, static_cast<int>(i));
    const double room = 2.0 + 0.3 * vehicles_[i].speed;
    if (there.ahead >= 0 && distance(i, static_cast<std::size_t>(there.ahead)) < room) return false;
    double loss = 0;
    if (there.behind >= 0) {
        const auto follower = static_cast<std::size_t>(there.behind);
        if (distance(follower, i) < room) return false;
        const double after = follow(follower, static_cast<int>(i));
        if (after < -4) return false;
        loss = follow(follower, there.ahead) - after;
    }
    return follow(i, there.ahead) - follow(i, here.ahead) - 0.2 * loss > 0.15;
}

void Traffic::change_lanes(double dt) {
    for (std::size_t i = 0; i < vehicles_.size(); ++i) {
        Driver& driver = drivers_[i];
        driver.since_change +=
            dt * std::min(1.0, vehicles_[i].speed / 3);  // who stands does not slide sideways
        driver.until_check -= dt;
        if (driver.until_check > 0 || driver.since_change < 2 * lane_change_seconds) continue;
        driver.until_check = 1.5;
        const int lane = vehicles_[i].lane;
        const Lane& now = options_.lanes[static_cast<std::size_t>(lane)];
        for (const int other : {lane - 1, lane + 1}) {
            if (other < 0 || other >= static_cast<int>(options_.lanes.size())) continue;
            if (options_.lanes[static_cast<std::size_t>(other)].direction != now.direction) continue;
            if (!worth_changing(i, other)) continue;
            vehicles_[i].lane = other;
            driver.from_d = now.d;
            driver.since_change = 0;
            sort_lanes();
            break;
        }
    }
}

void Traffic::step(double dt) {
    sort_lanes();
    change_lanes(dt);
    for (std::size_t i = 0; i < vehicles_.size(); ++i) {
        vehicles_[i].acceleration =
            follow(i, neighbours(vehicles_[i].lane, drivers_[i].x, static_cast<int>(i)).ahead);
    }
    for (std::size_t i = 0; i < vehicles_.size(); ++i) {
        Vehicle& v = vehicles_[i];
        const double before = v.speed;
        v.speed = std::max(0.0, v.speed + v.acceleration * dt);
        drivers_[i].x += 0.5 * (before + v.speed) * dt;
        if (drivers_[i].x >= options_.length) {
            drivers_[i].x -= options_.length;
            enter(i);
        }
        settle(i);
    }
}

void Traffic::settle(std::size_t i) {
    Vehicle& v = vehicles_[i];
    const Driver& driver = drivers_[i];
    const Lane& lane = options_.lanes[static_cast<std::size_t>(v.lane)];
    const double t = std::min(1.0, driver.since_change / lane_change_seconds);
    v.d = driver.from_d + (lane.d - driver.from_d) * smooth(t);
    if (t >= 1) v.d = lane.d;
    const double sideways = (lane.d - driver.from_d) * 6 * t * (1 - t) / lane_change_seconds;
    v.heading = t < 1 ? std::atan2(sideways, std::max(v.speed, 4.0)) : 0;
    const bool away = lane.direction == Direction::away;
    if (!away) v.heading = -v.heading;
    v.s = away ? options_.start + driver.x : options_.start + options_.length - driver.x;
}

void Traffic::advance(double seconds) {
    const int steps = std::max(1, static_cast<int>(std::ceil(seconds / longest_step - 1e-9)));
    for (int n = 0; n < steps; ++n) step(seconds / steps);
}

double Traffic::density(double from, double to) const noexcept {
    const auto inside = std::count_if(vehicles_.begin(), vehicles_.end(),
                                      [&](const Vehicle& v) { return v.s >= from && v.s < to; });
    return static_cast<double>(inside) / (static_cast<double>(options_.lanes.size()) * (to - from) / 1000);
}

}  // namespace divs::synth
