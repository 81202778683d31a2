// From a shard to frames: a packet source (file or memory), a decoder, and the frames that come out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "divs/video/index.hpp"

struct AVFrame;

namespace divs::video {

// A packet interval [first_packet, end_packet) of one file between two safe cuts, in decode order. Whoever decodes it
// sends exactly these packets and a flush, and owns every frame that comes out.
struct Shard {
    std::uint32_t id = 0;    // number in the data set
    std::uint32_t file = 0;  // number in the data set
    std::uint32_t first_packet = 0, end_packet = 0;
    std::uint32_t preroll_packets = 0;  // packets before first_packet to decode and drop (allow_preroll only)
    std::uint32_t frames = 0;           // frames that the index promises
    std::uint64_t bytes = 0;
};

struct ShardOptions {
    double target_seconds = 10;   // a shard closes at the first safe cut after this
    bool allow_preroll = false;   // cut at recovery points where no safe cut comes within 4 x target_seconds
};

// The shards of one indexed file, in order and without gaps; their ids start at first_id.
std::vector<Shard> plan_shards(const VideoIndex& index, std::uint32_t file, std::uint32_t first_id,
                               const ShardOptions& options);

// A decoded picture. Its time is the pts that the index has for it, in the stream's time base.
class Frame {
  public:
    Frame();
    ~Frame();
    Frame(Frame&&) noexcept;
    Frame& operator=(Frame&&) noexcept;

    std::int64_t pts = INT64_MIN;
    bool corrupt = false;  // its content, or its place in the order of time, may be wrong
    AVFrame* get() const noexcept { return frame_; }
    int width() const noexcept;
    int height() const noexcept;
    std::size_t bytes() const noexcept;

  private:
    AVFrame* frame_;
};

struct DecodeCounts {
    std::uint64_t packets = 0, frames = 0, damaged_packets = 0, corrupt_frames = 0, preroll_frames = 0;
    std::uint64_t shard_frames = 0;   // that the index promises of the shards that were begun
    std::uint64_t device_frames = 0;  // that a device decoded

    DecodeCounts& operator+=(const DecodeCounts& other) noexcept;
};

class HardwareDevice;

struct DecodeOptions {
    int threads = 1;  // frame and slice threads of libavcodec
    OpenLimits limits;
    // A GPU that decodes what it can; such frames lie in its memory (see decoder_choice.hpp). None: the
    // processor.
    std::shared_ptr<const HardwareDevice> hardware;
};

// Decodes one shard, frames in presentation order. Damaged packets are skipped and counted. Throws InputError naming
// file and time when nothing more can be read.
class ShardDecoder {
  public:
    // From the file that the index describes; seeks once. InputError when the file changed since it was indexed.
    // The index must outlive the decoder.
    ShardDecoder(const VideoIndex& index, const Shard& shard, const DecodeOptions& options);
    // From a packed shard, as sent by another rank; the bytes must outlive the decoder.
    ShardDecoder(std::span<const std::byte> packed, const DecodeOptions& options);
    ~ShardDecoder();
    ShardDecoder(ShardDecoder&&) noexcept;

    bool next(Frame& frame);  // false at the end
    const DecodeCounts& counts() const noexcept;
    Rational time_base() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// A shard as bytes for another rank: codec parameters with extradata, time base, packets with flags and side data.
std::vector<std::byte> pack_shard(const VideoIndex& index, const Shard& shard, const OpenLimits& limits = {});

}  // namespace divs::video
