// How light falls on a surface and how the camera turns it into 8 bits.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "divs/synth/scene.hpp"

namespace divs::synth {

// Light leaving a matt surface. sunlit: 0 in shadow .. 1; lamps: as lamp_light().
inline Vec3 matt(const Conditions& c, Vec3 albedo, Vec3 normal, float sunlit, float lamps) noexcept {
    const float toward_sun = std::fmax(0.0F, dot(normal, c.to_sun)) * sunlit;
    const float open = 0.62F + 0.38F * normal.z;  // how much sky it sees
    const float under_lamp = lamps * (0.35F + 0.65F * std::fmax(0.0F, normal.z));
    return albedo * (c.sun * toward_sun + c.ambient * open + c.lamp * under_lamp);
}

inline Vec3 hazed(const Conditions& c, Vec3 colour, float distance) noexcept {
    return mix(c.haze, colour, std::exp(-distance * c.haze_density));
}

inline Vec3 sky(const Conditions& c, float up) noexcept {
    return mix(c.sky_low, c.sky_high, std::fmin(1.0F, std::fmax(0.0F, up * 2.2F)));
}

// Linear light to display values: exposure, white balance, highlight roll-off, gamma.
class Tone {
  public:
    explicit Tone(const Conditions& c) : scale_(c.balance * c.exposure) {
        for (std::size_t i = 0; i < table_.size(); ++i) {
            const float light = (static_cast<float>(i) + 0.5F) / steps_per_unit;
            const float rolled = light < 0.7F ? light : 0.7F + 0.3F * (1 - std::exp(-(light - 0.7F) / 0.45F));
            table_[i] =
                static_cast<std::uint8_t>(std::lround(255 * std::pow(std::fmin(1.0F, rolled), 1 / c.gamma)));
        }
    }
    std::array<std::uint8_t, 3> operator()(Vec3 light) const noexcept {
        const Vec3 v = light * scale_;
        return {look_up(v.x), look_up(v.y), look_up(v.z)};
    }

  private:
    static constexpr float steps_per_unit = 2048;
    std::uint8_t look_up(float v) const noexcept {
        const float step = std::fmin(static_cast<float>(table_size - 1), std::fmax(0.0F, v * steps_per_unit));
        return table_[static_cast<std::size_t>(step)];
    }
    static constexpr std::size_t table_size = 5120;
    Vec3 scale_;
    std::array<std::uint8_t, table_size> table_{};
};

}  // namespace divs::synth
