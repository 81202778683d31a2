#include "solids.hpp"

#include <algorithm>
#include <cmath>

#include "draw.hpp"

namespace divs::synth {
namespace {

struct Turned {
    float c, s;
    explicit Turned(const Solid& solid) : c(solid.cosine), s(solid.sine) {}
    Vec3 to_local(Vec3 v) const noexcept { return {v.x * c - v.y * s, v.x * s + v.y * c, v.z}; }
    Vec3 to_world(Vec3 v) const noexcept { return {v.x * c + v.y * s, -v.x * s + v.y * c, v.z}; }
};

std::optional<Hit> hit_ellipsoid(const Solid& solid, const Turned& turn, Vec3 o, Vec3 v) noexcept {
    const Vec3 scale{1 / solid.half.x, 1 / solid.half.y, 1 / solid.half.z};
    const Vec3 origin = o * scale, way = v * scale;
    const float a = dot(way, way), b = dot(origin, way), c = dot(origin, origin) - 1;
    const float under = b * b - a * c;
    if (under < 0) return std::nullopt;
    const float t = (-b - std::sqrt(under)) / a;
    if (t <= 0) return std::nullopt;
    const Vec3 local = o + v * t;
    return Hit{t, normalised(turn.to_world(local * scale * scale)), local};
}

std::optional<Hit> hit_box(const Solid& solid, const Turned& turn, Vec3 o, Vec3 v) noexcept {
    const float origin[] = {o.x, o.y, o.z}, way[] = {v.x, v.y, v.z},
                half[] = {solid.half.x, solid.half.y, solid.half.z};
    float enter = -1e30F, leave = 1e30F;
    int axis = 0;
    for (int i = 0; i < 3; ++i) {
        const float inverse = 1 / (std::fabs(way[i]) < 1e-9F ? 1e-9F : way[i]);
        const float reach = std::fabs(half[i] * inverse), middle = -origin[i] * inverse;
        if (middle - reach > enter) {
            enter = middle - reach;
            axis = i;
        }
        leave = std::min(leave, middle + reach);
    }
    if (enter > leave || enter <= 0) return std::nullopt;
    Vec3 normal{};
    (axis == 0 ? normal.x : axis == 1 ? normal.y : normal.z) = way[axis] > 0 ? -1.0F : 1.0F;
    return Hit{enter, turn.to_world(normal), o + v * enter};
}

// Places solids by road coordinates.
struct Builder {
    const Scene& scene;
    Draw draw;
    std::vector<Solid> solids;

    void box(Surface surface, RoadPoint at, float bottom, Vec3 half, Vec3 colour) {
        Vec3 centre = scene.line.at(at);
        centre.z = bottom + half.z;
        const float heading = scene.line.heading(at.s);
        solids.push_back({surface, centre, half, std::cos(heading), std::sin(heading), colour,
                          static_cast<std::uint32_t>(draw.bits())});
    }
    // True where a solid that reaches `reach` metres sideways would stand in the camera's way.
    bool in_the_way(RoadPoint at, float reach) const {
        const RoadPoint eye = scene.line.locate(scene.camera.position.x, scene.camera.position.y);
        const float edge = at.d > 0 ? scene.right : scene.left;
        const float outside = std::fabs(at.d) - std::fabs(edge) - reach;
        if (outside < 1.5F) return true;
        const bool same_side = at.d * eye.d > 0 && std::fabs(eye.d) > std::fabs(edge) * 0.8F;
        return same_side && at.s < scene.far * 0.7F && std::fabs(at.d) < std::fabs(eye.d) + reach + 2;
    }
    void tree(RoadPoint at) {
        const float radius = draw.range(1.6, 3.6), tall = draw.range(1.0, 1.8), trunk = draw.range(1.2, 2.6);
        const Vec3 green = draw.colour({0.04F, 0.09F, 0.02F}, {0.13F, 0.19F, 0.06F});
        if (in_the_way(at, radius)) return;
        box(Surface::bark, at, 0, {0.16F, 0.16F, trunk / 2 + 0.4F}, {0.10F, 0.075F, 0.05F});
        box(Surface::foliage, at, trunk, {radius * 0.8F, radius * 0.8F, radius * tall * 0.85F}, green);
        for (int lobe = 0; lobe < 3; ++lobe) {
            const RoadPoint beside{at.s + draw.range(-0.5, 0.5) * radius,
                                   at.d + draw.range(-0.5, 0.5) * radius};
            const float size = radius * draw.range(0.45, 0.7);
            const float bottom = trunk + draw.range(0.1, 1.5) * radius * tall * 0.6F;
            box(Surface::foliage, beside, bottom, {size, size, size * draw.range(0.8, 1.1)},
                green * draw.range(0.8, 1.25));
        }
    }
    void building(RoadPoint at, float width, float depth, float height) {
        const Vec3 walls[] = {{0.45F, 0.42F, 0.38F}, {0.38F, 0.24F, 0.18F}, {0.55F, 0.53F, 0.5F},
                              {0.28F, 0.3F, 0.33F},  {0.5F, 0.45F, 0.33F},  {0.2F, 0.22F, 0.26F}};
        const Vec3 colour = draw.pick(walls) * draw.range(0.7, 1.2);
        if (in_the_way(at, width / 2)) return;
        box(Surface::facade, at, 0, {width / 2, depth / 2, height / 2}, colour);
    }
    float beyond(float side, float metres) const {
        return side > 0 ? scene.right + metres : scene.left - metres;
    }

