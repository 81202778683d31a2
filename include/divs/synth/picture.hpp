// A colour picture in planes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "divs/video/encode.hpp"

namespace divs::synth {

struct Picture {
    int width = 0, height = 0;
    std::array<std::vector<std::uint8_t>, 3> planes;  // red, green, blue: (height, width), 8 bit

    Picture() = default;
    Picture(int w, int h) : width(w), height(h) {
        for (auto& plane : planes) plane.assign(static_cast<std::size_t>(w) * static_cast<std::size_t>(h), 0);
    }
    std::size_t at(int x, int y) const noexcept {
        return static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x);
    }
    video::RgbPlanes view() const noexcept { return {width, height, planes[0], planes[1], planes[2]}; }
};

// 64-bit FNV-1a over size and planes.
std::uint64_t hash_of(const Picture& picture) noexcept;

// Box of whole pixels [x, x + width) x [y, y + height) scaled to another size by averaging the area.
Picture crop_scaled(const Picture& picture, float x, float y, float width, float height, int out_width,
                    int out_height);

}  // namespace divs::synth
