// A shard as bytes:
//   magic, version | path | codec | time base, first pts, numbered, preroll | description of each packet
//   | each packet: times, flags, data, side data | hash of all before
#include <cstring>

#include "codec_bytes.hpp"
#include "divs/io/bytes.hpp"
#include "packet_source.hpp"

namespace divs::video {
namespace {

constexpr std::uint64_t magic = 0x64726168'73766964;  // "divshard"
constexpr std::uint64_t version = 2;

std::uint64_t coded(std::int64_t value) noexcept {
    return static_cast<std::uint64_t>(value);
}
std::int64_t decoded(std::uint64_t value) noexcept {
    return static_cast<std::int64_t>(value);
}

void write_info(io::ByteWriter& out, const PacketInfo& info) {
    for (const std::int64_t value : {info.pts, info.dts, info.duration, info.position})
        out.fixed(coded(value));
    out.fixed(coded(info.size));
    out.number((info.key ? 1U : 0U) | (info.safe_cut ? 2U : 0U) | (info.recovery ? 4U : 0U) |
               (info.damaged ? 8U : 0U) | (info.shown ? 16U : 0U));
}

PacketInfo read_info(io::ByteReader& in) {
    PacketInfo info;
    for (auto* value : {&info.pts, &info.dts, &info.duration, &info.position}) *value = decoded(in.fixed());
    info.size = static_cast<std::int32_t>(decoded(in.fixed()));
    const std::uint64_t flags = in.number();
    info.key = flags & 1;
    info.safe_cut = flags & 2;
    info.recovery = flags & 4;
    info.damaged = flags & 8;
    info.shown = flags & 16;
    return info;
}

void write_packet(io::ByteWriter& out, const AVPacket& packet) {
    for (const std::int64_t value : {packet.pts, packet.dts, packet.duration}) out.fixed(coded(value));
    out.number(static_cast<std::uint32_t>(packet.flags));
    const std::size_t size = packet.data ? static_cast<std::size_t>(packet.size) : 0;
    out.raw(std::as_bytes(std::span(packet.data, size)));
    out.number(static_cast<std::uint32_t>(packet.side_data_elems));
    for (int i = 0; i < packet.side_data_elems; ++i) {
        const AVPacketSideData& side = packet.side_data[i];
        out.number(static_cast<std::uint32_t>(side.type));
        out.raw(std::as_bytes(std::span(side.data, side.size)));
    }
}

void read_packet(io::ByteReader& in, AVPacket& packet, const std::string& path) {
    av_packet_unref(&packet);
    const std::int64_t pts = decoded(in.fixed()), dts = decoded(in.fixed()), duration = decoded(in.fixed());
    const int flags = static_cast<int>(in.number());
    const auto data = in.raw();
    if (!data.empty()) {
        av_check(av_new_packet(&packet, static_cast<int>(data.size())), path, "packed packet");
        std::memcpy(packet.data, data.data(), data.size());
    }
    packet.pts = pts;
    packet.dts = dts;
    packet.duration = duration;
    packet.flags = flags;
    for (std::size_t left = in.count(2); left > 0; --left) {
        const auto type = static_cast<AVPacketSideDataType>(in.number());
        const auto bytes = in.raw();
        std::uint8_t* copy = av_made(av_packet_new_side_data(&packet, type, bytes.size()));
        if (!bytes.empty()) std::memcpy(copy, bytes.data(), bytes.size());
    }
}

std::uint64_t checksum(std::span<const std::byte> bytes) noexcept {
    io::Hash64 hash;
    hash.add(bytes);
    return hash.value();
}

// All but the hash at the end, which must agree.
std::span<const std::byte> checked(std::span<const std::byte> packed) {
    constexpr std::size_t tail = sizeof(std::uint64_t);
    if (packed.size() < tail) throw_error<InputError>("packed shard: only {} bytes", packed.size());
    const auto body = packed.first(packed.size() - tail);
    if (io::ByteReader(packed.last(tail), "packed shard").fixed() != checksum(body))
        throw_error<InputError>("packed shard: its checksum is wrong: damaged on its way");
    return body;
}

class PackedSource final : public PacketSource {
  public:
    explicit PackedSource(std::span<const std::byte> packed) : in_(checked(packed), "packed shard") {
        if (in_.fixed() != magic) in_.fail("not a packed shard");
        if (const std::uint64_t found = in_.number(); found != version)
            in_.fail(fmt::format("version {}, this program reads {}", found, version));
        stream_.path = in_.text();
        stream_.codec = unpack_codec(in_.raw(), stream_.path);
        stream_.time_base.num = static_cast<int>(in_.number());
        stream_.time_base.den = static_cast<int>(in_.number());
        stream_.first_pts = decoded(in_.fixed());
        stream_.numbered = in_.number() != 0;
        stream_.preroll_packets = static_cast<std::uint32_t>(in_.number());
        const std::size_t count = in_.count(41);
        stream_.packets.reserve(count);
        for (std::size_t i = 0; i < count; ++i) stream_.packets.push_back(read_info(in_));
        if (stream_.preroll_packets > count) in_.fail("more packets of preroll than packets");
    }

    const ShardStream& stream() const noexcept override { return stream_; }

    bool next(AVPacket& packet) override {
        if (next_ == stream_.packets.size()) return false;
        read_packet(in_, packet, stream_.path);
        ++next_;
        return true;
    }

  private:
    io::ByteReader in_;
    ShardStream stream_;
    std::size_t next_ = 0;
};

}  // namespace

std::unique_ptr<PacketSource> packed_source(std::span<const std::byte> packed) {
    return std::make_unique<PackedSource>(packed);
}

std::vector<std::byte> pack_shard(const VideoIndex& index, const Shard& shard, const OpenLimits& limits) {
    const std::unique_ptr<PacketSource> source = file_source(index, shard, limits);
    const ShardStream& stream = source->stream();
    io::ByteWriter out;
    out.fixed(magic);
    out.number(version);
    out.text(stream.path);
    out.raw(pack_codec(*stream.codec));
    out.number(static_cast<std::uint32_t>(stream.time_base.num));
    out.number(static_cast<std::uint32_t>(stream.time_base.den));
    out.fixed(coded(stream.first_pts));
    out.number(stream.numbered);
    out.number(stream.preroll_packets);
    out.number(stream.packets.size());
    for (const PacketInfo& info : stream.packets) write_info(out, info);
    const PacketHandle packet = make_packet();
    while (source->next(*packet)) write_packet(out, *packet);
    std::vector<std::byte> bytes = out.take();
    io::ByteWriter tail;
    tail.fixed(checksum(bytes));
    const std::vector<std::byte> hash = tail.take();
    bytes.insert(bytes.end(), hash.begin(), hash.end());
    return bytes;
}

}  // namespace divs::video
