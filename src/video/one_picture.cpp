#include "one_picture.hpp"

#include "decoder.hpp"
#include "demuxer.hpp"

namespace divs::video {
namespace {

OnePicture describe(int width, int height, int format) {
    const char* name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(format));
    return {width, height, name ? name : ""};
}

// Decoders of images that skip the picture still read its header.
OnePicture read_image_header(const std::string& path, const OpenLimits& limits) {
    Demuxer file(path, limits);
    const PacketHandle packet = make_packet();
    const CodecHandle decoder = open_decoder(file.codec(), {.threads = 1, .limits = limits}, path);
    decoder->skip_frame = AVDISCARD_ALL;
    if (file.read(*packet)) avcodec_send_packet(decoder.get(), packet.get());
    return describe(decoder->width, decoder->height, decoder->pix_fmt);
}

OnePicture decode_first(const std::string& path, const OpenLimits& limits) {
    constexpr int most_packets = 256;
    Demuxer file(path, limits);
    const PacketHandle packet = make_packet();
    const FrameHandle frame = make_frame();
    const CodecHandle decoder = open_decoder(file.codec(), {.threads = 1, .limits = limits}, path);
    for (int i = 0; i <= most_packets; ++i) {
        const bool more = i < most_packets && file.read(*packet);
        if (more && packet->size == 0) continue;
        avcodec_send_packet(decoder.get(), more ? packet.get() : nullptr);
        if (avcodec_receive_frame(decoder.get(), frame.get()) >= 0)
            return describe(frame->width, frame->height, frame->format);
        if (!more) break;
    }
    throw_error<InputError>("{}: no picture can be decoded", path);
}

}  // namespace

OnePicture look_at_one_picture(const std::string& path, bool image, const OpenLimits& limits) {
    if (image) {
        const OnePicture picture = read_image_header(path, limits);
        if (picture.width > 0 && !picture.pixel_format.empty()) return picture;
    }
    return decode_first(path, limits);
}

}  // namespace divs::video
