// A small encoder for tests, straight on libav: any codec with any options, so that streams can be made
// awkward.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
}

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/scratch.hpp"

namespace divs::video::test {

using divs::test::Scratch;

struct Recipe {
    std::string encoder = "libx264";
    std::string extension = ".mp4";
    int frames = 60, width = 64, height = 48;
    int gop = 12, bframes = 2;
    std::map<std::string, std::string> options{};  // the encoder's own
    AVRational time_base{1, 25};
    std::vector<std::int64_t> pts{};  // in time_base; empty: 0, 1, 2, ...
    AVPixelFormat format = AV_PIX_FMT_YUV420P;
    std::string muxer{};  // empty: by extension
};

inline void check(int code, const char* what) {
    if (code < 0) throw std::runtime_error(std::string(what) + " failed: " + std::to_string(code));
}

// A picture that differs from every other one: a moving gradient, with noise of its own.
inline void draw(AVFrame& frame, int number) {
    std::uint32_t noise = 12345U + static_cast<std::uint32_t>(number) * 7919U;
    for (int plane = 0; plane < 3 && frame.data[plane]; ++plane) {
        const int height = plane == 0 ? frame.height : AV_CEIL_RSHIFT(frame.height, 1);
        const int width = plane == 0 ? frame.width : AV_CEIL_RSHIFT(frame.width, 1);
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x) {
                noise = noise * 1664525U + 1013904223U;
                frame.data[plane][y * frame.linesize[plane] + x] = static_cast<std::uint8_t>(
                    (x * 3 + y * 2 + number * 5 + plane * 40 + (noise >> 28)) & 0xFF);
            }
    }
}

class Encoder {
  public:
    Encoder(const std::filesystem::path& file, const Recipe& recipe) : recipe_(recipe) {
        const char* muxer = recipe.muxer.empty() ? nullptr : recipe.muxer.c_str();
        check(avformat_alloc_output_context2(&format_, nullptr, muxer, file.c_str()), "muxer");
        const AVCodec* codec = avcodec_find_encoder_by_name(recipe.encoder.c_str());
        if (!codec) throw std::runtime_error("no encoder " + recipe.encoder);
        codec_ = avcodec_alloc_context3(codec);
        codec_->width = recipe.width;
        codec_->height = recipe.height;
        codec_->pix_fmt = recipe.format;
        codec_->time_base = recipe.time_base;
        codec_->gop_size = recipe.gop;
        codec_->max_b_frames = recipe.bframes;
        codec_->thread_count = 1;
        codec_->bit_rate = 200'000;
        codec_->strict_std_compliance = FF_COMPLIANCE_UNOFFICIAL;
        if (recipe.pts.empty()) codec_->framerate = av_inv_q(recipe.time_base);
        if (format_->oformat->flags & AVFMT_GLOBALHEADER) codec_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
        AVDictionary* options = nullptr;
        for (const auto& [key, value] : recipe.options) av_dict_set(&options, key.c_str(), value.c_str(), 0);
        const int opened = avcodec_open2(codec_, codec, &options);
        av_dict_free(&options);
        check(opened, "encoder");
        stream_ = avformat_new_stream(format_, nullptr);
        stream_->time_base = recipe.time_base;
        check(avcodec_parameters_from_context(stream_->codecpar, codec_), "parameters");
        check(avio_open(&format_->pb, file.c_str(), AVIO_FLAG_WRITE), "file");
        check(avformat_write_header(format_, nullptr), "header");
    }
    ~Encoder() {
        if (format_) avio_closep(&format_->pb);
        avformat_free_context(format_);
        avcodec_free_context(&codec_);
    }
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;

    void run() {
        AVFrame* frame = av_frame_alloc();
        frame->width = recipe_.width;
        frame->height = recipe_.height;
        frame->format = recipe_.format;
        check(av_frame_get_buffer(frame, 0), "picture");
        for (int i = 0; i < recipe_.frames; ++i) {
            check(av_frame_make_writable(frame), "picture");
            draw(*frame, i);
            frame->pts = recipe_.pts.empty() ? i : recipe_.pts.at(static_cast<std::size_t>(i));
            encode(frame);
        }
        encode(nullptr);
        av_frame_free(&frame);
        check(av_write_trailer(format_), "trailer");
    }

  private:
    void encode(const AVFrame* frame) {
        check(avcodec_send_frame(codec_, frame), "encoding");
        AVPacket* packet = av_packet_alloc();
        while (avcodec_receive_packet(codec_, packet) >= 0) {
            av_packet_rescale_ts(packet, codec_->time_base, stream_->time_base);
            if (packet->duration == 0) packet->duration = 1;
            packet->stream_index = 0;
            check(av_write_frame(format_, packet), "writing");
            av_packet_unref(packet);
        }
        av_packet_free(&packet);
    }

    const Recipe& recipe_;
    AVFormatContext* format_ = nullptr;
    AVCodecContext* codec_ = nullptr;
    AVStream* stream_ = nullptr;
};

inline std::filesystem::path encode(const Scratch& folder, const Recipe& recipe,
                                    const std::string& name = "video") {
    av_log_set_level(AV_LOG_QUIET);
    const std::filesystem::path file = folder / (name + recipe.extension);
    Encoder(file, recipe).run();
    return file;
}

}  // namespace divs::video::test
