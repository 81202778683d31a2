#include "divs/video/convert.hpp"

#include <algorithm>

#include "av.hpp"
#include "block_converter.hpp"
#include "steep_converter.hpp"

namespace divs::video {
namespace {

// What the filter banks of a channel depend on, beside the output's size.
struct Geometry {
    int width = 0, height = 0, log2_width = 0, log2_height = 0;
    double x = 0, y = 0, across = 0, down = 0;
    bool flip = false;
    bool operator==(const Geometry&) const = default;
};

Geometry geometry_of(const Picture& picture, const Channel& channel, const View& view) {
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

struct Banks {
    Geometry geometry;
    FilterBank across, down;
};

}  // namespace

struct Converter::Impl {
    int width, height;
    PictureReader reader;
    BlockConverter block;
    SteepConverter steep;
    std::array<Banks, 2> banks;  // of the first channel, and of the others: kept while pictures are alike

    const Banks& banks_for(const Picture& picture, std::size_t channel, const View& view) {
        Banks& kept = banks[channel == 0 ? 0 : 1];
        const Geometry geometry = geometry_of(picture, picture.channel[channel], view);
        if (kept.geometry == geometry && !kept.across.windows.empty()) return kept;
        kept.across = with_equal_windows(
            triangle_filter(geometry.width, geometry.x, geometry.across, width, view.flip), geometry.width);
        kept.down = triangle_filter(geometry.height, geometry.y, geometry.down, height, false);
        kept.geometry = geometry;
        return kept;
    }

    Passes passes_for(const Picture& picture, const View& view) {
        Passes passes;
        passes.channels = picture.channels;
        passes.map = colour_map(picture, view);
        passes.width = static_cast<std::size_t>(width);
        passes.height = static_cast<std::size_t>(height);
        for (std::size_t c = 0; c < static_cast<std::size_t>(picture.channels); ++c) {
            const Banks& chosen = banks_for(picture, c, view);
            passes.of[c] = {picture.channel[c], &chosen.down, &chosen.across};
        }
        return passes;
    }
};

Converter::Converter(int out_width, int out_height) : impl_(std::make_unique<Impl>()) {
    if (out_width < 1 || out_height < 1)
        throw_error<ConfigError>("pictures of {}x{} pixels, expected at least 1x1", out_width, out_height);
    impl_->width = out_width;
    impl_->height = out_height;
}
Converter::~Converter() = default;
Converter::Converter(Converter&&) noexcept = default;

void Converter::convert(const AVFrame& frame, const View& view, std::span<std::uint8_t> rgb) {
    const auto width = static_cast<std::size_t>(impl_->width),
               height = static_cast<std::size_t>(impl_->height);
    if (rgb.size() != width * height * 3)
        throw_error<Error>("a buffer of {} bytes for {}x{} RGB pixels", rgb.size(), width, height);
    const Passes passes = impl_->passes_for(impl_->reader.read(frame), view);
    if (BlockConverter::suits(passes))
        impl_->block.convert(passes, rgb);
    else
        impl_->steep.convert(passes, rgb);
}

}  // namespace divs::video
