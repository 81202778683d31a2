#include "picture.hpp"

#include <algorithm>

#include "av.hpp"

extern "C" {
#include <libswscale/swscale.h>
}

namespace divs::video {
namespace {

struct SwsRelease {
    void operator()(SwsContext* context) const noexcept { sws_freeContext(context); }
};

const AVPixFmtDescriptor& descriptor_of(const AVFrame& frame) {
    const AVPixFmtDescriptor* found = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
    if (!found || (found->flags & AV_PIX_FMT_FLAG_HWACCEL))
        throw_error<InputError>("a frame in pixel format {}, expected one in memory",
                                found ? found->name : "none");
    return *found;
}

void check_size(const AVFrame& frame) {
    if (frame.width < 1 || frame.height < 1)
        throw_error<InputError>("a frame of {}x{} pixels", frame.width, frame.height);
}

int colour_channels(const AVPixFmtDescriptor& format) {
    const int alpha = format.flags & AV_PIX_FMT_FLAG_ALPHA ? 1 : 0;
    return format.nb_components - alpha;
}

// 8-bit samples at fixed steps: can be read where they lie.
bool is_direct(const AVPixFmtDescriptor& format) {
    constexpr std::uint64_t other = AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_BAYER;
    if ((format.flags & other) || (colour_channels(format) != 1 && colour_channels(format) != 3))
        return false;
    return std::all_of(format.comp, format.comp + colour_channels(format),
                       [](const AVComponentDescriptor& c) { return c.depth == 8 && c.shift == 0; });
}

// The 8-bit format that says the same.
AVPixelFormat nearest_direct(const AVPixFmtDescriptor& format) {
    if (format.flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BAYER))
        return AV_PIX_FMT_RGB24;
    if (format.nb_components < 3) return AV_PIX_FMT_GRAY8;
    if (format.log2_chroma_w == 1 && format.log2_chroma_h == 1) return AV_PIX_FMT_YUV420P;
    if (format.log2_chroma_w == 1 && format.log2_chroma_h == 0) return AV_PIX_FMT_YUV422P;
    return AV_PIX_FMT_YUV444P;
}

bool is_full_range(const AVFrame& frame, const AVPixFmtDescriptor& format) {
    if (frame.color_range != AVCOL_RANGE_UNSPECIFIED) return frame.color_range == AVCOL_RANGE_JPEG;
    return std::string_view(format.name).starts_with("yuvj") || format.nb_components < 3;
}

// Luma weights. Where a file does not say: BT.709 from 720 lines on, BT.601 below, as broadcasting has it.
void set_matrix(const AVFrame& frame, Picture& picture) {
    auto set = [&](double kr, double kb) { picture.kr = kr, picture.kb = kb; };
    switch (frame.colorspace) {
        case AVCOL_SPC_BT709:
            return set(0.2126, 0.0722);
        case AVCOL_SPC_FCC:
            return set(0.30, 0.11);
        case AVCOL_SPC_BT470BG:
        case AVCOL_SPC_SMPTE170M:
            return set(0.299, 0.114);
        case AVCOL_SPC_SMPTE240M:
            return set(0.212, 0.087);
        case AVCOL_SPC_BT2020_NCL:
        case AVCOL_SPC_BT2020_CL:
            return set(0.2627, 0.0593);
        default:
            return frame.height >= 720 ? set(0.2126, 0.0722) : set(0.299, 0.114);
    }
}

Channel channel_of(const AVFrame& frame, const AVPixFmtDescriptor& format, int number) {
    const AVComponentDescriptor& component = format.comp[number];
    Channel channel;
    const bool coarse = number > 0 && !(format.flags & AV_PIX_FMT_FLAG_RGB);
    channel.log2_width = coarse ? format.log2_chroma_w : 0;
    channel.log2_height = coarse ? format.log2_chroma_h : 0;
    channel.width = AV_CEIL_RSHIFT(frame.width, channel.log2_width);
    channel.height = AV_CEIL_RSHIFT(frame.height, channel.log2_height);
    channel.step = component.step;
    channel.stride = frame.linesize[component.plane];
    if (!frame.data[component.plane]) throw_error<InputError>("a frame without pixels");
    channel.data = frame.data[component.plane];
    channel.offset = component.offset;
    return channel;
}

// `pixels`: in `format`, one that is read as it is; `frame`, of the format `original`, says what they mean.
Picture look_at(const AVFrame& pixels, const AVPixFmtDescriptor& format, const AVFrame& frame,
                const AVPixFmtDescriptor& original) {
    Picture picture;
    picture.width = frame.width, picture.height = frame.height;
    picture.channels = colour_channels(format);
    for (int c = 0; c < picture.channels; ++c)
        picture.channel[static_cast<std::size_t>(c)] = channel_of(pixels, format, c);
    picture.rgb = format.flags & AV_PIX_FMT_FLAG_RGB;
    picture.full_range = is_full_range(frame, original);
    set_matrix(frame, picture);
    return picture;
}

}  // namespace

