#include "raster.hpp"

#include <algorithm>
#include <cmath>

namespace divs::synth {
namespace {

std::uint32_t packed(Rgb high, Rgb low, float t) noexcept {
    std::uint32_t colour = 0xFF000000U;
    for (int c = 0; c < 3; ++c) {
        const auto i = static_cast<std::size_t>(c);
        const float value = high[i] + (static_cast<float>(low[i]) - high[i]) * t;
        colour |= static_cast<std::uint32_t>(value) << (8 * c);
    }
    return colour;
}

}  // namespace

void Sheet::open(const PixelBox& box) {
    box_ = box;
    touched_ = {box.right, box.left, box.bottom, box.top};
    across_ = box.width() * oversample;
    down_ = box.height() * oversample;
    samples_.assign(static_cast<std::size_t>(across_) * static_cast<std::size_t>(down_), 0);
}

void Sheet::fill(std::span<const Vec2> corners, Rgb high, Rgb low) {
    const auto to_sample = [&](Vec2 p) {
        return Vec2{(p.x - static_cast<float>(box_.left)) * oversample - 0.5F,
                    (p.y - static_cast<float>(box_.top)) * oversample - 0.5F};
    };
    float upper = 1e9F, lower = -1e9F;
    for (const Vec2 corner : corners) {
        upper = std::min(upper, to_sample(corner).y);
        lower = std::max(lower, to_sample(corner).y);
    }
    const int first = std::max(0, static_cast<int>(std::ceil(upper)));
    const int last = std::min(down_ - 1, static_cast<int>(std::floor(lower)));
    for (int y = first; y <= last; ++y) {
        float left = 1e9F, right = -1e9F;
        const auto line = static_cast<float>(y);
        for (std::size_t i = 0; i < corners.size(); ++i) {
            const Vec2 a = to_sample(corners[i]), b = to_sample(corners[(i + 1) % corners.size()]);
            if ((a.y > line) == (b.y > line)) continue;
            const float x = a.x + (b.x - a.x) * (line - a.y) / (b.y - a.y);
            left = std::min(left, x);
            right = std::max(right, x);
        }
        const int from = std::max(0, static_cast<int>(std::ceil(std::max(left, -1.0F))));
        const int to = std::min(across_ - 1, static_cast<int>(std::floor(std::min(right, 1e6F))));
        if (from > to) continue;
        const std::uint32_t colour = packed(high, low, (line - upper) / std::max(1e-3F, lower - upper));
        std::uint32_t* out =
            samples_.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(across_);
        std::fill(out + from, out + to + 1, colour);
        touched_.left = std::min(touched_.left, box_.left + from / oversample);
        touched_.right = std::max(touched_.right, box_.left + to / oversample + 1);
        touched_.top = std::min(touched_.top, box_.top + y / oversample);
        touched_.bottom = std::max(touched_.bottom, box_.top + y / oversample + 1);
    }
}

}  // namespace divs::synth
