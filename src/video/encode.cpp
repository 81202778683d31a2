#include "divs/video/encode.hpp"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "av.hpp"
#include "divs/core/error.hpp"

namespace divs::video {
namespace {

// MPEG-4 part 2 allows 65535 ticks a second at most; this one divides by 24, 25, 30, 50, 60 and 1000.
constexpr AVRational ticks{1, 60000};

struct Free {
    void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
    void operator()(AVFrame* p) const { av_frame_free(&p); }
    void operator()(AVPacket* p) const { av_packet_free(&p); }
    void operator()(SwsContext* p) const { sws_freeContext(p); }
    void operator()(AVFormatContext* p) const {
        if (p->pb) avio_closep(&p->pb);
        avformat_free_context(p);
    }
};
template <class T>
using Held = std::unique_ptr<T, Free>;

std::string av_text(int code) {
    std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
    av_strerror(code, text.data(), text.size());
    return text.data();
}

void check_encode(int code, const std::filesystem::path& file, const char* doing) {
    if (code < 0) throw_error<StorageError>("{}: {}: {}", file.string(), doing, av_text(code));
}

const AVCodec* find_encoder(const std::string& codec) {
    silence_libav();
    const char* name = codec == "h264" ? "libx264" : codec == "hevc" ? "libx265" : codec.c_str();
    if (codec != "h264" && codec != "hevc" && codec != "mpeg4" && codec != "mjpeg" && codec != "png") {
        throw_error<ConfigError>("codec '{}': expected h264, hevc, mpeg4 or mjpeg", codec);
    }
    const AVCodec* found = avcodec_find_encoder_by_name(name);
    if (!found) throw_error<ConfigError>("codec '{}': this libavcodec has no encoder {}", codec, name);
    return found;
}

void set_quantiser(AVCodecContext& context, int quantiser) {
    context.flags |= AV_CODEC_FLAG_QSCALE;
    context.global_quality = FF_QP2LAMBDA * quantiser;
}

// Options that hold the key frames at a fixed distance: a data set whose GOP is asked for must have it.
void set_options(AVCodecContext& context, const EncodeOptions& o) {
    context.gop_size = o.gop;
    context.keyint_min = o.gop;
    context.max_b_frames = o.codec == "mjpeg" ? 0 : o.bframes;
    context.thread_count = 1;
    context.flags &= ~AV_CODEC_FLAG_CLOSED_GOP;
    if (!o.open_gop && o.codec != "mjpeg") context.flags |= AV_CODEC_FLAG_CLOSED_GOP;
    const std::string quality = std::to_string(o.quality);
    if (o.codec == "h264") {
        av_opt_set(context.priv_data, "preset", "veryfast", 0);
        av_opt_set(context.priv_data, "crf", quality.c_str(), 0);
        // Without macroblock trees: x264's code for them reads beyond its rows in narrow pictures, and the
        // bytes of the file come to depend on what lay in memory.
        av_opt_set(context.priv_data, "x264-params", "scenecut=0:b-adapt=0:mbtree=0", 0);
    } else if (o.codec == "hevc") {
        av_opt_set(context.priv_data, "preset", "ultrafast", 0);
        av_opt_set(context.priv_data, "crf", quality.c_str(), 0);
        const std::string params = fmt::format(
            "log-level=error:pools=none:frame-threads=1:scenecut=0:b-adapt=0:info=0:bframes={}:keyint={}:min-"
            "keyint={}:"
            "open-gop={}",
            o.bframes, o.gop, o.gop, o.open_gop ? 1 : 0);
        av_opt_set(context.priv_data, "x265-params", params.c_str(), 0);
    } else {
        set_quantiser(context, std::clamp((o.quality - 14) / 2, 2, 31));
        // The encoder promises closed GOPs only where a scene change cannot move a key frame.
        if (o.codec == "mpeg4" && !o.open_gop) av_opt_set(context.priv_data, "sc_threshold", "1000000000", 0);
    }
}

Held<AVFrame> make_frame(int width, int height, int format) {
    Held<AVFrame> frame(av_frame_alloc());
    if (!frame) throw Error("out of memory for a frame");
    frame->width = width;
    frame->height = height;
    frame->format = format;
    if (av_frame_get_buffer(frame.get(), 0) < 0)
        throw_error<Error>("out of memory for a {}x{} frame", width, height);
    return frame;
}

Held<SwsContext> make_converter(const AVCodecContext& context) {
    Held<SwsContext> sws(sws_getContext(context.width, context.height, AV_PIX_FMT_GBRP, context.width,
                                        context.height, context.pix_fmt, SWS_BILINEAR | SWS_ACCURATE_RND,
                                        nullptr, nullptr, nullptr));
    if (!sws) throw Error("libswscale: no conversion from RGB");
    const bool full = context.color_range == AVCOL_RANGE_JPEG;
    const int* table =
        sws_getCoefficients(context.colorspace == AVCOL_SPC_BT709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
    sws_setColorspaceDetails(sws.get(), table, 1, table, full ? 1 : 0, 0, 1 << 16, 1 << 16);
    return sws;
}

void fill_frame(SwsContext* sws, const RgbPlanes& picture, AVFrame& frame) {
    const std::array<const std::uint8_t*, 4> planes{picture.green.data(), picture.blue.data(),
                                                    picture.red.data(), nullptr};
    const std::array<int, 4> strides{picture.width, picture.width, picture.width, 0};
    sws_scale(sws, planes.data(), strides.data(), 0, picture.height, frame.data, frame.linesize);
}

void check_size(const RgbPlanes& picture, int width, int height) {
    const auto pixels = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
    if (picture.width != width || picture.height != height || picture.red.size() != pixels ||
        picture.green.size() != pixels || picture.blue.size() != pixels) {
        throw_error<Error>("picture of {}x{} given, expected {}x{}", picture.width, picture.height, width,
                           height);
    }
}

}  // namespace

struct VideoEncoder::Impl {
    std::filesystem::path file;
    Held<AVFormatContext> format;
    Held<AVCodecContext> codec;
    Held<AVFrame> frame;
    Held<AVPacket> packet;
    Held<SwsContext> sws;
    AVStream* stream = nullptr;
    std::int64_t last = -1;
    bool closed = false;

