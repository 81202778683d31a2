#include "divs/synth/scene.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "draw.hpp"

namespace divs::synth {
namespace {

constexpr float degrees = std::numbers::pi_v<float> / 180;

void lay_road(Scene& scene, Draw& draw) {
    const int each[] = {2, 2, 3, 3};
    const bool one_way = draw.chance(0.15);
    const int away = draw.pick(each) + (one_way ? 1 : 0),
              toward = one_way ? 0 : std::clamp(away + draw.below(3) - 1, 2, 3);
    scene.lane_width = draw.range(3.2, 3.75);
    const bool wide_median = away + toward > 2 && draw.chance(0.7);
    const float half_median = toward == 0 ? 0.0F : wide_median ? draw.range(0.8, 2.5) : 0.15F;
    const float shoulder = draw.range(0.4, 2.8);
    const bool left_hand = draw.chance(0.3);
    const float side = left_hand ? -1.0F : 1.0F;
    auto add = [&](Direction direction, int count, float sign) {
        for (int i = 0; i < count; ++i) {
            scene.lanes.push_back(
                {direction, sign * (half_median + (static_cast<float>(i) + 0.5F) * scene.lane_width)});
        }
    };
    add(Direction::away, away, side);
    add(Direction::toward, toward, -side);
    const auto edge = [&](int count) {
        return half_median + static_cast<float>(count) * scene.lane_width + shoulder;
    };
    scene.right = left_hand ? edge(toward) : edge(away);
    scene.left = -(left_hand ? edge(away) : edge(toward));
    if (toward == 0) (left_hand ? scene.right : scene.left) = side * -0.6F;
    scene.median_left = -half_median;
    scene.median_right = half_median;
    scene.barrier = wide_median && draw.chance(0.7);
    scene.line.curvature = draw.chance(0.35) ? 0.0F : draw.range(-1, 1) / 400;
    scene.speed_limit = away >= 2 ? draw.range(19, 33) : draw.range(12, 22);
}

void dress(Scene& scene, Draw& draw) {
    scene.surroundings = static_cast<Surroundings>(draw.below(4));
    const float grey = draw.range(0.06, 0.24);
    scene.asphalt = Vec3{grey, grey, grey} * draw.colour({0.94F, 0.95F, 0.94F}, {1.08F, 1.03F, 1.08F});
    const Vec3 verges[] = {
        {0.10F, 0.15F, 0.05F}, {0.16F, 0.18F, 0.07F}, {0.27F, 0.23F, 0.13F}, {0.2F, 0.2F, 0.19F}};
    scene.verge = draw.pick(verges) * draw.range(0.7, 1.25);
    if (draw.chance(0.75)) scene.lamp_spacing = draw.range(26, 45);
    scene.lamps_left = draw.chance(0.5);
    if (draw.chance(0.3)) scene.gantry = draw.range(75, 150);
    scene.guard_rails = draw.chance(0.4);
}

struct Mount {
    float d, height, field,
        horizon;  // field: degrees from side to side; horizon: height in the picture, 0 top .. 1 bottom
};

// On a gantry over the road, on a pole beside it, or on a building.
Mount random_mount(const Scene& scene, Draw& draw) {
    const float middle = (scene.left + scene.right) / 2, half = (scene.right - scene.left) / 2;
    const float place = draw.range(0, 1), side = draw.chance(0.5) ? 1.0F : -1.0F;
    if (place < 0.45F) {
        const float d = middle + side * half * draw.range(0, 0.6);
        return {d, draw.range(8, 11), draw.range(42, 54), draw.range(0.02, 0.16)};
    }
    if (place < 0.85F) {
        const float d = middle + side * (half + draw.range(1, 4));
        return {d, draw.range(8.5, 12), draw.range(42, 54), draw.range(0.02, 0.15)};
    }
    const float d = middle + side * half * draw.range(0, 1.2);
    return {d, draw.range(12, 16), draw.range(38, 50), draw.range(-0.06, 0.1)};
}

struct Aim {
    float yaw = 0, share = 0;  // share of the watched stretch that is in the picture
};

float watched_share(const Scene& scene, const Camera& camera, float aspect) {
    int seen = 0, all = 0;
    for (int i = 0; i <= 8; ++i) {
        for (int j = 0; j <= 4; ++j, ++all) {
            const float s = scene.near + (scene.far - scene.near) * static_cast<float>(i) / 8;
            const float d = scene.left + (scene.right - scene.left) * static_cast<float>(j) / 4;
            const Vec3 p = camera.to_camera(scene.line.at({s, d}));
            if (p.z < 1) continue;
            const Vec2 at = camera.to_image(p);
            seen += at.x > 0 && at.x < 1 && at.y > 0 && at.y < aspect ? 1 : 0;
        }
    }
    return static_cast<float>(seen) / static_cast<float>(all);
}

// Turns the camera to where most of the watched stretch is in the picture. The ground at the picture's bottom
// edge is where the stretch begins; it ends where a metre is 1.4 % of the picture's width.
Aim aim_camera(Scene& scene, const Mount& mount, float roll, float aspect) {
    const float focal = 0.5F / std::tan(mount.field / 2 * degrees);
    const float pitch = std::atan((0.5F - mount.horizon) * aspect / focal);
    const float first = mount.height / std::tan(pitch + std::atan(0.5F * aspect / focal));
    scene.near = first + 3;
    scene.far = std::clamp(focal / 0.014F, scene.near + 45, scene.near + 90);
    scene.count_at = scene.near + (scene.far - scene.near) * 0.25F;
    Aim best;
    for (int turn = -30; turn <= 30; ++turn) {
        const float yaw = static_cast<float>(turn) * 1.5F * degrees;
        const Camera camera =
            Camera::looking({mount.d, 0, mount.height}, yaw, pitch, roll, focal, {0.5F, 0.5F * aspect});
        const float share =
            watched_share(scene, camera, aspect) - 0.0005F * static_cast<float>(std::abs(turn));
        if (share <= best.share) continue;
        best = {yaw, share};
        scene.camera = camera;
    }
    return best;
}

void mount_camera(Scene& scene, Draw& draw, float aspect) {
    for (int attempt = 0; attempt < 40; ++attempt) {
        const Mount mount = random_mount(scene, draw);
        if (aim_camera(scene, mount, draw.range(-2, 2) * degrees, aspect).share > 0.8F) return;
    }
}

void light_day(Conditions& c, Draw& draw) {
    const float azimuth = draw.range(0, 2 * std::numbers::pi), elevation = draw.range(22, 68) * degrees;
    c.to_sun = {std::cos(elevation) * std::cos(azimuth), std::cos(elevation) * std::sin(azimuth),
                std::sin(elevation)};
    const float low = 1 - elevation / (70 * degrees);
    c.sun = Vec3{1.0F, 0.97F - 0.10F * low, 0.92F - 0.25F * low} * draw.range(1.1, 1.6);
    c.ambient = Vec3{0.28F, 0.32F, 0.38F} * draw.range(0.8, 1.3);
    c.sky_high = {0.16F, 0.34F, 0.66F};
    c.sky_low = {0.58F, 0.70F, 0.82F};
    if (c.overcast) {
        const float grey = draw.range(0.45, 0.85);
        c.sun = {0, 0, 0};
        c.ambient = Vec3{0.95F, 0.98F, 1.0F} * draw.range(0.5, 0.85);
        c.sky_high = Vec3{0.85F, 0.9F, 0.96F} * grey;
        c.sky_low = Vec3{0.98F, 1.0F, 1.0F} * grey;
    }
    c.noise = draw.range(0.8, 3);
}

void light_dusk(Conditions& c, Draw& draw) {
    const float azimuth = draw.range(0, 2 * std::numbers::pi), elevation = draw.range(5, 11) * degrees;
    c.to_sun = {std::cos(elevation) * std::cos(azimuth), std::cos(elevation) * std::sin(azimuth),
                std::sin(elevation)};
    const bool morning = draw.chance(0.5);
    c.sun = c.overcast ? Vec3{} : Vec3{0.85F, 0.48F, 0.22F} * draw.range(0.3, 0.7);
    c.ambient = (morning ? Vec3{0.17F, 0.20F, 0.30F} : Vec3{0.22F, 0.17F, 0.19F}) * draw.range(0.7, 1.2);
    c.sky_high = morning ? Vec3{0.12F, 0.18F, 0.36F} : Vec3{0.17F, 0.16F, 0.30F};
    c.sky_low = morning ? Vec3{0.45F, 0.42F, 0.50F} : Vec3{0.75F, 0.42F, 0.24F};
    c.lamp = draw.chance(0.6) ? Vec3{0.5F, 0.36F, 0.17F} * 0.6F : Vec3{};
    c.headlights = true;
    c.exposure = draw.range(1.1, 1.8);
    c.noise = draw.range(1.5, 4);
}

void light_night(Conditions& c, Draw& draw) {
    c.to_sun = {0, 0, 1};
    c.sun = {0, 0, 0};
    c.ambient = Vec3{0.034F, 0.037F, 0.048F} * draw.range(0.9, 2);
    c.sky_high = Vec3{0.008F, 0.010F, 0.020F} * draw.range(0.5, 2.5);
    c.sky_low = Vec3{0.05F, 0.04F, 0.035F} * draw.range(0.3, 2.0);
    const Vec3 lamps[] = {{0.55F, 0.36F, 0.12F}, {0.50F, 0.42F, 0.30F}, {0.38F, 0.42F, 0.48F}};
    c.lamp = draw.pick(lamps) * draw.range(0.4, 1.0);
    c.headlights = true;
    c.exposure = draw.range(1.5, 2.6);
    c.noise = draw.range(2, 6);
}

}  // namespace

Scene make_scene(std::uint64_t seed, std::uint64_t number, float aspect) {
    const Random random = keyed(seed, Purpose::scene, number);
    Draw draw(random);
    Scene scene;
    scene.seed = draw.bits();
    lay_road(scene, draw);
    dress(scene, draw);
    mount_camera(scene, draw, aspect);
    return scene;
}

Conditions make_conditions(std::uint64_t seed, std::uint64_t video, Daylight daylight, bool rain) {
    Draw draw(keyed(seed, Purpose::light, video));
    Conditions c;
    c.daylight = daylight;
    c.overcast = rain || draw.chance(0.3);
    c.rain = rain ? draw.range(0.3, 1) : 0.0F;
    if (daylight == Daylight::day) light_day(c, draw);
    if (daylight == Daylight::dusk) light_dusk(c, draw);
    if (daylight == Daylight::night) light_night(c, draw);
    c.haze = mix(c.sky_low, c.sky_high, 0.2F);
    c.haze_density = draw.range(0.0003, 0.002) + c.rain * draw.range(0.001, 0.004);
    if (rain) c.headlights = true;
    c.exposure *= draw.range(0.75, 1.35);
    c.gamma = draw.range(1.8, 2.3);
    c.saturation = draw.chance(daylight == Daylight::night ? 0.2 : 0.04) ? 0.0F : draw.range(0.55, 1.2);
    c.balance = draw.colour({0.9F, 0.95F, 0.88F}, {1.1F, 1.03F, 1.12F});
    c.shake = draw.chance(0.5) ? draw.range(0.2, 1.6) : draw.range(0, 0.2);
    return c;
}

Camera camera_for(const Scene& scene, int width) {
    Camera camera = scene.camera;
    const auto w = static_cast<float>(width);
    camera.focal *= w;
    camera.centre = camera.centre * w;
    return camera;
}

float lamp_offset(const Scene& scene) noexcept {
    return scene.lamps_left ? scene.left + 0.6F : scene.right - 0.6F;
}

float lamp_light(const Scene& scene, RoadPoint at) noexcept {
    if (scene.lamp_spacing <= 0) return 0.06F;
    const float nearest = std::round(at.s / scene.lamp_spacing);
    const float across = (at.d - lamp_offset(scene)) / 11;
    float sum = 0;
    for (int n = -1; n <= 1; ++n) {
        const float along = (at.s - (nearest + static_cast<float>(n)) * scene.lamp_spacing) / 10;
        const float fall = 1 + along * along + across * across;
        sum += 1 / (fall * fall);
    }
    return sum;
}

}  // namespace divs::synth
