#include "background.hpp"

#include <algorithm>
#include <cmath>

#include "light.hpp"
#include "solids.hpp"
#include "surfaces.hpp"

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
        : scene_(scene),
          conditions_(conditions),
          tone_(conditions),
          surfaces_(scene, conditions),
          solids_(build_solids(scene)) {
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
    Vec3 sample(int x, int y);
    void paint_pixel(int x, int y);

    const Scene& scene_;
    const Conditions& conditions_;
    Tone tone_;
    Surfaces surfaces_;
    std::vector<Solid> solids_;
    std::vector<ShadowBox> shadows_;
    Camera camera_;
    Background result_;
    int across_ = 0, down_ = 0;
    std::vector<Nearest> hits_;
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

Vec3 Painter::sample(int x, int y) {
    const Vec3 direction = ray(x, y);
    const Nearest& nearest = hit_at(x, y);
    const float to_ground =
        direction.z < -1e-5F ? -camera_.position.z / direction.z : std::numeric_limits<float>::infinity();
    const float scale = length(direction);
    if (nearest.solid >= 0 && nearest.t < to_ground) {
        const Solid& solid = solids_[static_cast<std::size_t>(nearest.solid)];
        const auto hit = intersect(solid, camera_.position, direction);
        const Vec3 colour = surfaces_.of_solid(solid, *hit);
        return solid.surface == Surface::lamp ? colour : hazed(conditions_, colour, nearest.t * scale);
    }
    if (to_ground < 3000) {
        const Vec3 place = camera_.position + direction * to_ground;
        const RoadPoint p = scene_.line.locate(place.x, place.y);
        return hazed(conditions_,
                     surfaces_.of_ground(place, p, direction, to_ground / camera_.focal, sunlit(place)),
                     to_ground * scale);
    }
    const float horizon = smooth_step(0.0F, 0.1F, direction.z / scale);
    return mix(conditions_.haze, surfaces_.of_sky(direction), 0.3F + 0.7F * horizon);
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