    void open_codec(const EncodeOptions& o);
    void open_file();
    void drain();
};

void VideoEncoder::Impl::open_codec(const EncodeOptions& o) {
    const AVCodec* encoder = find_encoder(o.codec);
    codec.reset(avcodec_alloc_context3(encoder));
    codec->width = o.width;
    codec->height = o.height;
    codec->pix_fmt = AV_PIX_FMT_YUV420P;
    codec->color_range = o.codec == "mjpeg" ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    codec->colorspace = o.codec == "h264" || o.codec == "hevc" ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    codec->time_base = ticks;
    codec->framerate = av_d2q(o.frame_rate, 60000);
    if (format->oformat->flags & AVFMT_GLOBALHEADER) codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    codec->flags |= AV_CODEC_FLAG_BITEXACT;
    set_options(*codec, o);
    if (const int code = avcodec_open2(codec.get(), encoder, nullptr); code < 0) {
        throw_error<ConfigError>("{}: {} does not take {}x{}, gop {}, {} B-frames: {}", file.string(),
                                 encoder->name, o.width, o.height, o.gop, o.bframes, av_text(code));
    }
}

void VideoEncoder::Impl::open_file() {
    stream = avformat_new_stream(format.get(), nullptr);
    if (!stream) throw Error("out of memory for a stream");
    check_encode(avcodec_parameters_from_context(stream->codecpar, codec.get()), file, "stream parameters");
    if (codec->codec_id == AV_CODEC_ID_HEVC) stream->codecpar->codec_tag = 0;
    stream->time_base = codec->time_base;
    stream->avg_frame_rate = codec->framerate;
    format->flags |= AVFMT_FLAG_BITEXACT;
    check_encode(avio_open(&format->pb, file.c_str(), AVIO_FLAG_WRITE), file, "cannot create");
    check_encode(avformat_write_header(format.get(), nullptr), file, "cannot write the header");
}

void VideoEncoder::Impl::drain() {
    for (;;) {
        const int code = avcodec_receive_packet(codec.get(), packet.get());
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
        check_encode(code, file, "encoding");
        av_packet_rescale_ts(packet.get(), ticks, stream->time_base);
        packet->stream_index = stream->index;
        check_encode(av_interleaved_write_frame(format.get(), packet.get()), file, "cannot write");
    }
}

VideoEncoder::VideoEncoder(const std::filesystem::path& file, const EncodeOptions& o)
    : impl_(std::make_unique<Impl>()) {
    silence_libav();
    if (o.width < 16 || o.height < 16 || o.width % 2 || o.height % 2) {
        throw_error<ConfigError>("video size {}x{}: expected even numbers from 16 upwards", o.width,
                                 o.height);
    }
    impl_->file = file;
    const char* container = file.extension() == ".mkv" ? "matroska" : "mp4";
    AVFormatContext* format = nullptr;
    check_encode(avformat_alloc_output_context2(&format, nullptr, container, file.c_str()), file,
                 "container");
    impl_->format.reset(format);
    impl_->open_codec(o);
    impl_->open_file();
    impl_->frame = make_frame(o.width, o.height, impl_->codec->pix_fmt);
    impl_->packet.reset(av_packet_alloc());
    impl_->sws = make_converter(*impl_->codec);
}

VideoEncoder::~VideoEncoder() = default;
VideoEncoder::VideoEncoder(VideoEncoder&&) noexcept = default;

Rational VideoEncoder::time_base() const noexcept {
    return {impl_->stream->time_base.num, impl_->stream->time_base.den};
}

std::int64_t VideoEncoder::write(const RgbPlanes& picture, double seconds) {
    Impl& self = *impl_;
    check_size(picture, self.codec->width, self.codec->height);
    const auto tick = static_cast<std::int64_t>(std::llround(seconds * ticks.den));
    if (tick <= self.last)
        throw_error<Error>("{}: frame at {} s is not later than the one before", self.file.string(), seconds);
    self.last = tick;
    if (av_frame_make_writable(self.frame.get()) < 0) throw Error("out of memory for a frame");
    fill_frame(self.sws.get(), picture, *self.frame);
    self.frame->pts = tick;
    self.frame->quality = self.codec->global_quality;
    check_encode(avcodec_send_frame(self.codec.get(), self.frame.get()), self.file, "encoding");
    self.drain();
    return av_rescale_q(tick, ticks, self.stream->time_base);
}

void VideoEncoder::close() {
    Impl& self = *impl_;
    if (std::exchange(self.closed, true)) return;
    check_encode(avcodec_send_frame(self.codec.get(), nullptr), self.file, "encoding");
    self.drain();
    check_encode(av_write_trailer(self.format.get()), self.file, "cannot write the end");
    check_encode(avio_closep(&self.format->pb), self.file, "cannot write");
}

void write_image(const std::filesystem::path& file, const RgbPlanes& picture, int quality) {
    const bool png = file.extension() == ".png";
    check_size(picture, picture.width, picture.height);
    const AVCodec* encoder = find_encoder(png ? "png" : "mjpeg");
    Held<AVCodecContext> codec(avcodec_alloc_context3(encoder));
    codec->width = picture.width;
    codec->height = picture.height;
    codec->pix_fmt = png ? AV_PIX_FMT_RGB24 : AV_PIX_FMT_YUV420P;
    codec->color_range = AVCOL_RANGE_JPEG;
    codec->colorspace = png ? AVCOL_SPC_RGB : AVCOL_SPC_SMPTE170M;
    codec->time_base = {1, 25};
    codec->thread_count = 1;
    codec->flags |= AV_CODEC_FLAG_BITEXACT;
    if (!png) set_quantiser(*codec, std::clamp(quality, 1, 31));
    check_encode(avcodec_open2(codec.get(), encoder, nullptr), file, "image encoder");
    const Held<AVFrame> frame = make_frame(picture.width, picture.height, codec->pix_fmt);
    const Held<SwsContext> sws = make_converter(*codec);
    fill_frame(sws.get(), picture, *frame);
    frame->pts = 0;
    frame->quality = codec->global_quality;
    const Held<AVPacket> packet(av_packet_alloc());
    check_encode(avcodec_send_frame(codec.get(), frame.get()), file, "image encoder");
    check_encode(avcodec_send_frame(codec.get(), nullptr), file, "image encoder");
    check_encode(avcodec_receive_packet(codec.get(), packet.get()), file, "image encoder");
    AVIOContext* out = nullptr;
    check_encode(avio_open(&out, file.c_str(), AVIO_FLAG_WRITE), file, "cannot create");
    avio_write(out, packet->data, packet->size);
    avio_flush(out);
    const int failed = out->error;
    const int closed = avio_closep(&out);
    check_encode(failed < 0 ? failed : closed, file, "cannot write");
}

}  // namespace divs::video
