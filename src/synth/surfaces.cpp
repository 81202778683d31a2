#include "surfaces.hpp"

#include <algorithm>
#include <cmath>

#include "light.hpp"
#include "texture.hpp"

namespace divs::synth {

Vec3 Surfaces::of_sky(Vec3 direction) const {
    const Vec3 way = normalised(direction);
    Vec3 colour = sky(conditions_, way.z);
    const float flat = std::max(0.05F, way.z);
    const float cloud = cloudy_noise(way.x / flat * 0.7F, way.y / flat * 0.7F, texture_ + 11);
    const float cover = smooth_step(0.45F, 0.75F, cloud) * (conditions_.overcast ? 0.35F : 0.55F);
    return mix(colour, conditions_.sky_low * (conditions_.overcast ? 0.8F : 1.15F), cover);
}

namespace {

// Rows of light strokes in a frame, as of a road sign read from afar.
bool lettered(const Solid& solid, Vec3 p) {
    const float u = p.x / solid.half.x, v = p.z / solid.half.z;
    if (std::fabs(u) > 0.94F || std::fabs(v) > 0.9F) return true;
    const int row = static_cast<int>(std::floor(v * 2.2F + 8));
    return row % 2 == 0 && std::fabs(u) < 0.75F &&
           lattice_value(static_cast<int>(std::floor(u * 9)), row, solid.seed) > 0.35F;
}

}  // namespace

// What a solid of this colour sends back, under the sky and the street lamps.
Vec3 Surfaces::plain(const Solid& solid, const Hit& hit, Vec3 albedo) const {
    const RoadPoint at = scene_.line.locate(solid.centre.x, solid.centre.y);
    return matt(conditions_, albedo, hit.normal, 1,
                solid.centre.z < 8 ? lamp_light(scene_, at) * 0.6F : 0.1F);
}

// A wall with rows of windows, some lit after dark.
Vec3 Surfaces::facade(const Solid& solid, const Hit& hit) const {
    const Vec3 p = hit.local;
    if (solid.half.z - p.z < 0.02F)
        return matt(conditions_, {0.2F, 0.2F, 0.2F}, hit.normal, 1, 0);  // the roof
    const bool front = std::fabs(std::fabs(p.y) - solid.half.y) < 0.02F;
    const float u = (front ? p.x : p.y) / 2.6F, v = (p.z + solid.half.z) / 3.1F;  // in windows and floors
    const float across = u - std::floor(u), up = v - std::floor(v);
    if (across > 0.22F && across < 0.78F && up > 0.3F && up < 0.82F) {
        const float mood = lattice_value(static_cast<int>(std::floor(u)) + (front ? 0 : 50),
                                         static_cast<int>(std::floor(v)), solid.seed);
        const float lit = conditions_.daylight == Daylight::night ? 0.25F : 0.15F;
        if (conditions_.headlights && mood < lit) return Vec3{0.9F, 0.65F, 0.32F} * (0.15F + mood);
        const Vec3 dark = Vec3{0.1F, 0.12F, 0.14F} * conditions_.ambient;
        return mix(dark, conditions_.sky_low, 0.15F + 0.3F * mood);
    }
    const Vec3 albedo = solid.colour * (0.85F + 0.3F * value_noise(u * 3, v * 3, solid.seed));
    return plain(solid, hit, albedo);
}

Vec3 Surfaces::of_solid(const Solid& solid, const Hit& hit) const {
    const Vec3 p = hit.local;
    Vec3 albedo = solid.colour;
    switch (solid.surface) {
        case Surface::facade:
            return facade(solid, hit);
        case Surface::lamp:
            return conditions_.lamp.x > 0 ? conditions_.lamp * 5.0F
                                          : Vec3{0.5F, 0.5F, 0.5F} * conditions_.ambient;
        case Surface::foliage:
            albedo =
                albedo * (0.35F + 1.3F * cloudy_noise(p.x * 1.6F + p.y * 0.9F, p.z * 1.6F - p.y, solid.seed));
            break;
        case Surface::sign:
            if (lettered(solid, p)) albedo = {0.75F, 0.75F, 0.75F};
            break;
        case Surface::concrete:
            albedo = albedo * (0.75F + 0.5F * cloudy_noise(p.x + p.y * 0.8F, p.z * 2, solid.seed));
            break;
        case Surface::bark:
        case Surface::metal:
            break;
    }
    return plain(solid, hit, albedo);
}

float Surfaces::marking(RoadPoint p) const {
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

Vec3 Surfaces::road_albedo(RoadPoint p, float footprint) const {
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

Vec3 Surfaces::of_ground(Vec3 place, RoadPoint p, Vec3 direction, float footprint, float sunlit) const {
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
    Vec3 colour = matt(conditions_, albedo, {0, 0, 1}, sunlit, on_road ? lamp_light(scene_, p) : 0.05F);
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

}  // namespace divs::synth