    void trees(float each, float reach) {
        for (const float side : {-1.0F, 1.0F}) {
            for (float s = 4; s < 330; s += each * draw.range(0.4, 1.6))
                tree({s, beyond(side, draw.range(4, reach))});
        }
    }
    void houses(float low, float high, float gap) {
        for (const float side : {-1.0F, 1.0F}) {
            float s = 10;
            while (s < 340) {
                const float depth = draw.range(9, 30), width = draw.range(9, 20),
                            height = draw.range(low, high);
                const float away = draw.range(7, 14) + width / 2;
                building({s + depth / 2, beyond(side, away)}, width, depth, height);
                s += depth + draw.range(1, 2) * gap;
            }
        }
    }
    void lamps() {
        if (scene.lamp_spacing <= 0) return;
        const float d = lamp_offset(scene), post = scene.lamps_left ? scene.left - 0.9F : scene.right + 0.9F;
        for (int n = 0; n < 9; ++n) {
            const float s = static_cast<float>(n) * scene.lamp_spacing;
            if (s < scene.near * 0.7F) continue;
            box(Surface::metal, {s, post}, 0, {0.09F, 0.09F, 4.4F}, {0.3F, 0.31F, 0.32F});
            box(Surface::metal, {s, (post + d) / 2}, 8.7F, {std::fabs(post - d) / 2 + 0.1F, 0.06F, 0.06F},
                {0.3F, 0.31F, 0.32F});
            box(Surface::lamp, {s, d}, 8.6F, {0.45F, 0.2F, 0.09F}, {1, 1, 1});
        }
    }
    void gantry() {
        if (scene.gantry <= 0) return;
        const float left = scene.left - 0.6F, right = scene.right + 0.6F, middle = (left + right) / 2;
        const Vec3 steel{0.34F, 0.35F, 0.36F};
        for (const float d : {left, right})
            box(Surface::metal, {scene.gantry, d}, 0, {0.18F, 0.18F, 3.6F}, steel);
        box(Surface::metal, {scene.gantry, middle}, 6.6F, {(right - left) / 2, 0.15F, 0.3F}, steel);
        const Vec3 signs[] = {{0.03F, 0.13F, 0.4F}, {0.02F, 0.25F, 0.11F}, {0.03F, 0.13F, 0.4F}};
        const Vec3 colour = draw.pick(signs);
        for (const float at : {0.28F, 0.68F}) {
            const float d = left + (right - left) * (at + draw.range(-0.06, 0.06));
            box(Surface::sign, {scene.gantry - 0.25F, d}, 5.6F,
                {draw.range(1.3, 2.2), 0.05F, draw.range(0.8, 1.3)}, colour);
        }
    }
    void along_road(float d, float from, float high, float thick, Vec3 colour, Surface surface) {
        for (float s = -4; s < 300; s += 8)
            box(surface, {s, d}, from, {thick, 4.05F, (high - from) / 2}, colour);
    }
};

}  // namespace

std::optional<Hit> intersect(const Solid& solid, Vec3 origin, Vec3 direction) noexcept {
    const Turned turn(solid);
    const Vec3 o = turn.to_local(origin - solid.centre), v = turn.to_local(direction);
    return solid.surface == Surface::foliage ? hit_ellipsoid(solid, turn, o, v) : hit_box(solid, turn, o, v);
}

std::vector<Solid> build_solids(const Scene& scene) {
    Builder b{scene, Draw(Random(scene.seed, Stream::synth, 1)), {}};
    switch (scene.surroundings) {
        case Surroundings::city:
            b.houses(12, 45, 2);
            b.trees(30, 5);
            break;
        case Surroundings::suburb:
            b.houses(5, 11, 12);
            b.trees(14, 12);
            break;
        case Surroundings::forest:
            b.trees(4.5F, 18);
            break;
        case Surroundings::field:
            b.trees(45, 40);
            break;
    }
    b.lamps();
    b.gantry();
    if (scene.barrier) b.along_road(0, 0, 0.85F, 0.22F, {0.42F, 0.41F, 0.39F}, Surface::concrete);
    if (scene.guard_rails) {
        b.along_road(scene.left + 0.15F, 0.45F, 0.78F, 0.06F, {0.45F, 0.46F, 0.47F}, Surface::metal);
        b.along_road(scene.right - 0.15F, 0.45F, 0.78F, 0.06F, {0.45F, 0.46F, 0.47F}, Surface::metal);
    }
    return b.solids;
}

}  // namespace divs::synth
