#include "background.hpp"

#include <algorithm>
#include <cmath>

#include "light.hpp"
#include "solids.hpp"
#include "texture.hpp"

namespace divs::synth {
namespace {

constexpr int oversample = 2;  // rays per pixel and axis

// The ground outside a solid's shadow box is certainly not in its shadow.
struct ShadowBox {
    float left, right, bottom, top;
};

class Painter {
  public:
    Painter(const Scene& scene, const Conditions& conditions, int width, int height, int margin)
        : scene_(scene), conditions_(conditions), tone_(conditions), solids_(build_solids(scene)) {
        result_.margin = margin;
        result_.picture = Picture(width + 2 * margin, height + 2 * margin);
        camera_ = camera_for(scene, width);
        camera_.centre = camera_.centre + Vec2{static_cast<float>(margin), static_cast<float>(margin)};
        const std::size_t pixels = result_.picture.planes[0].size();
        result_.depth.assign(pixels, std::numeric_limits<float>::infinity());
        result_.ground.assign(pixels, {std::numeric_limits<float>::quiet_NaN(), 0});
        across_ = result_.picture.width * oversample;
        down_ = result_.picture.height * oversample;
        hits_.resize(static_cast<std::size_t>(across_) * static_cast<std::size_t>(down_));
        texture_ = static_cast<std::uint32_t>(scene.seed);
    }

    Background paint() {
        for (std::size_t i = 0; i < solids_.size(); ++i) cast_solid(i);
        for (const Solid& solid : solids_) shadows_.push_back(shadow_of(solid));
        for (int y = 0; y < result_.picture.height; ++y) {
            for (int x = 0; x < result_.picture.width; ++x) paint_pixel(x, y);
        }
        return std::move(result_);
    }

  private:
    struct Nearest {
        float t = std::numeric_limits<float>::infinity();
        int solid = -1;
    };

    Vec3 ray(int x, int y) const {
        return camera_.ray(
            {(static_cast<float>(x) + 0.5F) / oversample, (static_cast<float>(y) + 0.5F) / oversample});
    }
    Nearest& hit_at(int x, int y) {
        return hits_[static_cast<std::size_t>(y) * static_cast<std::size_t>(across_) +
                     static_cast<std::size_t>(x)];
    }

    void cast_solid(std::size_t index);
    ShadowBox shadow_of(const Solid& solid) const;
    float sunlit(Vec3 place) const;
    Vec3 sky_colour(Vec3 direction) const;
    Vec3 solid_colour(const Solid& solid, const Hit& hit) const;
    Vec3 road_albedo(RoadPoint p, float footprint) const;
    float marking(RoadPoint p) const;
    Vec3 ground_colour(Vec3 place, RoadPoint p, Vec3 direction, float t) const;
    Vec3 sample(int x, int y);
    void paint_pixel(int x, int y);

