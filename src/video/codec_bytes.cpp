#include "codec_bytes.hpp"

#include <array>
#include <cstring>

#include "divs/io/bytes.hpp"

namespace divs::video {
namespace {

// The numbers of AVCodecParameters that decoders read, in the order in which they are packed.
constexpr std::array numbers{&AVCodecParameters::format,
                             &AVCodecParameters::bits_per_coded_sample,
                             &AVCodecParameters::bits_per_raw_sample,
                             &AVCodecParameters::profile,
                             &AVCodecParameters::level,
                             &AVCodecParameters::width,
                             &AVCodecParameters::height,
                             &AVCodecParameters::video_delay};

std::uint64_t coded(int value) noexcept {
    return static_cast<std::uint32_t>(value);
}
int decoded(std::uint64_t value) noexcept {
    return static_cast<int>(static_cast<std::uint32_t>(value));
}

}  // namespace

std::vector<std::byte> pack_codec(const AVCodecParameters& codec) {
    io::ByteWriter out;
    out.text(avcodec_get_name(codec.codec_id));
    out.number(codec.codec_tag);
    for (const auto member : numbers) out.number(coded(codec.*member));
    out.number(coded(codec.field_order));
    out.number(coded(codec.color_range));
    out.number(coded(codec.color_primaries));
    out.number(coded(codec.color_trc));
    out.number(coded(codec.color_space));
    out.number(coded(codec.chroma_location));
    const std::size_t extra = codec.extradata ? static_cast<std::size_t>(codec.extradata_size) : 0;
    out.raw(std::as_bytes(std::span(codec.extradata, extra)));
    return out.take();
}

ParametersHandle unpack_codec(std::span<const std::byte> bytes, const std::string& what) {
    io::ByteReader in(bytes, what);
    ParametersHandle codec(av_made(avcodec_parameters_alloc()));
    const std::string name = in.text();
    const AVCodecDescriptor* descriptor = avcodec_descriptor_get_by_name(name.c_str());
    if (!descriptor) in.fail(fmt::format("codec {}, which this build of libavcodec does not know", name));
    codec->codec_type = AVMEDIA_TYPE_VIDEO;
    codec->codec_id = descriptor->id;
    codec->codec_tag = static_cast<std::uint32_t>(in.number());
    for (const auto member : numbers) (*codec).*member = decoded(in.number());
    codec->field_order = static_cast<AVFieldOrder>(decoded(in.number()));
    codec->color_range = static_cast<AVColorRange>(decoded(in.number()));
    codec->color_primaries = static_cast<AVColorPrimaries>(decoded(in.number()));
    codec->color_trc = static_cast<AVColorTransferCharacteristic>(decoded(in.number()));
    codec->color_space = static_cast<AVColorSpace>(decoded(in.number()));
    codec->chroma_location = static_cast<AVChromaLocation>(decoded(in.number()));
    const auto extra = in.raw();
    in.finish();
    if (extra.empty()) return codec;
    // libav frees it, and reads past its end.
    codec->extradata =
        static_cast<std::uint8_t*>(av_made(av_mallocz(extra.size() + AV_INPUT_BUFFER_PADDING_SIZE)));
    codec->extradata_size = static_cast<int>(extra.size());
    std::memcpy(codec->extradata, extra.data(), extra.size());
    return codec;
}

}  // namespace divs::video
