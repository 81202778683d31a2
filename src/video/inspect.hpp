// What one packet says about where decoding may start, by its headers alone.
#pragma once

#include <memory>

#include "av.hpp"
#include "nal.hpp"

namespace divs::video {

enum class Start : std::uint8_t {
    none,
    recovery,  // an H.264 recovery point, an HEVC CRA picture: pictures shown before it may need earlier ones
    key,       // a key packet of another codec: a safe cut if its times prove it
    clean,     // by the standard, nothing behind it needs anything before it: IDR, BLA, intra-only codecs
};

struct PacketFacts {
    Start start = Start::none;
    bool random_access_picture = false;  // HEVC IRAP
    bool skipped_leading = false;        // HEVC RASL: needs pictures before its random access picture
    bool ends_sequence = false;          // HEVC: the next picture starts a new sequence
    bool bidirectional = false;          // a B picture
    bool sets_state = false;             // brings new extradata, a palette or parameters as side data
};

// Looks at the packets of one stream in decode order.
class PacketInspector {
  public:
    explicit PacketInspector(const AVCodecParameters& codec);
    ~PacketInspector();

    // Facts of a packet; marks it `damaged` where it cannot be parsed, not `shown` where it gives no frame of
    // its own.
    PacketFacts look(const AVPacket& packet, PacketInfo& info);

    // From the headers seen so far; AV_PIX_FMT_NONE and 0 where they don't say.
    AVPixelFormat pixel_format() const noexcept { return pixel_format_; }
    int width() const noexcept { return width_; }
    int height() const noexcept { return height_; }

  private:
    void look_other(Bytes bytes, PacketInfo& info, PacketFacts& facts);
    void look_h264(Bytes bytes, PacketInfo& info, PacketFacts& facts);
    void look_hevc(Bytes bytes, PacketInfo& info, PacketFacts& facts);
    void parse_header(const AVPacket& packet);
    void pair_fields(PacketInfo& info);

    const AVCodecParameters& codec_;
    bool intra_only_;
    NalSplitter splitter_;
    ParameterSets sets_;
    ParserHandle parser_;
    CodecHandle context_;  // what the parser reads and writes
    AVPixelFormat pixel_format_ = AV_PIX_FMT_NONE;
    int width_ = 0, height_ = 0;
    int open_field_ = 0;  // the picture structure of a first field whose second has not come
};

}  // namespace divs::video
