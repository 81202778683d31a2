#include "divs/synth/picture.hpp"

#include <algorithm>
#include <cmath>

namespace divs::synth {

std::uint64_t hash_of(const Picture& picture) noexcept {
    std::uint64_t hash = 0xCBF29CE484222325ULL;
    const auto eat = [&](std::uint64_t byte) { hash = (hash ^ byte) * 0x100000001B3ULL; };
    for (const int size : {picture.width, picture.height}) {
        for (int shift = 0; shift < 32; shift += 8) eat((static_cast<std::uint32_t>(size) >> shift) & 0xFFU);
    }
    for (const auto& plane : picture.planes) {
        for (const std::uint8_t value : plane) eat(value);
    }
    return hash;
}

namespace {

// Mean of a plane over [x0, x1) x [y0, y1), pixels counted by the part that is covered.
float area_mean(const std::vector<std::uint8_t>& plane, const Picture& picture, float x0, float x1, float y0,
                float y1) {
    float sum = 0, weights = 0;
    const int left = std::max(0, static_cast<int>(x0)),
              right = std::min(picture.width, static_cast<int>(std::ceil(x1)));
    const int top = std::max(0, static_cast<int>(y0)),
              bottom = std::min(picture.height, static_cast<int>(std::ceil(y1)));
    for (int y = top; y < bottom; ++y) {
        const float high = std::min(y1, static_cast<float>(y + 1)) - std::max(y0, static_cast<float>(y));
        for (int x = left; x < right; ++x) {
            const float weight =
                high * (std::min(x1, static_cast<float>(x + 1)) - std::max(x0, static_cast<float>(x)));
            sum += weight * static_cast<float>(plane[picture.at(x, y)]);
            weights += weight;
        }
    }
    return weights > 0 ? sum / weights : 0;
}

}  // namespace

Picture crop_scaled(const Picture& picture, float x, float y, float width, float height, int out_width,
                    int out_height) {
    Picture out(out_width, out_height);
    const float step_x = width / static_cast<float>(out_width),
                step_y = height / static_cast<float>(out_height);
    for (std::size_t plane = 0; plane < 3; ++plane) {
        for (int j = 0; j < out_height; ++j) {
            for (int i = 0; i < out_width; ++i) {
                const float x0 = x + step_x * static_cast<float>(i), y0 = y + step_y * static_cast<float>(j);
                const float mean =
                    area_mean(picture.planes[plane], picture, x0, x0 + step_x, y0, y0 + step_y);
                out.planes[plane][out.at(i, j)] = static_cast<std::uint8_t>(std::lround(mean));
            }
        }
    }
    return out;
}

}  // namespace divs::synth
