#include "banks.hpp"

#include <algorithm>

namespace divs::video {

Banks::Geometry Banks::geometry_of(const Picture& picture, const Channel& channel, const View& view) {
    const CropBox& crop = view.crop;
    const double x = std::clamp(crop.x, 0.0, 1.0), y = std::clamp(crop.y, 0.0, 1.0);
    const double across = std::clamp(crop.width * picture.width, 1.0, std::max(1.0, (1 - x) * picture.width));
    const double down =
        std::clamp(crop.height * picture.height, 1.0, std::max(1.0, (1 - y) * picture.height));
    // Chroma samples are taken to lie in the middle of the pixels they belong to, as swscale has it by
    // default.
    const double coarse_x = 1 << channel.log2_width, coarse_y = 1 << channel.log2_height;
    return {channel.width,
            channel.height,
            channel.log2_width,
            channel.log2_height,
            x * picture.width / coarse_x,
            y * picture.height / coarse_y,
            across / coarse_x,
            down / coarse_y,
            view.flip};
}

const Banks::Bank& Banks::of(const Picture& picture, std::size_t channel, const View& view) {
    Kept& kept = kept_[channel == 0 ? 0 : 1];
    const Geometry geometry = geometry_of(picture, picture.channel[channel], view);
    if (kept.geometry == geometry && !kept.bank.across.windows.empty()) return kept.bank;
    kept.bank.across = with_equal_windows(
        triangle_filter(geometry.width, geometry.x, geometry.across, width_, view.flip), geometry.width);
    kept.bank.rows = RowFilter(kept.bank.across, geometry.width, *kernels_);
    kept.bank.down = triangle_filter(geometry.height, geometry.y, geometry.down, height_, false);
    kept.geometry = geometry;
    return kept.bank;
}

}  // namespace divs::video
