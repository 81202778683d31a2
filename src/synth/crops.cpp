#include "crops.hpp"

#include <algorithm>

namespace divs::synth {
namespace {

constexpr float least_visible = 0.85F, least_inside = 0.97F;
constexpr float least_side = 18;  // pixels, of the longer side
constexpr float surround = 1.2F;  // side of the square that is cut out, in longer sides of the box

}  // namespace

void CropCollector::look(const Picture& picture, const FrameTruth& truth) {
    for (const Box& box : truth.boxes) {
        const float longer = std::max(box.width, box.height);
        if (box.visible < least_visible || box.inside < least_inside || longer < least_side) continue;
        const float side = std::min(
            {longer * surround, static_cast<float>(picture.width), static_cast<float>(picture.height)});
        Crop& best = best_[box.track];
        // A tenth larger, so that not every frame of an approach is cut out.
        if (best.area > 0 && longer * longer < 1.1F * best.area) continue;
        const float x =
            std::clamp(box.x + (box.width - side) / 2, 0.0F, static_cast<float>(picture.width) - side);
        const float y =
            std::clamp(box.y + (box.height - side) / 2, 0.0F, static_cast<float>(picture.height) - side);
        best = {box.track, box.kind, longer * longer, crop_scaled(picture, x, y, side, side, size_, size_)};
    }
}

std::vector<Crop> CropCollector::take() {
    std::vector<Crop> all;
    for (auto& [track, crop] : best_) {
        if (crop.area > 0) all.push_back(std::move(crop));
    }
    best_.clear();
    return all;
}

}  // namespace divs::synth
