#include "divs/video/index.hpp"

#include <algorithm>
#include <limits>

#include "codec_bytes.hpp"
#include "demuxer.hpp"
#include "fingerprint.hpp"
#include "inspect.hpp"
#include "one_picture.hpp"
#include "safe_cuts.hpp"

namespace divs::video {
namespace {

static_assert(AV_NOPTS_VALUE == std::numeric_limits<std::int64_t>::min(), "INT64_MIN means: no time");

PacketInfo describe(const AVPacket& packet) {
    PacketInfo info;
    info.pts = packet.pts;
    info.dts = packet.dts;
    info.duration = packet.duration;
    info.position = packet.pos;
    info.size = packet.size;
    info.key = packet.flags & AV_PKT_FLAG_KEY;
    return info;
}

void read_packets(Demuxer& file, PacketInspector& inspector, const OpenLimits& limits, VideoIndex& index,
                  std::vector<PacketFacts>& facts) {
    const PacketHandle packet = make_packet();
    while (file.read(*packet)) {
        if (static_cast<std::int64_t>(index.packets.size()) >= limits.max_packets)
            throw_error<InputError>("{}: more than {} packets, the limit", index.path, limits.max_packets);
        if (av_packet_get_side_data(packet.get(), AV_PKT_DATA_ENCRYPTION_INFO, nullptr))
            throw_error<InputError>("{}: the pictures are encrypted", index.path);
        PacketInfo info = describe(*packet);
        facts.push_back(inspector.look(*packet, info));
        index.packets.push_back(info);
    }
}

// What precedes the first packet that can start decoding cannot be decoded: it is kept from decoders. Streams
// that have no such packet (refreshed little by little) are decoded from their beginning.
void drop_undecodable_start(VideoIndex& index, const std::vector<PacketFacts>& facts) {
    const auto can_start = [&](std::size_t i) {
        return index.packets[i].key || facts[i].start != Start::none;
    };
    std::size_t first = 0;
    while (first < facts.size() && !can_start(first)) ++first;
    if (first == facts.size()) return;
    for (std::size_t i = 0; i < first; ++i) index.packets[i].damaged = true;
}

void check_duration(const VideoIndex& index, const OpenLimits& limits) {
    std::int64_t last = index.first_pts();
    for (const PacketInfo& packet : index.packets)
        if (packet.gives_frame()) last = std::max(last, packet.pts);
    if (index.seconds(last) > limits.max_seconds)
        throw_error<InputError>("{}: lasts {:.0f} s, the limit is {:.0f} s", index.path, index.seconds(last),
                                limits.max_seconds);
}

// Frames over time, for containers whose header has no rate.
Rational measured_rate(const VideoIndex& index) {
    std::int64_t first = std::numeric_limits<std::int64_t>::max(),
                 last = std::numeric_limits<std::int64_t>::min();
    int frames = 0;
    for (const PacketInfo& packet : index.packets) {
        if (!packet.gives_frame()) continue;
        first = std::min(first, packet.pts);
        last = std::max(last, packet.pts);
        ++frames;
    }
    const double seconds = frames > 1 ? static_cast<double>(last - first) * index.time_base.value() : 0;
    return seconds > 0 ? to_rational(av_d2q((frames - 1) / seconds, 100'000)) : Rational{0, 1};
}

void describe_stream(const Demuxer& file, const AVCodecParameters& codec, VideoIndex& index) {
    index.container = file.container();
    index.codec = avcodec_get_name(codec.codec_id);
    index.stream = file.stream();
    index.image = file.image();
    index.decoder_setup = pack_codec(codec);
    index.time_base = file.time_base();
    index.frame_rate = file.frame_rate();
    index.width = codec.width;
    index.height = codec.height;
    if (const char* name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(codec.format)))
        index.pixel_format = name;
    if (!avcodec_find_decoder(codec.codec_id))
        throw_error<InputError>("{}: this build of libavcodec has no decoder for {}", index.path,
                                index.codec);
    if (index.time_base.num <= 0 || index.time_base.den <= 0)
        throw_error<InputError>("{}: time base {}/{}", index.path, index.time_base.num, index.time_base.den);
}

// Size and pixel format, where the container's header left them open: from the packets' headers, else by
// decoding one picture.
void complete_format(const PacketInspector& inspector, const OpenLimits& limits, VideoIndex& index) {
    if (index.width <= 0 || index.height <= 0) {
        index.width = inspector.width();
        index.height = inspector.height();
    }
    if (index.pixel_format.empty() && inspector.pixel_format() != AV_PIX_FMT_NONE)
        index.pixel_format = av_get_pix_fmt_name(inspector.pixel_format());
    if (index.pixel_format.empty() || index.width <= 0) {
        const OnePicture picture = look_at_one_picture(index.path, index.image, limits);
        index.pixel_format = picture.pixel_format;
        index.width = picture.width;
        index.height = picture.height;
    }
    const std::int64_t pixels = std::int64_t{index.width} * index.height;
    if (pixels > limits.max_pixels)
        throw_error<InputError>("{}: pictures of {} x {}, the limit is {} pixels", index.path, index.width,
                                index.height, limits.max_pixels);
}

// A file that declares encryption can still hold clear samples; where no packet says that it is encrypted, only
// decoding tells.
void require_clear(const Demuxer& file, const OpenLimits& limits, const VideoIndex& index) {
    if (!file.encrypted()) return;
    try {
        look_at_one_picture(index.path, index.image, limits);
    } catch (const InputError&) {
        throw_error<InputError>("{}: the pictures are encrypted", index.path);
    }
}

void fill(VideoIndex& index, const OpenLimits& limits) {
    Demuxer file(index.path, limits);
    const FileState state = file_state(index.path);
    index.file_bytes = state.bytes;
    index.modified_ns = state.modified_ns;
    index.fingerprint = fingerprint(index.path, state.bytes);
    describe_stream(file, file.codec(), index);
    PacketInspector inspector(file.codec());
    std::vector<PacketFacts> facts;
    read_packets(file, inspector, limits, index, facts);
    drop_undecodable_start(index, facts);
    hide_skipped_leading(index, facts);
    if (std::none_of(index.packets.begin(), index.packets.end(),
                     [](const auto& p) { return p.gives_frame(); }))
        throw_error<InputError>(
            "{}: {}", index.path,
            index.packets.empty() ? "no packet in its video stream" : "no undamaged picture");
    require_clear(file, limits, index);
    settle_times(index);
    const AVCodecDescriptor* descriptor = avcodec_descriptor_get(file.codec().codec_id);
    mark_safe_cuts(index, facts, !descriptor || (descriptor->props & AV_CODEC_PROP_REORDER));
    if (index.frame_rate.num <= 0 || index.frame_rate.den <= 0) index.frame_rate = measured_rate(index);
    check_duration(index, limits);
    complete_format(inspector, limits, index);
}

}  // namespace

std::int64_t VideoIndex::first_pts() const noexcept {
    // No time is further out of place than `most_out_of_place`, or the index would be numbered.
    std::int64_t first = std::numeric_limits<std::int64_t>::max();
    int seen = 0;
    for (auto packet = packets.begin(); packet != packets.end() && seen <= most_out_of_place; ++packet) {
        if (!packet->gives_frame()) continue;
        first = std::min(first, packet->pts);
        ++seen;
    }
    return seen == 0 ? 0 : first;
}

VideoIndex index_video(const std::filesystem::path& file, const OpenLimits& limits) {
    VideoIndex index;
    index.path = file.string();
    index.limits = limits;
    try {
        fill(index, limits);
    } catch (const std::exception& error) {
        index.quarantine = error.what();
        const std::string name = index.path + ": ";
        if (index.quarantine.starts_with(name)) index.quarantine.erase(0, name.size());
        index.packets.clear();
        index.decoder_setup.clear();
    }
    return index;
}

bool is_current(const VideoIndex& index, const OpenLimits& limits) {
    if (index.limits != limits) return false;
    try {
        const FileState state = file_state(index.path);
        return state.bytes == index.file_bytes && state.modified_ns == index.modified_ns &&
               fingerprint(index.path, state.bytes) == index.fingerprint;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace divs::video
