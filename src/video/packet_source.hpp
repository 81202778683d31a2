// Where a shard's packets come from: its file, or the bytes of a packed shard.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "av.hpp"
#include "divs/video/decode.hpp"

namespace divs::video {

// What a decoder must know of a shard besides its packets.
struct ShardStream {
    std::string path;  // for messages
    ParametersHandle codec;
    Rational time_base;
    std::int64_t first_pts = 0;       // of the file, so that messages can give seconds
    bool numbered = false;            // frames take `packets`' times in order
    std::vector<PacketInfo> packets;  // preroll, then the shard, in decode order
    std::uint32_t preroll_packets = 0;
};

class PacketSource {
  public:
    virtual ~PacketSource() = default;
    virtual const ShardStream& stream() const noexcept = 0;
    // The next packet of stream().packets, in order; false at the end. Damaged packets come too, possibly
    // empty.
    virtual bool next(AVPacket& packet) = 0;
};

// InputError where the file is not the one that was indexed.
std::unique_ptr<PacketSource> file_source(const VideoIndex& index, const Shard& shard,
                                          const OpenLimits& limits);

// InputError where the bytes are not a packed shard. `packed` must outlive the source.
std::unique_ptr<PacketSource> packed_source(std::span<const std::byte> packed);

}  // namespace divs::video
