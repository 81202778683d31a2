// A shard as bytes. Little-endian, as all hosts of a job are:
//   magic, version | path, codec name, codec numbers, extradata | time base, first pts, numbered, preroll
//   | packets: info, flags, data, side data | hash of all before
#include <array>
#include <cstring>

#include "hash.hpp"
#include "packet_source.hpp"

namespace divs::video {
namespace {

constexpr std::uint64_t magic = 0x64726168'73766964;  // "divshard"
constexpr std::uint32_t version = 1;

// The numbers of AVCodecParameters that decoders read, in the order they are sent.
constexpr std::array codec_numbers{&AVCodecParameters::format,
                                   &AVCodecParameters::bits_per_coded_sample,
                                   &AVCodecParameters::bits_per_raw_sample,
                                   &AVCodecParameters::profile,
                                   &AVCodecParameters::level,
                                   &AVCodecParameters::width,
                                   &AVCodecParameters::height,
                                   &AVCodecParameters::video_delay};

class Writer {
  public:
    template <class T>
    void number(T value) {
        static_assert(std::is_trivially_copyable_v<T>);
        const auto* bytes = reinterpret_cast<const std::byte*>(&value);
        out_.insert(out_.end(), bytes, bytes + sizeof value);
    }
    void block(const void* data, std::size_t size) {
        number(static_cast<std::uint64_t>(size));
        const auto* bytes = static_cast<const std::byte*>(data);
        if (size) out_.insert(out_.end(), bytes, bytes + size);
    }
    void reserve(std::size_t bytes) { out_.reserve(bytes); }
    std::vector<std::byte> finish() {
        const Bytes all(reinterpret_cast<const std::uint8_t*>(out_.data()), out_.size());
        number(Hash64().add(all).value());
        return std::move(out_);
    }

