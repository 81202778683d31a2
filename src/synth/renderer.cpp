#include "divs/synth/renderer.hpp"

#include <algorithm>
#include <cmath>

#include "ground.hpp"
#include "sensor.hpp"

namespace divs::synth {

struct Renderer::Impl {
    const Scene& scene;
    const Conditions& conditions;
    int width, height;
    Background background;
    VehiclePainter painter;
    GroundEffects ground;
    Sensor sensor;
    Camera still, camera;  // without and with this frame's shake
    int shift_x = 0, shift_y = 0;
    Picture picture;
    Sheet sheet;
    std::vector<std::uint16_t> owner;      // (height, width): 1 + place in `order` of the vehicle seen there
    std::vector<int> painted, silhouette;  // pixels by place in `order`

    struct Turn {
        std::size_t vehicle;
        float depth;
        Pose pose;
        Direction direction;
    };
    std::vector<Turn> order;  // far to near

    Impl(const Scene& s, const Conditions& c, int w, int h, std::uint64_t seed)
        : scene(s),
          conditions(c),
          width(w),
          height(h),
          background(render_background(s, c, w, h, shake_margin(w))),
          painter(s, c),
          ground(s, c, background, w, h),
          sensor(c, w, h, seed),
          still(camera_for(s, w)),
          camera(still),
          picture(w, h),
          owner(static_cast<std::size_t>(w) * static_cast<std::size_t>(h)) {}

