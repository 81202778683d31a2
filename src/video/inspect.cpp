#include "inspect.hpp"

#include <algorithm>
#include <array>

namespace divs::video {
namespace {

// Codecs whose libav parser reads a whole packet's header at a time.
bool has_header_parser(AVCodecID codec) noexcept {
    constexpr std::array codecs{AV_CODEC_ID_H264,       AV_CODEC_ID_HEVC,  AV_CODEC_ID_MPEG1VIDEO,
                                AV_CODEC_ID_MPEG2VIDEO, AV_CODEC_ID_MPEG4, AV_CODEC_ID_H263,
                                AV_CODEC_ID_VC1,        AV_CODEC_ID_VP8,   AV_CODEC_ID_VP9,
                                AV_CODEC_ID_AV1,        AV_CODEC_ID_RV30,  AV_CODEC_ID_RV40};
    return std::find(codecs.begin(), codecs.end(), codec) != codecs.end();
}

// RFC 6386 9.1: bit 4 of the first byte.
bool vp8_shown(Bytes bytes) noexcept {
    return (bytes[0] >> 4) & 1;
}

// VP9 bitstream specification 6.2 and annex B: a superframe ends in its marker and holds one shown frame.
bool vp9_shown(Bytes bytes) noexcept {
    if ((bytes.back() & 0xE0) == 0xC0) return true;
    const bool profile3 = (bytes[0] & 0x30) == 0x30;
    const int show_existing = profile3 ? 2 : 3;  // bit of the first byte
    if ((bytes[0] >> show_existing) & 1) return true;
    return (bytes[0] >> (show_existing - 2)) & 1;
}

// How often a start code comes in a packet, at most twice.
int count_starts(Bytes bytes, std::uint8_t code) noexcept {
    const std::array<std::uint8_t, 4> start{0, 0, 1, code};
    const auto first = std::search(bytes.begin(), bytes.end(), start.begin(), start.end());
    if (first == bytes.end()) return 0;
    return std::search(first + 4, bytes.end(), start.begin(), start.end()) == bytes.end() ? 1 : 2;
}

bool has_side_data(const AVPacket& packet, AVPacketSideDataType type) noexcept {
    return av_packet_get_side_data(&packet, type, nullptr) != nullptr;
}

bool intra_only(AVCodecID codec) noexcept {
    const AVCodecDescriptor* descriptor = avcodec_descriptor_get(codec);
    return descriptor && (descriptor->props & AV_CODEC_PROP_INTRA_ONLY);
}

}  // namespace

PacketInspector::PacketInspector(const AVCodecParameters& codec)
    : codec_(codec),
      intra_only_(intra_only(codec.codec_id)),
      splitter_(codec),
      sets_(codec.codec_id == AV_CODEC_ID_HEVC) {
    if (codec.codec_id == AV_CODEC_ID_H264 || codec.codec_id == AV_CODEC_ID_HEVC)
        splitter_.for_each_in_extradata([&](Bytes unit, int type) {
            sets_.add_initial(unit, type);
            return true;
        });
    if (!has_header_parser(codec.codec_id)) return;
    parser_.reset(av_parser_init(codec.codec_id));
    if (!parser_) return;
    parser_->flags |= PARSER_FLAG_COMPLETE_FRAMES;
    context_.reset(av_made(avcodec_alloc_context3(nullptr)));
    if (avcodec_parameters_to_context(context_.get(), &codec) < 0) parser_.reset();
}

PacketInspector::~PacketInspector() = default;

PacketFacts PacketInspector::look(const AVPacket& packet, PacketInfo& info) {
    PacketFacts facts;
    info.damaged = (packet.flags & AV_PKT_FLAG_CORRUPT) || packet.size <= 0 || !packet.data;
    info.shown = !(packet.flags & AV_PKT_FLAG_DISCARD);
    facts.sets_state = has_side_data(packet, AV_PKT_DATA_NEW_EXTRADATA) ||
                       has_side_data(packet, AV_PKT_DATA_PARAM_CHANGE) ||
                       has_side_data(packet, AV_PKT_DATA_PALETTE);
    if (info.damaged) return facts;
    const Bytes bytes(packet.data, static_cast<std::size_t>(packet.size));
    if (parser_) parse_header(packet);
    switch (codec_.codec_id) {
        case AV_CODEC_ID_H264:
            look_h264(bytes, info, facts);
            break;
        case AV_CODEC_ID_HEVC:
            look_hevc(bytes, info, facts);
            break;
        default: look_other(bytes, info, facts);
    }
    return facts;
}

// Codecs without NAL units: the container's key flag, checked against the picture's header where libav can parse it.
void PacketInspector::look_other(Bytes bytes, PacketInfo& info, PacketFacts& facts) {
    bool picture = true;
    switch (codec_.codec_id) {
        case AV_CODEC_ID_VP8: info.shown = info.shown && vp8_shown(bytes); break;
        case AV_CODEC_ID_VP9: info.shown = info.shown && vp9_shown(bytes); break;
        case AV_CODEC_ID_MPEG1VIDEO:
        case AV_CODEC_ID_MPEG2VIDEO: picture = count_starts(bytes, 0x00) > 0; break;
        case AV_CODEC_ID_MPEG4: {
            const int pictures = count_starts(bytes, 0xB6);
            picture = pictures > 0;  // none: AVI's place holder for a frame that repeats the one before
            facts.bidirectional = info.key && pictures > 1;  // DivX's packed form: a B picture behind its reference
            break;
        }
        default: break;
    }
    info.shown = info.shown && picture;
    const bool parsed = parser_ && parser_->pict_type != AV_PICTURE_TYPE_NONE;
    facts.bidirectional = facts.bidirectional || (parsed && parser_->pict_type == AV_PICTURE_TYPE_B);
    const bool intra = !parsed || parser_->key_frame == 1 || parser_->pict_type == AV_PICTURE_TYPE_I;
    if (intra_only_)
        facts.start = Start::clean;
    else if (info.key && intra && picture)
        facts.start = Start::key;
}

void PacketInspector::look_h264(Bytes bytes, PacketInfo& info, PacketFacts& facts) {
    bool recovery = false, picture = false;
    sets_.begin_packet();
    const bool whole = splitter_.for_each(bytes, [&](Bytes unit, int type) {
        if (sets_.is_set(type)) sets_.add(unit, type);
        if (type == h264::sei) recovery = recovery || has_exact_recovery_point(unit);
        picture = type == h264::slice || type == h264::partition_a || type == h264::idr;
        if (type == h264::idr) facts.start = Start::clean;
        return !picture;
    });
    info.damaged = !whole;
    info.shown = info.shown && picture;
    if (picture && recovery && facts.start == Start::none) facts.start = Start::recovery;
    if (info.damaged || !sets_.complete()) facts.start = Start::none;
    if (parser_ && !info.damaged && picture) pair_fields(info);
}

void PacketInspector::look_hevc(Bytes bytes, PacketInfo& info, PacketFacts& facts) {
    bool picture = false;
    sets_.begin_packet();
    const bool whole = splitter_.for_each(bytes, [&](Bytes unit, int type) {
        if (sets_.is_set(type)) sets_.add(unit, type);
        if (type == hevc::end_of_sequence || type == hevc::end_of_bitstream) facts.ends_sequence = true;
        if (type >= hevc::first_non_picture || picture) return true;
        picture = true;
        facts.random_access_picture = type >= hevc::bla_w_lp && type <= hevc::cra;
        facts.skipped_leading = type == hevc::rasl_n || type == hevc::rasl_r;
        if (type >= hevc::bla_w_lp && type <= hevc::idr_n_lp) facts.start = Start::clean;
        if (type == hevc::cra) facts.start = Start::recovery;
        return true;
    });
    info.damaged = !whole;
    info.shown = info.shown && picture;
    if (info.damaged || !sets_.complete()) facts.start = Start::none;
}

// A second field of its own packet belongs to the frame of the first.
void PacketInspector::pair_fields(PacketInfo& info) {
    const int structure = parser_->picture_structure;
    const bool field =
        structure == AV_PICTURE_STRUCTURE_TOP_FIELD || structure == AV_PICTURE_STRUCTURE_BOTTOM_FIELD;
    if (field && open_field_ != 0 && open_field_ != structure) {
        info.shown = false;
        open_field_ = 0;
    } else {
        open_field_ = field ? structure : 0;
    }
}

void PacketInspector::parse_header(const AVPacket& packet) {
    std::uint8_t* out = nullptr;
    int out_bytes = 0;
    parser_->pict_type = AV_PICTURE_TYPE_NONE;
    parser_->key_frame = -1;
    av_parser_parse2(parser_.get(), context_.get(), &out, &out_bytes, packet.data, packet.size, packet.pts,
                     packet.dts, packet.pos);
    if (pixel_format_ == AV_PIX_FMT_NONE && parser_->format >= 0)
        pixel_format_ = static_cast<AVPixelFormat>(parser_->format);
    if (width_ == 0 && parser_->width > 0) {
        width_ = parser_->width;
        height_ = parser_->height;
    }
}

}  // namespace divs::video