  private:
    using Bytes = std::span<const std::uint8_t>;
    std::vector<std::byte> out_;
};

class Reader {
  public:
    explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    template <class T>
    T number() {
        T value;
        std::memcpy(&value, take(sizeof value).data(), sizeof value);
        return value;
    }
    std::span<const std::byte> block() { return take(number<std::uint64_t>()); }
    std::string text() {
        const auto bytes = block();
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    std::size_t left() const noexcept { return bytes_.size() - at_; }

  private:
    std::span<const std::byte> take(std::uint64_t count) {
        if (count > left())
            throw_error<InputError>("packed shard: cut short, {} bytes expected at {}", count, at_);
        at_ += count;
        return bytes_.subspan(at_ - count, count);
    }
    std::span<const std::byte> bytes_;
    std::size_t at_ = 0;
};

void write_codec(Writer& out, const AVCodecParameters& codec) {
    const char* name = avcodec_get_name(codec.codec_id);
    out.block(name, std::strlen(name));
    out.number(codec.codec_tag);
    for (const auto member : codec_numbers) out.number(codec.*member);
    for (const int value : {static_cast<int>(codec.field_order), static_cast<int>(codec.color_range),
                            static_cast<int>(codec.color_primaries), static_cast<int>(codec.color_trc),
                            static_cast<int>(codec.color_space), static_cast<int>(codec.chroma_location)})
        out.number(value);
    out.block(codec.extradata, codec.extradata ? static_cast<std::size_t>(codec.extradata_size) : 0);
}

ParametersHandle read_codec(Reader& in) {
    ParametersHandle codec(av_made(avcodec_parameters_alloc()));
    const std::string name = in.text();
    const AVCodecDescriptor* descriptor = avcodec_descriptor_get_by_name(name.c_str());
    if (!descriptor)
        throw_error<InputError>("packed shard: this build of libavcodec does not know codec {}", name);
    codec->codec_type = AVMEDIA_TYPE_VIDEO;
    codec->codec_id = descriptor->id;
    codec->codec_tag = in.number<decltype(codec->codec_tag)>();
    for (const auto member : codec_numbers) (*codec).*member = in.number<int>();
    codec->field_order = static_cast<AVFieldOrder>(in.number<int>());
    codec->color_range = static_cast<AVColorRange>(in.number<int>());
    codec->color_primaries = static_cast<AVColorPrimaries>(in.number<int>());
    codec->color_trc = static_cast<AVColorTransferCharacteristic>(in.number<int>());
    codec->color_space = static_cast<AVColorSpace>(in.number<int>());
    codec->chroma_location = static_cast<AVChromaLocation>(in.number<int>());
    const auto extradata = in.block();
    if (extradata.empty()) return codec;
    codec->extradata =
        static_cast<std::uint8_t*>(av_made(av_mallocz(extradata.size() + AV_INPUT_BUFFER_PADDING_SIZE)));
    codec->extradata_size = static_cast<int>(extradata.size());
    std::memcpy(codec->extradata, extradata.data(), extradata.size());
    return codec;
}

void write_info(Writer& out, const PacketInfo& info) {
    for (const std::int64_t value : {info.pts, info.dts, info.duration, info.position}) out.number(value);
    out.number(info.size);
    for (const bool value : {info.key, info.safe_cut, info.recovery, info.damaged, info.shown})
        out.number(static_cast<std::uint8_t>(value));
}

PacketInfo read_info(Reader& in) {
    PacketInfo info;
    for (auto* value : {&info.pts, &info.dts, &info.duration, &info.position})
        *value = in.number<std::int64_t>();
    info.size = in.number<std::int32_t>();
    for (auto* value : {&info.key, &info.safe_cut, &info.recovery, &info.damaged, &info.shown})
        *value = in.number<std::uint8_t>() != 0;
    return info;
}

void write_packet(Writer& out, const AVPacket& packet) {
    for (const std::int64_t value : {packet.pts, packet.dts, packet.duration}) out.number(value);
    out.number(packet.flags);
    out.block(packet.data, packet.data ? static_cast<std::size_t>(packet.size) : 0);
    out.number(packet.side_data_elems);
    for (int i = 0; i < packet.side_data_elems; ++i) {
        out.number(static_cast<int>(packet.side_data[i].type));
        out.block(packet.side_data[i].data, packet.side_data[i].size);
    }
}

void read_packet(Reader& in, AVPacket& packet, const std::string& path) {
    av_packet_unref(&packet);
    const auto pts = in.number<std::int64_t>(), dts = in.number<std::int64_t>(),
               duration = in.number<std::int64_t>();
    const int flags = in.number<int>();
    const auto data = in.block();
    if (!data.empty()) {
        av_check(av_new_packet(&packet, static_cast<int>(data.size())), path, "packed packet");
        std::memcpy(packet.data, data.data(), data.size());
    }
    packet.pts = pts;
    packet.dts = dts;
    packet.duration = duration;
    packet.flags = flags;
    const int extra = in.number<int>();
    for (int i = 0; i < extra; ++i) {
        const int type = in.number<int>();
        const auto bytes = in.block();
        std::uint8_t* copy =
            av_made(av_packet_new_side_data(&packet, static_cast<AVPacketSideDataType>(type), bytes.size()));
        if (!bytes.empty()) std::memcpy(copy, bytes.data(), bytes.size());
    }
}

class PackedSource final : public PacketSource {
  public:
    explicit PackedSource(std::span<const std::byte> packed) : in_(checked(packed)) {
        if (in_.number<std::uint64_t>() != magic)
            throw_error<InputError>("packed shard: these bytes are none");
        if (const auto found = in_.number<std::uint32_t>(); found != version)
            throw_error<InputError>("packed shard: version {}, expected {}", found, version);
        stream_.path = in_.text();
        stream_.codec = read_codec(in_);
        stream_.time_base.num = in_.number<int>();
        stream_.time_base.den = in_.number<int>();
        stream_.first_pts = in_.number<std::int64_t>();
        stream_.numbered = in_.number<std::uint8_t>() != 0;
        stream_.preroll_packets = in_.number<std::uint32_t>();
        const auto count = in_.number<std::uint64_t>();
        if (count > in_.left())
            throw_error<InputError>("packed shard: {} packets in {} bytes", count, in_.left());
        stream_.packets.reserve(count);
        for (std::uint64_t i = 0; i < count; ++i) stream_.packets.push_back(read_info(in_));
    }

    const ShardStream& stream() const noexcept override { return stream_; }

    bool next(AVPacket& packet) override {
        if (next_ == stream_.packets.size()) return false;
        read_packet(in_, packet, stream_.path);
        ++next_;
        return true;
    }

  private:
    static std::span<const std::byte> checked(std::span<const std::byte> packed) {
        constexpr std::size_t tail = sizeof(std::uint64_t);
        if (packed.size() < tail) throw_error<InputError>("packed shard: {} bytes", packed.size());
        const auto body = packed.first(packed.size() - tail);
        const auto hash =
            Hash64().add({reinterpret_cast<const std::uint8_t*>(body.data()), body.size()}).value();
        if (std::memcmp(&hash, packed.data() + body.size(), tail) != 0)
            throw_error<InputError>("packed shard: its checksum is wrong: damaged on its way");
        return body;
    }

    Reader in_;
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
    Writer out;
    out.reserve(shard.bytes + stream.packets.size() * 128 + 4096);
    out.number(magic);
    out.number(version);
    out.block(stream.path.data(), stream.path.size());
    write_codec(out, *stream.codec);
    out.number(stream.time_base.num);
    out.number(stream.time_base.den);
    out.number(stream.first_pts);
    out.number(static_cast<std::uint8_t>(stream.numbered));
    out.number(stream.preroll_packets);
    out.number(static_cast<std::uint64_t>(stream.packets.size()));
    for (const PacketInfo& info : stream.packets) write_info(out, info);
    const PacketHandle packet = make_packet();
    while (source->next(*packet)) write_packet(out, *packet);
    return out.finish();
}

}  // namespace divs::video