    const Scene& scene_;
    const Conditions& conditions_;
    Tone tone_;
    std::vector<Solid> solids_;
    std::vector<ShadowBox> shadows_;
    Camera camera_;
    Background result_;
    int across_ = 0, down_ = 0;
    std::vector<Nearest> hits_;
    std::uint32_t texture_ = 0;
};

void Painter::cast_solid(std::size_t index) {
    const Solid& solid = solids_[index];
    const float reach = length(solid.half);
    const Vec3 middle = camera_.to_camera(solid.centre);
    if (middle.z < -reach) return;
    int left = 0, right = across_, top = 0, bottom = down_;
    if (middle.z > reach + 0.5F) {  // wholly in front: its bounding sphere bounds the picture area
        const Vec2 centre = camera_.to_image(middle);
        const float radius = camera_.focal * reach / (middle.z - reach);
        left = std::clamp(static_cast<int>((centre.x - radius) * oversample), 0, across_);
        right = std::clamp(static_cast<int>((centre.x + radius) * oversample) + 1, 0, across_);
        top = std::clamp(static_cast<int>((centre.y - radius) * oversample), 0, down_);
        bottom = std::clamp(static_cast<int>((centre.y + radius) * oversample) + 1, 0, down_);
    }
    for (int y = top; y < bottom; ++y) {
        for (int x = left; x < right; ++x) {
            const auto hit = intersect(solid, camera_.position, ray(x, y));
            Nearest& nearest = hit_at(x, y);
            if (hit && hit->t < nearest.t) nearest = {hit->t, static_cast<int>(index)};
        }
    }
}

ShadowBox Painter::shadow_of(const Solid& solid) const {
    const float reach = std::hypot(solid.half.x, solid.half.y);
    const float top = solid.centre.z + solid.half.z;
    const Vec3 sun = conditions_.to_sun;
    const float x = -sun.x / sun.z * top, y = -sun.y / sun.z * top;
    return {solid.centre.x - reach + std::min(0.0F, x), solid.centre.x + reach + std::max(0.0F, x),
            solid.centre.y - reach + std::min(0.0F, y), solid.centre.y + reach + std::max(0.0F, y)};
}

float Painter::sunlit(Vec3 place) const {
    if (conditions_.sun.x <= 0) return 0;
    for (std::size_t i = 0; i < solids_.size(); ++i) {
        const ShadowBox& box = shadows_[i];
        if (place.x < box.left || place.x > box.right || place.y < box.bottom || place.y > box.top) continue;
        if (intersect(solids_[i], place, conditions_.to_sun)) return 0;
    }
    return 1;
}

Vec3 Painter::sky_colour(Vec3 direction) const {
    const Vec3 way = normalised(direction);
    Vec3 colour = sky(conditions_, way.z);
    const float flat = std::max(0.05F, way.z);
    const float cloud = cloudy_noise(way.x / flat * 0.7F, way.y / flat * 0.7F, texture_ + 11);
    const float cover = smooth_step(0.45F, 0.75F, cloud) * (conditions_.overcast ? 0.35F : 0.55F);
    return mix(colour, conditions_.sky_low * (conditions_.overcast ? 0.8F : 1.15F), cover);
}

Vec3 Painter::solid_colour(const Solid& solid, const Hit& hit) const {
    Vec3 albedo = solid.colour;
    const bool night = conditions_.daylight == Daylight::night;
    const Vec3 p = hit.local;
    if (solid.surface == Surface::lamp)
        return conditions_.lamp.x > 0 ? conditions_.lamp * 5.0F
                                      : Vec3{0.5F, 0.5F, 0.5F} * conditions_.ambient;
    if (solid.surface == Surface::foliage) {
        const float clump = cloudy_noise(p.x * 1.6F + p.y * 0.9F, p.z * 1.6F - p.y, solid.seed);
        albedo = albedo * (0.35F + 1.3F * clump);
    } else if (solid.surface == Surface::facade) {
        const bool front = std::fabs(std::fabs(p.y) - solid.half.y) < 0.02F,
                   roof = solid.half.z - p.z < 0.02F;
        if (roof) return matt(conditions_, {0.2F, 0.2F, 0.2F}, hit.normal, 1, 0);
        const float u = (front ? p.x : p.y) / 2.6F, v = (p.z + solid.half.z) / 3.1F;
        const float fu = u - std::floor(u), fv = v - std::floor(v);
        albedo = albedo * (0.85F + 0.3F * value_noise(u * 3, v * 3, solid.seed));
        if (fu > 0.22F && fu < 0.78F && fv > 0.3F && fv < 0.82F) {
            const float mood = lattice_value(static_cast<int>(std::floor(u)) + (front ? 0 : 50),
                                             static_cast<int>(std::floor(v)), solid.seed);
            const bool lit = conditions_.headlights && mood < (night ? 0.25F : 0.15F);
            if (lit) return Vec3{0.9F, 0.65F, 0.32F} * (0.15F + mood);
            return mix(Vec3{0.05F, 0.06F, 0.07F} * conditions_.ambient * 2.0F, conditions_.sky_low,
                       0.15F + 0.3F * mood);
        }
    } else if (solid.surface == Surface::sign) {
        const float u = p.x / solid.half.x, v = p.z / solid.half.z;
        const bool frame = std::fabs(u) > 0.94F || std::fabs(v) > 0.9F;
        const int row = static_cast<int>(std::floor(v * 2.2F + 8));
        const bool text = row % 2 == 0 && std::fabs(u) < 0.75F &&
                          lattice_value(static_cast<int>(std::floor(u * 9)), row, solid.seed) > 0.35F;
        if (frame || text) albedo = {0.75F, 0.75F, 0.75F};
    } else if (solid.surface == Surface::concrete) {
        albedo = albedo * (0.75F + 0.5F * cloudy_noise(p.x + p.y * 0.8F, p.z * 2, solid.seed));
    }
    const RoadPoint at = scene_.line.locate(solid.centre.x, solid.centre.y);
    const float lamps = solid.centre.z < 8 ? lamp_light(scene_, at) * 0.6F : 0.1F;
    return matt(conditions_, albedo, hit.normal, 1, lamps);
}

// 1 on paint, 0 on asphalt.
float Painter::marking(RoadPoint p) const {
    const float width = 0.075F;
    const float edge = std::min(std::fabs(p.d - scene_.left - 0.35F), std::fabs(p.d - scene_.right + 0.35F));
    if (edge < width) return 1;
    if (!scene_.barrier && scene_.median_right > 0 &&
        scene_.median_right < 0.5F) {  // a double line in the middle
        if (std::fabs(std::fabs(p.d) - 0.14F) < width) return 1;
    }
    for (const Lane& lane : scene_.lanes) {
        const auto outer = static_cast<float>(std::fabs(lane.d)) + scene_.lane_width / 2;
        const auto inner = outer - scene_.lane_width;
        if ((lane.d > 0) != (p.d > 0)) continue;
        const float here = std::fabs(p.d);
        if (inner > scene_.median_right + 0.3F && std::fabs(here - inner) < width) {
            const float dash = std::fmod(p.s + 900, 9.0F);
            return dash < 3.4F ? 1.0F : 0.0F;
        }
        if (inner <= scene_.median_right + 0.3F && scene_.median_right > 0.5F &&
            std::fabs(here - inner) < width)
            return 1;
    }
    return 0;
}

Vec3 Painter::road_albedo(RoadPoint p, float footprint) const {
    const float fine = std::max(0.0F, 1 - footprint * 2.5F);  // texture finer than a pixel averages out
    float grain = 0.82F + 0.36F * cloudy_noise(p.s * 0.22F, p.d * 0.5F, texture_ + 1);
    grain += 0.25F * fine * (value_noise(p.s * 7, p.d * 7, texture_ + 3) - 0.5F);
    float wear = 1;  // wheel tracks and an oily middle
    for (const Lane& lane : scene_.lanes) {
        const float off = std::fabs(p.d - static_cast<float>(lane.d));
        if (off > scene_.lane_width / 2) continue;
        wear = 1 - 0.14F * std::exp(-(off - 0.8F) * (off - 0.8F) * 9) - 0.10F * std::exp(-off * off * 6);
    }
    const float crack = std::fabs(cloudy_noise(p.s * 0.35F, p.d * 0.9F, texture_ + 5) - 0.5F);
    if (crack < 0.008F) wear *= 0.75F;
    const float patch = lattice_value(static_cast<int>(std::floor(p.s / 13)),
                                      static_cast<int>(std::floor(p.d / 3.6F)), texture_ + 9);
    if (patch < 0.06F) wear *= 0.8F;
    const float wet = 1 - 0.45F * std::min(1.0F, conditions_.rain * 1.5F);
    Vec3 albedo = scene_.asphalt * (grain * wear * wet);
    const float worn =
        0.5F + 0.45F * smooth_step(0.25F, 0.6F, cloudy_noise(p.s * 0.4F, p.d * 3, texture_ + 6));
    return mix(albedo, {0.68F, 0.67F, 0.63F}, marking(p) * worn);
}

Vec3 Painter::ground_colour(Vec3 place, RoadPoint p, Vec3 direction, float t) const {
    const float footprint = t / camera_.focal;  // metres that a pixel covers sideways
    const bool asphalt = p.d > scene_.left && p.d < scene_.right;
    const bool grass_median =
        scene_.median_right > 0.9F && !scene_.barrier && std::fabs(p.d) < scene_.median_right - 0.25F;
    Vec3 albedo;
    if (asphalt && !grass_median) {
        albedo = road_albedo(p, footprint);
    } else {
        const float clump = cloudy_noise(place.x * 0.15F, place.y * 0.15F, texture_ + 2);
        const float fine =
            std::max(0.0F, 1 - footprint * 3) * (value_noise(place.x * 4, place.y * 4, texture_ + 4) - 0.5F);
        const float kerb =
            p.d > scene_.right + 1.6F || p.d < scene_.left - 1.6F || grass_median ? 1.0F : 0.0F;
        const Vec3 pavement{0.22F, 0.215F, 0.2F};
        const bool paved = scene_.surroundings == Surroundings::city || kerb == 0;
        albedo = (paved ? mix(pavement, scene_.verge, 0.25F) : scene_.verge) *
                 (0.65F + 0.6F * clump + 0.5F * fine);
    }
    const bool on_road = asphalt || std::fabs(p.d) < 60;
    Vec3 colour =
        matt(conditions_, albedo, {0, 0, 1}, sunlit(place), on_road ? lamp_light(scene_, p) : 0.05F);
    if (asphalt &&
        conditions_.rain > 0) {  // a wet road mirrors the sky at grazing angles (Schlick's approximation)
        const Vec3 way = normalised(direction);
        const float grazing = 1 + way.z;
        const float puddle = smooth_step(0.35F, 0.7F, cloudy_noise(p.s * 0.12F, p.d * 0.5F, texture_ + 8));
        const float mirror =
            (0.02F + 0.9F * std::pow(grazing, 5.0F)) * conditions_.rain * (0.5F + 0.5F * puddle);
        colour = mix(colour, sky(conditions_, -way.z), std::min(0.75F, mirror));
    }
    return colour;
}

Vec3 Painter::sample(int x, int y) {
    const Vec3 direction = ray(x, y);
    const Nearest& nearest = hit_at(x, y);
    const float to_ground =
        direction.z < -1e-5F ? -camera_.position.z / direction.z : std::numeric_limits<float>::infinity();
    const float scale = length(direction);
    if (nearest.solid >= 0 && nearest.t < to_ground) {
        const Solid& solid = solids_[static_cast<std::size_t>(nearest.solid)];
        const auto hit = intersect(solid, camera_.position, direction);
        const Vec3 colour = solid_colour(solid, *hit);
        return solid.surface == Surface::lamp ? colour : hazed(conditions_, colour, nearest.t * scale);
    }
    if (to_ground < 3000) {
        const Vec3 place = camera_.position + direction * to_ground;
        const RoadPoint p = scene_.line.locate(place.x, place.y);
        return hazed(conditions_, ground_colour(place, p, direction, to_ground), to_ground * scale);
    }
    const float horizon = smooth_step(0.0F, 0.1F, direction.z / scale);
    return mix(conditions_.haze, sky_colour(direction), 0.3F + 0.7F * horizon);
}

void Painter::paint_pixel(int x, int y) {
    int red = 0, green = 0, blue = 0;
    for (int j = 0; j < oversample; ++j) {
        for (int i = 0; i < oversample; ++i) {
            const auto rgb = tone_(sample(x * oversample + i, y * oversample + j));
            red += rgb[0];
            green += rgb[1];
            blue += rgb[2];
        }
    }
    constexpr int samples = oversample * oversample;
    const std::size_t at = result_.picture.at(x, y);
    result_.picture.planes[0][at] = static_cast<std::uint8_t>((red + samples / 2) / samples);
    result_.picture.planes[1][at] = static_cast<std::uint8_t>((green + samples / 2) / samples);
    result_.picture.planes[2][at] = static_cast<std::uint8_t>((blue + samples / 2) / samples);
    const Vec3 direction = camera_.ray({static_cast<float>(x) + 0.5F, static_cast<float>(y) + 0.5F});
    const Nearest& nearest = hit_at(x * oversample, y * oversample);
    const float to_ground =
        direction.z < -1e-5F ? -camera_.position.z / direction.z : std::numeric_limits<float>::infinity();
    if (nearest.solid >= 0 && nearest.t < to_ground) {
        result_.depth[at] = nearest.t;
    } else if (to_ground < 600) {
        const Vec3 place = camera_.position + direction * to_ground;
        result_.ground[at] = scene_.line.locate(place.x, place.y);
    }
}

}  // namespace

Background render_background(const Scene& scene, const Conditions& conditions, int width, int height,
                             int margin) {
    return Painter(scene, conditions, width, height, margin).paint();
}

}  // namespace divs::synth
