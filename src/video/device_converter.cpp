#include "device_converter.hpp"

namespace divs::video {
namespace {

DeviceFilter filter_of(const FilterBank& bank) {
    return {bank.windows, bank.weights};
}

}  // namespace

void DeviceConverter::convert(const AVFrame& frame, const View& view, Pixels& to, std::size_t offset) {
    const Picture picture = picture_on_device(frame);
    PictureJob job;
    for (std::size_t c = 0; c < 3; ++c) {
        const Channel& channel = picture.channel[c];
        job.planes[c] = {channel.data + channel.offset, static_cast<int>(channel.stride), channel.step};
    }
    const Banks::Bank &luma = banks_.of(picture, 0, view), &chroma = banks_.of(picture, 1, view);
    job.luma_down = filter_of(luma.down);
    job.luma_across = filter_of(luma.across);
    job.chroma_down = filter_of(chroma.down);
    job.chroma_across = filter_of(chroma.across);
    job.colour = colour_map(picture, view);
    job.width = width_;
    job.height = height_;
    converter_->convert(job, to, offset);
}

}  // namespace divs::video
