#include "divs/video/convert.hpp"

#include "av.hpp"
#include "banks.hpp"
#include "row_converter.hpp"
#include "steep_converter.hpp"

namespace divs::video {

struct Converter::Impl {
    Impl(int out_width, int out_height) : width(out_width), height(out_height), banks(width, height) {}

    int width, height;
    Banks banks;
    PictureReader reader;
    RowConverter rows;
    SteepConverter steep;

    Passes passes_for(const Picture& picture, const View& view) {
        Passes passes;
        passes.channels = picture.channels;
        passes.map = colour_map(picture, view);
        passes.width = static_cast<std::size_t>(width);
        passes.height = static_cast<std::size_t>(height);
        for (std::size_t c = 0; c < static_cast<std::size_t>(picture.channels); ++c) {
            const Banks::Bank& chosen = banks.of(picture, c, view);
            passes.of[c] = {picture.channel[c], &chosen.down, &chosen.across, &chosen.rows};
        }
        return passes;
    }
};

Converter::Converter(int out_width, int out_height) : impl_(std::make_unique<Impl>(out_width, out_height)) {
    if (out_width < 1 || out_height < 1)
        throw_error<ConfigError>("pictures of {}x{} pixels, expected at least 1x1", out_width, out_height);
}
Converter::~Converter() = default;
Converter::Converter(Converter&&) noexcept = default;

void Converter::convert(const AVFrame& frame, const View& view, std::span<std::uint8_t> rgb) {
    const auto width = static_cast<std::size_t>(impl_->width),
               height = static_cast<std::size_t>(impl_->height);
    if (rgb.size() != width * height * 3)
        throw_error<Error>("a buffer of {} bytes for {}x{} RGB pixels", rgb.size(), width, height);
    const Passes passes = impl_->passes_for(impl_->reader.read(frame), view);
    if (RowConverter::suits(passes))
        impl_->rows.convert(passes, rgb);
    else
        impl_->steep.convert(passes, rgb);
}

}  // namespace divs::video
