#include "sensor.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "draw.hpp"

namespace divs::synth {
namespace {

constexpr std::size_t noise_size = 1 << 15;

std::uint8_t clip(int v) noexcept {
    return static_cast<std::uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}

void copy_row(const std::uint8_t* upper, const std::uint8_t* lower, int weight_x, int weight_y, int width,
              std::uint8_t* out) noexcept {
    const int a = (16 - weight_x) * (16 - weight_y), b = weight_x * (16 - weight_y);
    const int c = (16 - weight_x) * weight_y, d = weight_x * weight_y;
    for (int x = 0; x < width; ++x) {
        out[x] = static_cast<std::uint8_t>(
            (upper[x] * a + upper[x + 1] * b + lower[x] * c + lower[x + 1] * d + 128) >> 8);
    }
}

}  // namespace

int shake_margin(int width) noexcept {
    return 3 + width / 150;
}

Sensor::Sensor(const Conditions& conditions, int width, int height, std::uint64_t seed)
    : conditions_(conditions), width_(width), height_(height), seed_(seed) {
    const Random random = keyed(seed, Purpose::sensor, 0);
    noise_.resize(noise_size + static_cast<std::size_t>(width));
    for (std::size_t i = 0; i < noise_.size(); ++i) {
        const double value = random.normal(i % noise_size) * conditions.noise;
        noise_[i] = static_cast<std::int8_t>(std::clamp(std::lround(value), -100L, 100L));
    }
    Draw draw(keyed(seed, Purpose::shake, 0));
    for (float& phase : phases_) phase = draw.range(0, 2 * std::numbers::pi);
}

Vec2 Sensor::shake(std::uint64_t frame, double seconds) const {
    if (conditions_.shake <= 0) return {};
    const Random random = keyed(seed_, Purpose::shake, frame + 1);
    const auto t = static_cast<float>(seconds) * 2 * std::numbers::pi_v<float>;
    const float size = conditions_.shake * static_cast<float>(width_) / 1000;
    const float most = static_cast<float>(shake_margin(width_)) - 1.5F;
    const auto axis = [&](float slow, float fast, std::size_t i) {
        const float sway =
            0.9F * std::sin(slow * t + phases_[i]) + 0.7F * std::sin(fast * t + phases_[i + 1]);
        return std::clamp(size * (sway + 0.4F * static_cast<float>(random.normal(i))), -most, most);
    };
    const float x = axis(0.7F, 2.9F, 0), y = axis(0.5F, 3.7F, 2);
    return {x, y};
}

void Sensor::draw_rain(Picture& picture, std::uint64_t frame) const {
    if (conditions_.rain <= 0) return;
    Draw draw(keyed(seed_, Purpose::weather, frame));
    const int streaks = static_cast<int>(conditions_.rain * static_cast<float>(width_ * height_) / 700);
    const float slant = 0.12F + 0.1F * static_cast<float>(std::sin(static_cast<double>(seed_ % 7)));
    const int light = conditions_.daylight == Daylight::night ? 70 : 190;
    for (int n = 0; n < streaks; ++n) {
        const float near = draw.range(0, 1), x0 = draw.range(-20, width_), y0 = draw.range(-20, height_);
        const int tall = static_cast<int>((0.015F + 0.06F * near * near) * static_cast<float>(height_)) + 2;
        const int weight = static_cast<int>(20 + 38 * near);
        for (int i = 0; i < tall; ++i) {
            const int x = static_cast<int>(x0 + slant * static_cast<float>(i)), y = static_cast<int>(y0) + i;
            if (x < 0 || y < 0 || x >= width_ || y >= height_) continue;
            for (auto& plane : picture.planes) {
                auto& pixel = plane[picture.at(x, y)];
                pixel = static_cast<std::uint8_t>(pixel + ((std::max(light - pixel, 0) * weight) >> 8));
            }
        }
    }
}

void Sensor::finish(Picture& picture, std::uint64_t frame) const {
    const Random random = keyed(seed_, Purpose::sensor, frame + 1);
    const int saturation = static_cast<int>(std::lround(conditions_.saturation * 64));
    std::uint8_t *red = picture.planes[0].data(), *green = picture.planes[1].data(),
                 *blue = picture.planes[2].data();
    for (int y = 0; y < height_; ++y) {
        const std::uint64_t bits = random.bits(static_cast<std::uint64_t>(y));
        const std::int8_t* luma = noise_.data() + (bits & (noise_size - 1));
        const std::int8_t* warm = noise_.data() + ((bits >> 16) & (noise_size - 1));
        const std::int8_t* cold = noise_.data() + ((bits >> 32) & (noise_size - 1));
        for (int x = 0; x < width_; ++x) {
            const int r = red[x], g = green[x], b = blue[x];
            const int grey = (77 * r + 150 * g + 29 * b) >> 8;
            red[x] = clip(grey + (((r - grey) * saturation + luma[x] * 64 + warm[x] * 24) >> 6));
            green[x] = clip(grey + (((g - grey) * saturation + luma[x] * 64) >> 6));
            blue[x] = clip(grey + (((b - grey) * saturation + luma[x] * 64 + cold[x] * 24) >> 6));
        }
        red += width_;
        green += width_;
        blue += width_;
    }
}

void copy_moved(const Background& background, Vec2 shift, Picture& picture) {
    const float x = static_cast<float>(background.margin) - shift.x,
                y = static_cast<float>(background.margin) - shift.y;
    const int left = static_cast<int>(std::floor(x)), top = static_cast<int>(std::floor(y));
    const int weight_x = static_cast<int>((x - std::floor(x)) * 16),
              weight_y = static_cast<int>((y - std::floor(y)) * 16);
    for (std::size_t plane = 0; plane < 3; ++plane) {
        for (int row = 0; row < picture.height; ++row) {
            const std::uint8_t* upper =
                background.picture.planes[plane].data() + background.picture.at(left, top + row);
            copy_row(upper, upper + background.picture.width, weight_x, weight_y, picture.width,
                     picture.planes[plane].data() + picture.at(0, row));
        }
    }
}

void add_glow(Picture& picture, Vec2 at, float radius_x, float radius_y, Vec3 light) noexcept {
    if (!(std::fabs(at.x) < 1e5F && std::fabs(at.y) < 1e5F)) return;
    const int left = std::max(0, static_cast<int>(at.x - radius_x)),
              top = std::max(0, static_cast<int>(at.y - radius_y));
    const int right = std::min(picture.width - 1, static_cast<int>(at.x + radius_x) + 1);
    const int bottom = std::min(picture.height - 1, static_cast<int>(at.y + radius_y) + 1);
    const float colour[] = {light.x, light.y, light.z};
    for (int y = top; y <= bottom; ++y) {
        const float v = (static_cast<float>(y) + 0.5F - at.y) / radius_y;
        for (int x = left; x <= right; ++x) {
            const float u = (static_cast<float>(x) + 0.5F - at.x) / radius_x;
            const float inner = 1 - u * u - v * v;
            if (inner <= 0) continue;
            for (std::size_t c = 0; c < 3; ++c) {
                auto& pixel = picture.planes[c][picture.at(x, y)];
                pixel = static_cast<std::uint8_t>(
                    std::min(255.0F, static_cast<float>(pixel) + colour[c] * inner * inner * inner));
            }
        }
    }
}

}  // namespace divs::synth
