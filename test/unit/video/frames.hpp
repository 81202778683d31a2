// Decoded frames by their content, from our decoder and from libav alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "divs/video/decode.hpp"
#include "unit/video/encode.hpp"

namespace divs::video::test {

struct Shown {
    std::int64_t pts = 0;
    std::uint64_t hash = 0;
    auto operator<=>(const Shown&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const Shown& frame) {
    return out << frame.pts << ':' << std::hex << frame.hash << std::dec;
}

// The visible pixels of a picture, planes one behind the other, without padding.
inline std::vector<std::uint8_t> pixels(const AVFrame& frame) {
    const auto format = static_cast<AVPixelFormat>(frame.format);
    std::vector<std::uint8_t> bytes(
        static_cast<std::size_t>(av_image_get_buffer_size(format, frame.width, frame.height, 1)));
    check(av_image_copy_to_buffer(bytes.data(), static_cast<int>(bytes.size()), frame.data, frame.linesize,
                                  format, frame.width, frame.height, 1),
          "copy");
    return bytes;
}

inline std::uint64_t hash_of(const AVFrame& frame) {
    std::uint64_t hash = 0xCBF29CE484222325ULL;
    std::vector<std::uint8_t> bytes = pixels(frame);
    bytes.resize((bytes.size() + 7) / 8 * 8);
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, &bytes[i], sizeof word);
        hash = (hash ^ word) * 0x100000001B3ULL;
        hash ^= hash >> 32;
    }
    return hash;
}

struct Decoded {
    std::vector<Shown> frames;
    DecodeCounts counts;
    int corrupt = 0;
};

inline Decoded drain(ShardDecoder& decoder) {
    Decoded out;
    Frame frame;
    while (decoder.next(frame)) {
        out.frames.push_back({frame.pts, hash_of(*frame.get())});
        out.corrupt += frame.corrupt;
    }
    out.counts = decoder.counts();
    return out;
}

inline Decoded decode(const VideoIndex& index, const Shard& shard, int threads = 1) {
    ShardDecoder decoder(index, shard, {.threads = threads});
    return drain(decoder);
}

inline Decoded decode_packed(const VideoIndex& index, const Shard& shard, int threads = 1) {
    const std::vector<std::byte> packed = pack_shard(index, shard);
    ShardDecoder decoder(packed, {.threads = threads});
    return drain(decoder);
}

// The whole file in one go by libav alone, one thread, as `ffmpeg` reads it: what any way of cutting must
// equal.
inline std::vector<Shown> decode_linearly(const std::filesystem::path& file) {
    AVFormatContext* format = nullptr;
    check(avformat_open_input(&format, file.c_str(), nullptr, nullptr), "open");
    check(avformat_find_stream_info(format, nullptr), "streams");
    const int stream = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
    check(stream, "video stream");
    const AVCodecParameters* parameters = format->streams[stream]->codecpar;
    const AVCodec* codec = avcodec_find_decoder(parameters->codec_id);
    AVCodecContext* decoder = avcodec_alloc_context3(codec);
    check(avcodec_parameters_to_context(decoder, parameters), "parameters");
    decoder->thread_count = 1;
    decoder->pkt_timebase = format->streams[stream]->time_base;
    check(avcodec_open2(decoder, codec, nullptr), "decoder");
    std::vector<Shown> frames;
    AVPacket* packet = av_packet_alloc();
    AVFrame* frame = av_frame_alloc();
    const auto send = [&](const AVPacket* next) {
        avcodec_send_packet(decoder, next);
        while (avcodec_receive_frame(decoder, frame) >= 0)
            frames.push_back({frame->best_effort_timestamp, hash_of(*frame)});
    };
    while (av_read_frame(format, packet) >= 0) {
        if (packet->stream_index == stream && packet->size > 0) send(packet);
        av_packet_unref(packet);
    }
    send(nullptr);
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    avformat_close_input(&format);
    return frames;
}

inline std::vector<std::uint64_t> hashes(const std::vector<Shown>& frames) {
    std::vector<std::uint64_t> out;
    for (const Shown& frame : frames) out.push_back(frame.hash);
    return out;
}

inline int cuts(const VideoIndex& index) {
    return static_cast<int>(
        std::count_if(index.packets.begin(), index.packets.end(), [](const auto& p) { return p.safe_cut; }));
}

inline int recoveries(const VideoIndex& index) {
    return static_cast<int>(
        std::count_if(index.packets.begin(), index.packets.end(), [](const auto& p) { return p.recovery; }));
}

}  // namespace divs::video::test
