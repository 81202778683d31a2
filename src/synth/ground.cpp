#include "ground.hpp"

#include <algorithm>
#include <cmath>

namespace divs::synth {
namespace {

// Convex, counter-clockwise, in vehicle axes.
struct Outline {
    Vec2 corner[8], outward[8];  // outward: unit normal of the side that starts at the corner
    float offset[8];             // of that side from the origin
    int count = 0;

    void measure_sides() noexcept {
        for (int i = 0; i < count; ++i) {
            const Vec2 along = corner[(i + 1) % count] - corner[i];
            outward[i] = Vec2{along.y, -along.x} * (1 / std::hypot(along.x, along.y));
            offset[i] = corner[i].x * outward[i].x + corner[i].y * outward[i].y;
        }
    }

    // Metres outside (> 0) or inside the outline; exact near its sides.
    float distance(Vec2 p) const noexcept {
        float furthest = -1e9F;
        for (int i = 0; i < count; ++i) {
            furthest = std::max(furthest, p.x * outward[i].x + p.y * outward[i].y - offset[i]);
        }
        return furthest;
    }
};

// The area that a rectangle sweeps when it moves by `way`: a rectangle or a hexagon.
Outline swept(float half_length, float half_width, Vec2 way) {
    const float l = half_length, w = half_width;
    const Vec2 base[] = {{-l, -w}, {l, -w}, {l, w}, {-l, w}};
    Outline o;
    if (std::hypot(way.x, way.y) < 1e-3F) {
        for (const Vec2 corner : base) o.corner[o.count++] = corner;
        o.measure_sides();
        return o;
    }
    for (int i = 0; i < 4; ++i) {  // a corner is kept where it started, where it ended, or both
        const Vec2 before = base[i] - base[(i + 3) % 4], after = base[(i + 1) % 4] - base[i];
        const bool outside_before = before.x * way.y - before.y * way.x <= 0;  // the side leads the movement
        const bool outside_after = after.x * way.y - after.y * way.x <= 0;
        if (outside_before && outside_after) o.corner[o.count++] = base[i] + way;
        if (!outside_before && !outside_after) o.corner[o.count++] = base[i];
        if (outside_before && !outside_after) {
            o.corner[o.count++] = base[i] + way;
            o.corner[o.count++] = base[i];
        }
        if (!outside_before && outside_after) {
            o.corner[o.count++] = base[i];
            o.corner[o.count++] = base[i] + way;
        }
    }
    o.measure_sides();
    return o;
}

float grey(Vec3 v) {
    return 0.3F * v.x + 0.6F * v.y + 0.1F * v.z;
}

}  // namespace

GroundEffects::GroundEffects(const Scene& scene, const Conditions& conditions, const Background& background,
                             int width, int height)
    : scene_(scene), conditions_(conditions), background_(background), width_(width), height_(height) {
    mask_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    const float sun = grey(conditions.sun) * conditions.to_sun.z, ambient = grey(conditions.ambient);
    if (sun > 0) cast_strength_ = 1 - std::pow(ambient / (ambient + sun), 1 / conditions.gamma);
}

void GroundEffects::begin(int shift_x, int shift_y) {
    shift_x_ = shift_x;
    shift_y_ = shift_y;
    std::fill(mask_.begin(), mask_.end(), std::uint8_t{0});
}

const RoadPoint& GroundEffects::place(int x, int y) const noexcept {
    return background_.ground[background_.picture.at(x + shift_x_, y + shift_y_)];
}

PixelBox GroundEffects::area(const Camera& camera, const Pose& pose, float back, float front, float right,
                             float left) const {
    float x0 = 1e9F, x1 = -1e9F, y0 = 1e9F, y1 = -1e9F;
    for (int i = 0; i < 4; ++i) {
        Vec3 p = camera.to_camera(pose.place({i & 1 ? front : back, i & 2 ? left : right, 0}));
        p.z = std::max(p.z, 1.0F);
        const Vec2 at = camera.to_image(p);
        x0 = std::min(x0, at.x);
        x1 = std::max(x1, at.x);
        y0 = std::min(y0, at.y);
        y1 = std::max(y1, at.y);
    }
    const auto clamp = [](float v, int high) {
        return static_cast<int>(std::clamp(v, 0.0F, static_cast<float>(high)));
    };
    return {clamp(x0 - 1, width_), clamp(x1 + 2, width_), clamp(y0 - 1, height_), clamp(y1 + 2, height_)};
}

void GroundEffects::add_shadow(const Camera& camera, const Vehicle& vehicle, const Pose& pose,
                               Direction direction) {
    const float sign = direction == Direction::away ? 1.0F : -1.0F;
    const auto half_length = static_cast<float>(vehicle.length) / 2,
               half_width = static_cast<float>(vehicle.width) / 2;
    Vec2 way{};
    if (cast_strength_ > 0) {  // where the roof's shadow lies, in vehicle axes
        const float reach =
            std::min(14.0F, 0.85F * static_cast<float>(vehicle.height) / conditions_.to_sun.z);
        way = {-dot(conditions_.to_sun, pose.forward) * reach, -dot(conditions_.to_sun, pose.left) * reach};
    }
    const float slim = vehicle.kind == VehicleClass::motorbike ? 0.55F : 0.95F;  // a rider is no box
    const Outline cast = swept(half_length * 0.94F, half_width * slim, way);
    const Outline under = swept(half_length * 0.97F, half_width * slim, {});
    const float spread = std::min(0.9F, half_width * slim);  // of the contact shadow
    const PixelBox box =
        area(camera, pose, -half_length - spread + std::min(0.0F, way.x),
             half_length + spread + std::max(0.0F, way.x), -half_width - spread + std::min(0.0F, way.y),
             half_width + spread + std::max(0.0F, way.y));
    const float c = std::cos(static_cast<float>(vehicle.heading)),
                s = std::sin(static_cast<float>(vehicle.heading));
    for (int y = box.top; y < box.bottom; ++y) {
        std::uint8_t* row = mask_.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(width_);
        for (int x = box.left; x < box.right; ++x) {
            const RoadPoint& p = place(x, y);
            if (!(std::fabs(p.s - static_cast<float>(vehicle.s)) < 30))
                continue;  // also where it is not a number
            const float along = (p.s - static_cast<float>(vehicle.s)) * sign;
            const float left = -(p.d - static_cast<float>(vehicle.d)) * sign;
            const Vec2 local{along * c - left * s, along * s + left * c};
            float dark = 0.62F * (1 - smooth_step(-0.25F, spread * 0.55F, under.distance(local)));
            if (cast_strength_ > 0)
                dark =
                    std::max(dark, cast_strength_ * (1 - smooth_step(-0.12F, 0.14F, cast.distance(local))));
            row[x] = std::max(row[x], static_cast<std::uint8_t>(255 * dark));
        }
    }
}

void GroundEffects::darken(Picture& picture) const {
    for (auto& plane : picture.planes) {
        for (std::size_t i = 0; i < plane.size(); ++i) {
            plane[i] = static_cast<std::uint8_t>((plane[i] * (255 - mask_[i]) + 127) / 255);
        }
    }
}

void GroundEffects::add_light(Picture& picture, const Camera& camera, const Vehicle& vehicle,
                              const Pose& pose, Direction direction) const {
    if (!conditions_.headlights) return;
    const float power = conditions_.daylight == Daylight::night  ? 85.0F
                        : conditions_.daylight == Daylight::dusk ? 30.0F
                                                                 : 6.0F;
    const float sign = direction == Direction::away ? 1.0F : -1.0F;
    const float front = static_cast<float>(vehicle.length) / 2,
                half_width = static_cast<float>(vehicle.width) / 2;
    const PixelBox box = area(camera, pose, -front - 7, front + 26, -5, 5);
    for (int y = box.top; y < box.bottom; ++y) {
        for (int x = box.left; x < box.right; ++x) {
            const RoadPoint& p = place(x, y);
            if (!(std::fabs(p.s - static_cast<float>(vehicle.s)) < 40)) continue;
            const float along = (p.s - static_cast<float>(vehicle.s)) * sign;
            const float across = std::fabs(p.d - static_cast<float>(vehicle.d));
            const std::size_t at = picture.at(x, y);
            const auto add = [&](std::size_t plane, float value) {
                auto& pixel = picture.planes[plane][at];
                pixel = static_cast<std::uint8_t>(std::min(255.0F, static_cast<float>(pixel) + value));
            };
            if (along > front) {
                const float u = along - front, spread = half_width + 0.4F + 0.16F * u;
                const float off = std::max(0.0F, 1 - (across / spread) * (across / spread) * 0.7F);
                const float light = power * smooth_step(0, 3.5F, u) * (1 - smooth_step(4, 25, u)) * off * off;
                add(0, light * 0.95F);
                add(1, light * 0.88F);
                add(2, light * 0.70F);
            } else if (along < -front) {
                const float u = -along - front;
                add(0, power * (vehicle.acceleration < -0.6 ? 0.5F : 0.22F) * (1 - smooth_step(0.2F, 6, u)) *
                           std::max(0.0F, 1 - across / (half_width + 0.6F + 0.2F * u)));
            }
        }
    }
}

}  // namespace divs::synth
