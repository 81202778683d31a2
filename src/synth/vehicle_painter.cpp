#include "vehicle_painter.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "draw.hpp"

namespace divs::synth {
namespace {

constexpr float nearest_depth = 0.8F;  // metres before the lens at which polygons are cut
constexpr float detail_pixels = 7;     // a vehicle lower than this is drawn without panels and wheels

struct Quad {
    Vec3 corner[4];
};

Vec3 block_corner(const Block& b, bool front, bool left, bool top) {
    const float x = top ? (front ? b.top_front : b.top_back) : (front ? b.front : b.back);
    const float w = top ? b.top_half_width : b.half_width;
    return {x, left ? w : -w, top ? b.top : b.bottom};
}

// Corners in the order (u, v) = (0, 0), (1, 0), (1, 1), (0, 1).
Quad face_of(const Block& b, Face face) {
    const auto at = [&](bool front, bool left, bool top) { return block_corner(b, front, left, top); };
    switch (face) {
        case Face::front:
            return {
                {at(true, false, false), at(true, true, false), at(true, true, true), at(true, false, true)}};
        case Face::back:
            return {{at(false, false, false), at(false, true, false), at(false, true, true),
                     at(false, false, true)}};
        case Face::left:
            return {
                {at(false, true, false), at(true, true, false), at(true, true, true), at(false, true, true)}};
        case Face::right:
            return {{at(false, false, false), at(true, false, false), at(true, false, true),
                     at(false, false, true)}};
        case Face::top:
            break;
    }
    return {{at(false, false, true), at(true, false, true), at(true, true, true), at(false, true, true)}};
}

Vec3 inside(const Quad& q, float u, float v) {
    return mix(mix(q.corner[0], q.corner[1], u), mix(q.corner[3], q.corner[2], u), v);
}

Vec3 outward(const Quad& q, const Block& b) {
    const Vec3 n = normalised(cross(q.corner[1] - q.corner[0], q.corner[3] - q.corner[0]));
    const Vec3 middle{(b.back + b.front) / 2, 0, (b.bottom + b.top) / 2};
    return dot(n, inside(q, 0.5F, 0.5F) - middle) < 0 ? n * -1.0F : n;
}

Vec3 random_paint(Draw& draw) {
    static constexpr Vec3 common[] = {{0.72F, 0.72F, 0.70F},   {0.75F, 0.75F, 0.73F},  {0.42F, 0.43F, 0.44F},
                                      {0.33F, 0.34F, 0.36F},   {0.11F, 0.115F, 0.12F}, {0.03F, 0.03F, 0.033F},
                                      {0.025F, 0.025F, 0.03F}, {0.16F, 0.17F, 0.18F}};
    static constexpr Vec3 bright[] = {{0.45F, 0.03F, 0.03F}, {0.05F, 0.10F, 0.35F}, {0.04F, 0.06F, 0.16F},
                                      {0.05F, 0.16F, 0.09F}, {0.70F, 0.48F, 0.05F}, {0.30F, 0.20F, 0.10F},
                                      {0.55F, 0.16F, 0.03F}, {0.50F, 0.46F, 0.36F}};
    return (draw.chance(0.62) ? draw.pick(common) : draw.pick(bright)) * draw.range(0.8, 1.15);
}

}  // namespace

Pose pose_of(const Scene& scene, const Vehicle& vehicle, Direction direction) noexcept {
    const auto s = static_cast<float>(vehicle.s), d = static_cast<float>(vehicle.d);
    float heading = scene.line.heading(s) + static_cast<float>(vehicle.heading);
    if (direction == Direction::toward) heading += std::numbers::pi_v<float>;
    const float x = std::sin(heading), y = std::cos(heading);
    return {scene.line.at({s, d}), {x, y, 0}, {-y, x, 0}};
}

VehiclePainter::VehiclePainter(const Scene& scene, const Conditions& conditions)
    : scene_(scene), conditions_(conditions), tone_(conditions) {
    for (std::size_t kind = 0; kind < vehicle_class_names.size(); ++kind) {
        auto& variants = shapes_.emplace_back();
        for (int v = 0; v < 3; ++v) variants.push_back(make_shape(static_cast<VehicleClass>(kind), v));
    }
}

const Shape& VehiclePainter::shape(const Vehicle& vehicle) const {
    return shapes_[static_cast<std::size_t>(vehicle.kind)][vehicle.variant];
}

VehiclePainter::Bounds VehiclePainter::bounds(const Camera& camera, const Vehicle& vehicle,
                                              const Pose& pose) const {
    Bounds b;
    for (int i = 0; i < 8; ++i) {
        const Vec3 corner{static_cast<float>(vehicle.length) * (i & 1 ? 0.5F : -0.5F),
                          static_cast<float>(vehicle.width) * (i & 2 ? 0.5F : -0.5F),
                          i & 4 ? static_cast<float>(vehicle.height) : 0.0F};
        Vec3 p = camera.to_camera(pose.place(corner));
        if (p.z < nearest_depth && i == 0 && dot(pose.origin - camera.position, camera.forward) < 0)
            return {};
        p.z = std::max(p.z, nearest_depth);
        const Vec2 at = camera.to_image(p);
        b = {std::min(b.left, at.x), std::max(b.right, at.x), std::min(b.top, at.y),
             std::max(b.bottom, at.y)};
    }
    return b;
}

struct VehiclePainter::Brush {
    const VehiclePainter& painter;
    Sheet& sheet;
    const Camera& camera;
    const Vehicle& vehicle;
    const Pose& pose;
    const Shape& shape;
    Colours colours;
    Vec3 scale;      // of the shape to the vehicle's size
    Vec3 eye;        // camera in vehicle axes
    float distance;  // from camera to vehicle
    float lamps;
    bool detailed;