    void line_up(const std::vector<Vehicle>& vehicles);
    PixelBox clipped(const VehiclePainter::Bounds& b) const;
    void draw(const Vehicle& vehicle, std::size_t turn, Sighting& sighting);
    void lay_over(float depth, std::size_t turn);
    void glow(const Vehicle& vehicle, const Turn& turn);
    void glow_lamp(Vec3 lamp, float facing, bool head, bool braking);
};

void Renderer::Impl::line_up(const std::vector<Vehicle>& vehicles) {
    order.clear();
    for (std::size_t i = 0; i < vehicles.size(); ++i) {
        const Direction direction = scene.lanes[static_cast<std::size_t>(vehicles[i].lane)].direction;
        const Pose pose = pose_of(scene, vehicles[i], direction);
        const float depth = camera.to_camera(pose.origin).z;
        if (depth > -8) order.push_back({i, depth, pose, direction});
    }
    // By distance on the ground: what is nearer to the camera's foot hides what is beyond.
    std::sort(order.begin(), order.end(), [&](const Turn& a, const Turn& b) {
        return a.depth > b.depth || (a.depth == b.depth && a.vehicle < b.vehicle);
    });
    painted.assign(order.size(), 0);
    silhouette.assign(order.size(), 0);
}

PixelBox Renderer::Impl::clipped(const VehiclePainter::Bounds& b) const {
    const auto clamp = [](float v, int high) {
        return static_cast<int>(std::clamp(v, 0.0F, static_cast<float>(high)));
    };
    return {clamp(std::floor(b.left) - 1, width), clamp(std::ceil(b.right) + 1, width),
            clamp(std::floor(b.top) - 1, height), clamp(std::ceil(b.bottom) + 1, height)};
}

void Renderer::Impl::draw(const Vehicle& vehicle, std::size_t turn, Sighting& sighting) {
    const VehiclePainter::Bounds bounds = painter.bounds(camera, vehicle, order[turn].pose);
    if (bounds.left >= bounds.right) return;
    const PixelBox box = clipped(bounds);
    if (box.empty()) return;
    sheet.open(box);
    painter.draw(sheet, camera, vehicle, order[turn].pose);
    const PixelBox& touched = sheet.touched();
    if (touched.empty()) return;
    lay_over(order[turn].depth, turn);
    sighting.x = static_cast<float>(touched.left);
    sighting.y = static_cast<float>(touched.top);
    sighting.width = static_cast<float>(touched.width());
    sighting.height = static_cast<float>(touched.height());
    const float whole = (bounds.right - bounds.left) * (bounds.bottom - bounds.top);
    const float part =
        std::max(0.0F, std::min(bounds.right, static_cast<float>(width)) - std::max(bounds.left, 0.0F)) *
        std::max(0.0F, std::min(bounds.bottom, static_cast<float>(height)) - std::max(bounds.top, 0.0F));
    sighting.inside = std::min(1.0F, part / whole);
}

void Renderer::Impl::lay_over(float depth, std::size_t turn) {
    const PixelBox &box = sheet.box(), &touched = sheet.touched();
    for (int y = touched.top; y < touched.bottom; ++y) {
        const std::uint32_t* upper = sheet.row((y - box.top) * 2);
        const std::uint32_t* lower = sheet.row((y - box.top) * 2 + 1);
        for (int x = touched.left; x < touched.right; ++x) {
            const int i = (x - box.left) * 2;
            const std::uint32_t samples[] = {upper[i], upper[i + 1], lower[i], lower[i + 1]};
            int covered = 0, sum[3] = {};
            for (const std::uint32_t sample : samples) {
                covered += static_cast<int>(sample >> 31);
                for (int c = 0; c < 3; ++c) sum[c] += static_cast<int>((sample >> (8 * c)) & 0xFF);
            }
            if (covered == 0) continue;
            const std::size_t at = picture.at(x, y);
            if (covered >= 2) ++silhouette[turn];
            if (background.depth[background.picture.at(x + shift_x, y + shift_y)] < depth)
                continue;  // behind a post
            for (std::size_t c = 0; c < 3; ++c) {
                auto& pixel = picture.planes[c][at];
                pixel = static_cast<std::uint8_t>((pixel * (4 - covered) + sum[c] + 2) / 4);
            }
            if (covered < 2) continue;
            if (owner[at]) --painted[owner[at] - 1U];
            owner[at] = static_cast<std::uint16_t>(turn + 1);
            ++painted[turn];
        }
    }
}

void Renderer::Impl::glow_lamp(Vec3 lamp, float facing, bool head, bool braking) {
    const Vec3 p = camera.to_camera(lamp);
    if (p.z < 2) return;
    const Vec2 at = camera.to_image(p);
    const int x = static_cast<int>(at.x), y = static_cast<int>(at.y);
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    if (background.depth[background.picture.at(x + shift_x, y + shift_y)] < p.z) return;
    const bool night = conditions.daylight == Daylight::night;
    const float dim = night ? 1.0F : conditions.daylight == Daylight::dusk ? 0.6F : 0.3F;
    const float size = camera.focal / p.z, w = static_cast<float>(width);
    const float bloom = head ? 0.55F * size + 0.008F * w * dim * facing : 0.32F * size + 0.003F * w * dim;
    const Vec3 light = head ? Vec3{255, 245, 220} * (dim * facing)
                            : Vec3{235, 30, 22} * (dim * facing * (braking ? 1.2F : 0.6F));
    add_glow(picture, at, bloom, bloom, light);
    if (conditions.rain > 0) {  // its image in the wet road, drawn out towards the camera
        const Vec3 mirrored{lamp.x, lamp.y, -lamp.z};
        const Vec2 below = camera.project(mirrored);
        const float reach = (below.y - at.y) * 0.9F + bloom;
        add_glow(picture, {below.x, at.y + reach}, bloom * 0.7F, reach * 0.9F,
                 light * (0.35F * conditions.rain));
    }
}

void Renderer::Impl::glow(const Vehicle& vehicle, const Turn& turn) {
    if (!conditions.headlights) return;
    const Shape& shape = painter.shape(vehicle);
    const Vec3 to_eye = normalised(camera.position - turn.pose.origin);
    const float facing = dot(to_eye, turn.pose.forward);
    const float stretch = static_cast<float>(vehicle.length) / shape.length;
    if (facing > 0.05F) {
        for (const Lamp& l : shape.head_lamps)
            glow_lamp(turn.pose.place({l.x * stretch, l.y, l.z}), facing, true, false);
    }
    if (facing < -0.05F) {
        for (const Lamp& l : shape.tail_lamps) {
            glow_lamp(turn.pose.place({l.x * stretch, l.y, l.z}), -facing, false,
                      vehicle.acceleration < -0.6);
        }
    }
}

Renderer::Renderer(const Scene& scene, const Conditions& conditions, int width, int height,
                   std::uint64_t seed)
    : impl_(std::make_unique<Impl>(scene, conditions, width, height, seed)) {}
Renderer::~Renderer() = default;
Renderer::Renderer(Renderer&&) noexcept = default;

const Picture& Renderer::render(const std::vector<Vehicle>& vehicles, std::uint64_t frame, double seconds,
                                std::vector<Sighting>* sightings) {
    Impl& self = *impl_;
    const Vec2 shake = self.sensor.shake(frame, seconds);
    self.camera = self.still;
    self.camera.centre = self.camera.centre + shake;
    self.shift_x = self.background.margin - static_cast<int>(std::lround(shake.x));
    self.shift_y = self.background.margin - static_cast<int>(std::lround(shake.y));
    self.line_up(vehicles);
    copy_moved(self.background, shake, self.picture);
    self.ground.begin(self.shift_x, self.shift_y);
    for (const auto& turn : self.order)
        self.ground.add_shadow(self.camera, vehicles[turn.vehicle], turn.pose, turn.direction);
    self.ground.darken(self.picture);
    for (const auto& turn : self.order) {
        self.ground.add_light(self.picture, self.camera, vehicles[turn.vehicle], turn.pose, turn.direction);
    }
    std::fill(self.owner.begin(), self.owner.end(), std::uint16_t{0});
    std::vector<Sighting> seen(self.order.size());
    for (std::size_t i = 0; i < self.order.size(); ++i) {
        const Vehicle& vehicle = vehicles[self.order[i].vehicle];
        seen[i].vehicle = self.order[i].vehicle;
        seen[i].foot = self.camera.project(self.order[i].pose.origin);
        self.draw(vehicle, i, seen[i]);
        self.glow(vehicle, self.order[i]);
    }
    self.sensor.draw_rain(self.picture, frame);
    self.sensor.finish(self.picture, frame);
    if (sightings) {
        sightings->clear();
        for (std::size_t i = 0; i < seen.size(); ++i) {
            if (self.painted[i] == 0) continue;
            seen[i].visible = static_cast<float>(self.painted[i]) / static_cast<float>(self.silhouette[i]);
            sightings->push_back(seen[i]);
        }
    }
    return self.picture;
}

}  // namespace divs::synth
