// Points, the pinhole camera and the curved road of the rendered world.
//
// World: x to the right, y ahead, z up, metres; the ground is the plane z = 0. Road: s along the centre line,
// d to its right. Image: pixels, (0, 0) is the top left corner of the picture, y down.
#pragma once

#include <cmath>

namespace divs::synth {

struct Vec2 {
    float x = 0, y = 0;
};

struct Vec3 {
    float x = 0, y = 0, z = 0;
};

inline Vec2 operator+(Vec2 a, Vec2 b) noexcept {
    return {a.x + b.x, a.y + b.y};
}
inline Vec2 operator-(Vec2 a, Vec2 b) noexcept {
    return {a.x - b.x, a.y - b.y};
}
inline Vec2 operator*(Vec2 a, float f) noexcept {
    return {a.x * f, a.y * f};
}
inline Vec3 operator+(Vec3 a, Vec3 b) noexcept {
    return {a.x + b.x, a.y + b.y, a.z + b.z};
}
inline Vec3 operator-(Vec3 a, Vec3 b) noexcept {
    return {a.x - b.x, a.y - b.y, a.z - b.z};
}
inline Vec3 operator*(Vec3 a, float f) noexcept {
    return {a.x * f, a.y * f, a.z * f};
}
inline Vec3 operator*(Vec3 a, Vec3 b) noexcept {
    return {a.x * b.x, a.y * b.y, a.z * b.z};
}
inline float dot(Vec3 a, Vec3 b) noexcept {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}
inline Vec3 cross(Vec3 a, Vec3 b) noexcept {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline float length(Vec3 a) noexcept {
    return std::sqrt(dot(a, a));
}
inline Vec3 normalised(Vec3 a) noexcept {
    return a * (1 / length(a));
}
inline Vec3 mix(Vec3 a, Vec3 b, float t) noexcept {
    return a + (b - a) * t;
}
inline float smooth_step(float low, float high, float x) noexcept {
    const float t = std::fmin(1.0F, std::fmax(0.0F, (x - low) / (high - low)));
    return t * t * (3 - 2 * t);
}

// A camera without lens distortion.
struct Camera {
    Vec3 position;
    Vec3 right, down, forward;  // unit vectors of the image axes and of the line of sight
    float focal = 1;            // pixels
    Vec2 centre;                // principal point, pixels

    // yaw: radians to the right of +y; pitch: radians below the horizon; roll: radians clockwise in the
    // image.
    static Camera looking(Vec3 position, float yaw, float pitch, float roll, float focal,
                          Vec2 centre) noexcept {
        const Vec3 forward{std::sin(yaw) * std::cos(pitch), std::cos(yaw) * std::cos(pitch),
                           -std::sin(pitch)};
        const Vec3 level{std::cos(yaw), -std::sin(yaw), 0};
        const Vec3 below = cross(forward, level);
        const float c = std::cos(roll), s = std::sin(roll);
        return {position, level * c + below * s, below * c - level * s, forward, focal, centre};
    }
    // Coordinates along right, down and forward.
    Vec3 to_camera(Vec3 p) const noexcept {
        const Vec3 v = p - position;
        return {dot(v, right), dot(v, down), dot(v, forward)};
    }
    // Only for points in front of the camera (z > 0 in camera coordinates).
    Vec2 to_image(Vec3 in_camera) const noexcept {
        const float f = focal / in_camera.z;
        return {centre.x + in_camera.x * f, centre.y + in_camera.y * f};
    }
    Vec2 project(Vec3 p) const noexcept { return to_image(to_camera(p)); }
    // Direction (not of unit length: 1 along the line of sight) through an image point.
    Vec3 ray(Vec2 p) const noexcept {
        return forward + right * ((p.x - centre.x) / focal) + down * ((p.y - centre.y) / focal);
    }
};

struct RoadPoint {
    float s = 0, d = 0;
};

// The centre line of a road: a circular arc through the origin, heading for +y there.
struct CentreLine {
    float curvature = 0;  // 1 / metres, positive to the right; radii below 100 m are not meant

    bool straight() const noexcept { return std::fabs(curvature) < 1e-5F; }
    // Radians to the right of +y.
    float heading(float s) const noexcept { return straight() ? 0 : s * curvature; }
    Vec3 at(RoadPoint p) const noexcept {
        if (straight()) return {p.d, p.s, 0};
        const float radius = 1 / curvature, angle = p.s * curvature;
        return {radius - (radius - p.d) * std::cos(angle), (radius - p.d) * std::sin(angle), 0};
    }
    RoadPoint locate(float x, float y) const noexcept {
        if (straight()) return {y, x};
        const float radius = 1 / curvature, sign = radius > 0 ? 1.0F : -1.0F;
        const float across = (radius - x) * sign, along = y * sign;
        return {std::atan2(along, across) * radius, radius - sign * std::hypot(across, along)};
    }
};

}  // namespace divs::synth
