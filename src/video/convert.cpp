#include "divs/video/convert.hpp"

#include <algorithm>
#include <vector>

#include "av.hpp"
#include "filter.hpp"
#include "picture.hpp"
#include "resample.hpp"

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

std::uint8_t to_level(float value) {
    return static_cast<std::uint8_t>(std::clamp(value, 0.0F, 255.0F) + 0.5F);
}

void colour_row(const ColourMap& map, const float* a, const float* b, const float* c, std::size_t n,
                std::uint8_t* rgb) {
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t k = 0; k < 3; ++k)
            rgb[3 * i + k] = to_level(map[k][0] * a[i] + map[k][1] * b[i] + map[k][2] * c[i] + map[k][3]);
}

}  // namespace

struct Converter::Impl {
    int width, height;
    PictureReader reader;
    Resampler resampler;
    std::array<Banks, 2> banks;  // of the first channel, and of the others
    std::array<std::vector<float>, 3> planes;

    const Banks& banks_for(const Picture& picture, std::size_t channel, const View& view) {
        Banks& kept = banks[channel == 0 ? 0 : 1];
        const Geometry geometry = geometry_of(picture, picture.channel[channel], view);
        if (kept.geometry == geometry && !kept.across.windows.empty()) return kept;
        kept.across = triangle_filter(geometry.width, geometry.x, geometry.across, width, view.flip);
        kept.down = triangle_filter(geometry.height, geometry.y, geometry.down, height, false);
        kept.geometry = geometry;
        return kept;
    }

    void resample(const Picture& picture, std::size_t channel, const View& view) {
        auto& plane = planes[channel];
        plane.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
        if (channel >= static_cast<std::size_t>(picture.channels))
            return std::fill(plane.begin(), plane.end(), 128.0F), void();
        const Banks& chosen = banks_for(picture, channel, view);
        resampler.resample(picture.channel[channel], chosen.down, chosen.across, plane);
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
    const Picture picture = impl_->reader.read(frame);
    const ColourMap map = colour_map(picture, view);
    for (std::size_t c = 0; c < 3; ++c) impl_->resample(picture, c, view);
    const auto& [a, b, c] = impl_->planes;
    for (std::size_t y = 0; y < height; ++y)
        colour_row(map, &a[y * width], &b[y * width], &c[y * width], width, &rgb[y * width * 3]);
}

}  // namespace divs::video
