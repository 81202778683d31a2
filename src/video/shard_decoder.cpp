#include <algorithm>
#include <limits>

#include "decoder.hpp"
#include "hardware.hpp"
#include "packet_source.hpp"
#include "safe_cuts.hpp"

namespace divs::video {
namespace {

// Frames that an H.264 decoder must hold back. Without true times only the standard's maximum is safe.
int held_back(const ShardStream& stream) {
    constexpr int most = 15;  // libavcodec's own limit
    return stream.numbered ? most : std::min(most, reorder_depth(stream.packets));
}

}  // namespace

struct ShardDecoder::Impl {
    Impl(std::unique_ptr<PacketSource> from, const DecodeOptions& options)
        : source(std::move(from)),
          stream(source->stream()),
          decoder(open_decoder(*stream.codec, options, stream.path, held_back(stream))),
          packet(make_packet()) {
        decoder->pkt_timebase = to_av(stream.time_base);
        for (std::size_t i = stream.preroll_packets; i < stream.packets.size(); ++i) {
            const PacketInfo& info = stream.packets[i];
            if (!info.gives_frame()) continue;
            ++counts.shard_frames;
            first_shown = std::min(first_shown, info.pts);
            if (stream.numbered) times.push_back(info.pts);
        }
    }

    bool next(Frame& frame) {
        if (!frame.get()) frame = Frame();  // it was moved from
        while (!ended) {
            const int code = avcodec_receive_frame(decoder.get(), frame.get());
            if (code == AVERROR(ENOMEM)) throw std::bad_alloc();
            if (code == AVERROR_EOF) {
                ended = true;
            } else if (code == AVERROR(EAGAIN)) {
                feed();
            } else if (code < 0) {
                ++counts.damaged_packets;  // its error, told late
            } else if (accept(frame)) {
                counts.device_frames += take_from_device(*frame.get());
                return true;
            }
        }
        return false;
    }

    // Gives the decoder its next packet, or the flush behind the last.
    void feed() {
        while (source->next(*packet)) {
            ++counts.packets;
            const PacketInfo& info = stream.packets[sent++];
            if (info.damaged || packet->size == 0) {
                counts.damaged_packets += info.damaged;
                continue;
            }
            const int code = avcodec_send_packet(decoder.get(), packet.get());
            if (code == AVERROR(ENOMEM)) throw std::bad_alloc();
            if (code < 0) ++counts.damaged_packets;
            return;
        }
        avcodec_send_packet(decoder.get(), nullptr);
    }

    // Gives the frame its time; false for a frame of the preroll.
    bool accept(Frame& frame) {
        const AVFrame& picture = *frame.get();
        frame.corrupt = (picture.flags & AV_FRAME_FLAG_CORRUPT) || picture.decode_error_flags != 0;
        // best_effort_timestamp depends on what was decoded before; it only stands in for a missing pts.
        frame.pts = picture.pts != AV_NOPTS_VALUE ? picture.pts : picture.best_effort_timestamp;
        if (stream.numbered) {
            const std::size_t last = times.empty() ? 0 : times.size() - 1;
            if (times.empty()) return false;
            frame.pts =
                times[std::min(given, last)] + static_cast<std::int64_t>(given > last ? given - last : 0);
        } else if (stream.preroll_packets > 0 && frame.pts < first_shown) {
            ++counts.preroll_frames;
            return false;
        }
        frame.corrupt = frame.corrupt || frame.pts <= last_given;  // damage can break the order
        last_given = std::max(last_given, frame.pts);
        ++given;
        ++counts.frames;
        counts.corrupt_frames += frame.corrupt;
        return true;
    }

    std::unique_ptr<PacketSource> source;
    const ShardStream& stream;
    CodecHandle decoder;
    PacketHandle packet;
    DecodeCounts counts;
    std::vector<std::int64_t> times;  // numbered: of the frames, in the order they come out
    std::int64_t first_shown = std::numeric_limits<std::int64_t>::max();
    std::int64_t last_given = std::numeric_limits<std::int64_t>::min();
    std::size_t sent = 0, given = 0;
    bool ended = false;
};

DecodeCounts& DecodeCounts::operator+=(const DecodeCounts& other) noexcept {
    for (const auto count : {&DecodeCounts::packets, &DecodeCounts::frames, &DecodeCounts::damaged_packets,
                             &DecodeCounts::corrupt_frames, &DecodeCounts::preroll_frames,
                             &DecodeCounts::shard_frames, &DecodeCounts::device_frames})
        this->*count += other.*count;
    return *this;
}

ShardDecoder::ShardDecoder(const VideoIndex& index, const Shard& shard, const DecodeOptions& options)
    : impl_(std::make_unique<Impl>(file_source(index, shard, options.limits), options)) {}
ShardDecoder::ShardDecoder(std::span<const std::byte> packed, const DecodeOptions& options)
    : impl_(std::make_unique<Impl>(packed_source(packed), options)) {}
ShardDecoder::~ShardDecoder() = default;
ShardDecoder::ShardDecoder(ShardDecoder&&) noexcept = default;

bool ShardDecoder::next(Frame& frame) {
    return impl_->next(frame);
}
const DecodeCounts& ShardDecoder::counts() const noexcept {
    return impl_->counts;
}
Rational ShardDecoder::time_base() const noexcept {
    return impl_->stream.time_base;
}

}  // namespace divs::video