struct PictureReader::Impl {
    std::unique_ptr<SwsContext, SwsRelease> context;
    FrameHandle direct = make_frame();
    int width = 0, height = 0, format = AV_PIX_FMT_NONE;
    bool full = false;

    const AVFrame& converted(const AVFrame& frame, const AVPixFmtDescriptor& from) {
        const bool now_full = is_full_range(frame, from);
        if (frame.width != width || frame.height != height || frame.format != format || now_full != full)
            prepare(frame, from, now_full);
        av_check(av_frame_copy_props(direct.get(), &frame), from.name, "copying a frame's properties");
        const int rows = sws_scale(context.get(), frame.data, frame.linesize, 0, frame.height, direct->data,
                                   direct->linesize);
        if (rows != frame.height)
            throw_error<InputError>("pixel format {} cannot be converted to 8 bits", from.name);
        return *direct;
    }

    void prepare(const AVFrame& frame, const AVPixFmtDescriptor& from, bool now_full) {
        const auto source = static_cast<AVPixelFormat>(frame.format), target = nearest_direct(from);
        constexpr int flags = SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT;
        format = AV_PIX_FMT_NONE;  // until all is in place
        context.reset(sws_getContext(frame.width, frame.height, source, frame.width, frame.height, target,
                                     flags, nullptr, nullptr, nullptr));
        if (!context) throw_error<InputError>("pixel format {} cannot be converted to 8 bits", from.name);
        const int* matrix = sws_getCoefficients(SWS_CS_DEFAULT);
        sws_setColorspaceDetails(context.get(), matrix, now_full, matrix, now_full, 0, 1 << 16, 1 << 16);
        av_frame_unref(direct.get());
        direct->width = frame.width, direct->height = frame.height, direct->format = target;
        av_check(av_frame_get_buffer(direct.get(), 0), from.name, "a buffer for an 8-bit picture");
        width = frame.width, height = frame.height, format = frame.format, full = now_full;
    }
};

PictureReader::PictureReader() : impl_(std::make_unique<Impl>()) {}
PictureReader::~PictureReader() = default;
PictureReader::PictureReader(PictureReader&&) noexcept = default;

Picture PictureReader::read(const AVFrame& frame) {
    const AVPixFmtDescriptor& original = descriptor_of(frame);
    check_size(frame);
    const AVFrame& pixels = is_direct(original) ? frame : impl_->converted(frame, original);
    return look_at(pixels, descriptor_of(pixels), frame, original);
}

Picture picture_on_device(const AVFrame& frame) {
    check_size(frame);
    const AVPixFmtDescriptor& format = *av_pix_fmt_desc_get(AV_PIX_FMT_NV12);
    return look_at(frame, format, frame, format);
}

ColourMap colour_map(const Picture& picture, const View& view) {
    double base[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};  // (channels, 1) -> R, G, B
    if (!picture.rgb) {
        const double kr = picture.kr, kb = picture.kb, kg = 1 - kr - kb;
        const double luma = picture.full_range ? 1 : 255.0 / 219,
                     chroma = picture.full_range ? 1 : 255.0 / 224;
        const double black = picture.full_range ? 0 : 16;
        const double from_u[3] = {0, -2 * kb * (1 - kb) / kg, 2 * (1 - kb)};
        const double from_v[3] = {2 * (1 - kr), -2 * kr * (1 - kr) / kg, 0};
        for (int c = 0; c < 3; ++c) {
            base[c][0] = luma;
            base[c][1] = chroma * from_u[c];
            base[c][2] = chroma * from_v[c];
            base[c][3] = -luma * black - 128 * (base[c][1] + base[c][2]);
        }
    }
    ColourMap map{};
    for (std::size_t out = 0; out < 3; ++out) {
        double row[4] = {0, 0, 0, 255.0 * static_cast<double>(view.colour[out][3])};
        for (std::size_t in = 0; in < 3; ++in)
            for (std::size_t k = 0; k < 4; ++k)
                row[k] += static_cast<double>(view.colour[out][in]) * base[in][k];
        for (std::size_t k = 0; k < 4; ++k) map[out][k] = static_cast<float>(row[k]);
    }
    return map;
}

}  // namespace divs::video
