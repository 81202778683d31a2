// libav's handles as values that free themselves, its error codes as exceptions, and the places where its
// versions differ. Nothing else in the project looks at LIBAV*_VERSION.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
}

#include <memory>
#include <string>
#include <utility>

#include "divs/core/error.hpp"
#include "divs/video/index.hpp"

namespace divs::video {

template <auto release>
struct AvRelease {
    template <class T>
    void operator()(T* handle) const noexcept {
        release(&handle);
    }
};
struct AvDictionaryRelease {
    void operator()(AVDictionary* dictionary) const noexcept { av_dict_free(&dictionary); }
};
struct AvParserRelease {
    void operator()(AVCodecParserContext* parser) const noexcept { av_parser_close(parser); }
};

using FormatHandle = std::unique_ptr<AVFormatContext, AvRelease<avformat_close_input>>;
using IoHandle = std::unique_ptr<AVIOContext, AvRelease<avio_closep>>;
using CodecHandle = std::unique_ptr<AVCodecContext, AvRelease<avcodec_free_context>>;
using ParametersHandle = std::unique_ptr<AVCodecParameters, AvRelease<avcodec_parameters_free>>;
using PacketHandle = std::unique_ptr<AVPacket, AvRelease<av_packet_free>>;
using FrameHandle = std::unique_ptr<AVFrame, AvRelease<av_frame_free>>;
using DictionaryHandle = std::unique_ptr<AVDictionary, AvDictionaryRelease>;
using ParserHandle = std::unique_ptr<AVCodecParserContext, AvParserRelease>;

// Stops libav's own lines on stderr: its errors reach the caller as exceptions, and for one damaged file the lines go
// into the thousands.
void silence_libav();

inline std::string av_error_text(int code) {
    char text[AV_ERROR_MAX_STRING_SIZE] = {};
    av_strerror(code, text, sizeof text);
    return text;
}

// A handle that libav could not make for want of memory.
template <class T>
T av_made(T handle) {
    if (!handle) throw std::bad_alloc();
    return handle;
}

inline PacketHandle make_packet() {
    return PacketHandle(av_made(av_packet_alloc()));
}
inline FrameHandle make_frame() {
    return FrameHandle(av_made(av_frame_alloc()));
}

// av_check(code, file, what): throws InputError "FILE: WHAT: libav's reason" for a negative code, else gives
// the code.
inline int av_check(int code, std::string_view file, std::string_view what) {
    if (code == AVERROR(ENOMEM)) throw std::bad_alloc();
    if (code < 0) throw_error<InputError>("{}: {}: {}", file, what, av_error_text(code));
    return code;
}

// Side data that belongs to a whole stream, or nullptr. It moved into the codec parameters with
// libavformat 60.15.
inline const std::uint8_t* stream_side_data(const AVStream& stream, AVPacketSideDataType type) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
    const AVPacketSideData* found =
        av_packet_side_data_get(stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data, type);
    return found ? found->data : nullptr;
#else
    return av_stream_get_side_data(&stream, type, nullptr);
#endif
}

inline Rational to_rational(AVRational value) noexcept {
    return {value.num, value.den};
}
inline AVRational to_av(Rational value) noexcept {
    return {value.num, value.den};
}

}  // namespace divs::video