    Vec3 albedo(Material m) const;
    Vec3 shade(Material m, Vec3 normal) const;
    void polygon(std::span<const Vec3> corners, Vec3 high, Vec3 low) const;
    void block(const Block& b, int index) const;
    void panels(int index, Face face, const Quad& quad, Vec3 normal) const;
    void wheels() const;
    bool faces_eye(const Quad& quad, Vec3 normal) const {
        return dot(normal, eye - quad.corner[0] * scale) > 0;
    }
};

Vec3 VehiclePainter::Brush::albedo(Material m) const {
    switch (m) {
        case Material::paint:
        case Material::roof:
            return colours.paint;
        case Material::glass:
            return {0.025F, 0.03F, 0.035F};
        case Material::dark:
            return {0.03F, 0.03F, 0.032F};
        case Material::tyre:
            return {0.022F, 0.022F, 0.022F};
        case Material::hub:
            return {0.30F, 0.30F, 0.31F};
        case Material::trim:
            return {0.20F, 0.17F, 0.14F};
        case Material::cargo:
            return colours.cargo;
        case Material::head_lamp:
            return {0.65F, 0.65F, 0.62F};
        case Material::tail_lamp:
            return {0.35F, 0.02F, 0.02F};
        case Material::plate:
            return {0.65F, 0.64F, 0.55F};
        case Material::cloth:
            return colours.cloth;
        case Material::skin:
            return {0.45F, 0.30F, 0.22F};
    }
    return {0.5F, 0.5F, 0.5F};
}

Vec3 VehiclePainter::Brush::shade(Material m, Vec3 normal) const {
    const Conditions& c = painter.conditions_;
    if (m == Material::head_lamp && c.headlights) return Vec3{2.4F, 2.3F, 2.0F};
    if (m == Material::tail_lamp && c.headlights) return Vec3{0.55F, 0.02F, 0.02F};
    if (m == Material::tail_lamp && vehicle.acceleration < -0.6) return {1.3F, 0.06F, 0.04F};
    Vec3 light = matt(c, albedo(m), normal, 1, lamps);
    const bool shiny = m == Material::paint || m == Material::roof;
    if (m == Material::glass)
        light = light + sky(c, 0.25F + 0.75F * normal.z) * (0.10F + 0.25F * std::fmax(0.0F, normal.z));
    if (shiny) light = light + sky(c, normal.z) * (0.02F + 0.06F * std::fmax(0.0F, normal.z));
    return hazed(c, light, distance);
}

void VehiclePainter::Brush::polygon(std::span<const Vec3> corners, Vec3 high, Vec3 low) const {
    Vec3 cut[12];
    std::size_t n = 0;
    for (std::size_t i = 0; i < corners.size(); ++i) {  // Sutherland and Hodgman against the near plane
        const Vec3 a = camera.to_camera(pose.place(corners[i] * scale));
        const Vec3 b = camera.to_camera(pose.place(corners[(i + 1) % corners.size()] * scale));
        if (a.z >= nearest_depth) cut[n++] = a;
        if ((a.z >= nearest_depth) != (b.z >= nearest_depth))
            cut[n++] = mix(a, b, (nearest_depth - a.z) / (b.z - a.z));
    }
    if (n < 3) return;
    Vec2 image[12];
    for (std::size_t i = 0; i < n; ++i) image[i] = camera.to_image(cut[i]);
    sheet.fill({image, n}, painter.tone_(high), painter.tone_(low));
}

void VehiclePainter::Brush::block(const Block& b, int index) const {
    for (const Face face : {Face::front, Face::back, Face::left, Face::right, Face::top}) {
        const Quad quad = face_of(b, face);
        const Vec3 normal = outward(quad, b);
        if (!faces_eye(quad, normal)) continue;
        const Vec3 light = shade(face == Face::top ? b.cover : b.sides, pose.turn(normal));
        polygon(quad.corner, light, face == Face::top ? light : light * 0.78F);
        if (detailed) panels(index, face, quad, normal);
    }
}

void VehiclePainter::Brush::panels(int index, Face face, const Quad& quad, Vec3 normal) const {
    for (const Panel& panel : shape.panels) {
        if (panel.block != index || panel.face != face) continue;
        const Vec3 corners[] = {inside(quad, panel.u0, panel.v0), inside(quad, panel.u1, panel.v0),
                                inside(quad, panel.u1, panel.v1), inside(quad, panel.u0, panel.v1)};
        const Vec3 light = shade(panel.material, pose.turn(normal));
        polygon(corners, panel.material == Material::glass ? light * 1.25F : light, light);
    }
}

void VehiclePainter::Brush::wheels() const {
    for (const Wheel& wheel : shape.wheels) {
        for (const float side : {-1.0F, 1.0F}) {
            if (side * eye.y < wheel.y * scale.y) continue;  // hidden behind the body
            const auto disc = [&](float radius, Material material) {
                Vec3 corners[10];
                for (int i = 0; i < 10; ++i) {
                    const float angle = static_cast<float>(i) * (std::numbers::pi_v<float> / 5);
                    corners[i] = {wheel.x + radius * std::cos(angle), side * wheel.y,
                                  wheel.radius + radius * std::sin(angle)};
                }
                const Vec3 light = shade(material, pose.turn({0, side, 0}));
                polygon(corners, light, light);
            };
            disc(wheel.radius, Material::tyre);
            disc(wheel.radius * 0.58F, Material::hub);
        }
    }
}

void VehiclePainter::draw(Sheet& sheet, const Camera& camera, const Vehicle& vehicle,
                          const Pose& pose) const {
    const Shape& s = shape(vehicle);
    Draw look(Random(vehicle.look, Stream::synth, static_cast<std::uint64_t>(Purpose::look)));
    Colours colours;
    colours.paint = random_paint(look);
    colours.cargo =
        look.chance(0.5) ? Vec3{0.6F, 0.6F, 0.58F} : look.colour({0.05F, 0.05F, 0.05F}, {0.6F, 0.45F, 0.45F});
    colours.cloth = look.colour({0.02F, 0.02F, 0.02F}, {0.35F, 0.25F, 0.25F});
    const Vec3 to_eye = camera.position - pose.origin;
    const Bounds b = bounds(camera, vehicle, pose);
    const Vec3 scale{static_cast<float>(vehicle.length) / s.length,
                     static_cast<float>(vehicle.width) / s.width,
                     static_cast<float>(vehicle.height) / s.height};
    const Brush brush{*this,
                      sheet,
                      camera,
                      vehicle,
                      pose,
                      s,
                      colours,
                      scale,
                      {dot(to_eye, pose.forward), dot(to_eye, pose.left), to_eye.z},
                      length(to_eye),
                      lamp_light(scene_, {static_cast<float>(vehicle.s), static_cast<float>(vehicle.d)}),
                      b.bottom - b.top > detail_pixels};
    // Far to near within a layer.
    std::vector<int> order;
    const auto before = [&](int l, int r) {
        const Block &x = s.blocks[static_cast<std::size_t>(l)], &y = s.blocks[static_cast<std::size_t>(r)];
        if (x.layer != y.layer) return x.layer < y.layer;
        return std::fabs((x.back + x.front) / 2 - brush.eye.x) >
               std::fabs((y.back + y.front) / 2 - brush.eye.x);
    };
    for (int i = 0; i < static_cast<int>(s.blocks.size()); ++i) {
        order.insert(std::upper_bound(order.begin(), order.end(), i, before), i);
    }
    bool wheels_done = !brush.detailed;
    for (const int index : order) {
        const Block& block = s.blocks[static_cast<std::size_t>(index)];
        if (block.layer >= 2 && !std::exchange(wheels_done, true)) brush.wheels();
        brush.block(block, index);
    }
    if (!wheels_done) brush.wheels();
}

}  // namespace divs::synth
