#include "demuxer.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "open.hpp"

namespace divs::video {
namespace {

// Some formats name further files (external tracks, key files); none of them is ever opened.
int refuse_to_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
    return AVERROR(EACCES);
}

constexpr std::int64_t most_image_bytes = std::int64_t{1} << 29;

bool is_format(const AVFormatContext& format, std::string_view first_name) {
    return std::string_view(format.iformat->name).starts_with(first_name);
}

// True where the container's header says everything that decoding and true timestamps need. Elsewhere packets
// must be looked at first: for the parameter sets (transport streams), or for the reorder delay that AVI does
// not store.
bool header_suffices(const AVFormatContext& format, const AVStream& stream) {
    const AVCodecParameters& codec = *stream.codecpar;
    if (codec.codec_id == AV_CODEC_ID_NONE || codec.width <= 0 || codec.height <= 0) return false;
    const bool needs_sets = codec.codec_id == AV_CODEC_ID_H264 || codec.codec_id == AV_CODEC_ID_HEVC;
    if (needs_sets && codec.extradata_size == 0) return false;
    if (is_format(format, "mov")) return true;
    // A Matroska track in AVI's manner ("V_MS/VFW/FOURCC") has a tag, and decode times in place of
    // presentation times.
    if (is_format(format, "matroska")) return codec.codec_tag == 0;
    const AVCodecDescriptor* descriptor = avcodec_descriptor_get(codec.codec_id);
    return is_format(format, "avi") && descriptor && (descriptor->props & AV_CODEC_PROP_INTRA_ONLY);
}

}  // namespace

Demuxer::Demuxer(const std::string& path, const OpenLimits& limits, std::optional<int> known_stream)
    : path_(path) {
    OpenedFile file = open_file(path);
    io_ = std::move(file.io);
    container_ = file.format->name;
    if (file.image_codec != AV_CODEC_ID_NONE)
        open_image(file.image_codec);
    else
        open_container(*file.format, limits, known_stream);
}

void Demuxer::open_image(AVCodecID codec) {
    image_ = true;
    codec_.reset(av_made(avcodec_parameters_alloc()));
    codec_->codec_type = AVMEDIA_TYPE_VIDEO;
    codec_->codec_id = codec;
}

void Demuxer::open_container(const AVInputFormat& format, const OpenLimits& limits,
                             std::optional<int> known_stream) {
    format_.reset(av_made(avformat_alloc_context()));
    format_->pb = io_.get();
    format_->flags |= AVFMT_FLAG_CUSTOM_IO;
    format_->io_open = refuse_to_open;
    format_->max_streams = limits.max_streams;
    AVDictionary* raw = nullptr;
    av_dict_set(&raw, "protocol_whitelist", "file", 0);
    av_dict_set(&raw, "format_whitelist", format_whitelist().c_str(), 0);
    AVFormatContext* context = format_.release();  // freed by libav where opening fails
    const int code = avformat_open_input(&context, path_.c_str(), &format, &raw);
    const DictionaryHandle options(raw);
    format_.reset(context);
    av_check(code, path_, "the header cannot be read");
    if (known_stream && is_video(*known_stream)) {
        use_stream(*known_stream, limits);
    } else {
        find_parameters(limits);
        use_stream(largest_video_stream(), limits);
    }
    discard_other_streams();
}

// Runs libav's look at the first packets where the header does not suffice.
void Demuxer::find_parameters(const OpenLimits& limits) {
    bool any = false, all = true;
    for (unsigned i = 0; i < format_->nb_streams; ++i) {
        const AVStream& stream = *format_->streams[i];
        if (stream.codecpar->codec_type != AVMEDIA_TYPE_VIDEO) continue;
        any = true;
        all =
            all && ((stream.disposition & AV_DISPOSITION_ATTACHED_PIC) || header_suffices(*format_, stream));
    }
    if (any && all) return;
    if (!any && !(format_->ctx_flags & AVFMTCTX_NOHEADER)) return;
    const auto pixels = std::to_string(limits.max_pixels);
    std::vector<AVDictionary*> options(format_->nb_streams, nullptr);
    for (AVDictionary*& option : options) {
        av_dict_set(&option, "max_pixels", pixels.c_str(), 0);
        av_dict_set(&option, "threads", "1", 0);
    }
    const int code = avformat_find_stream_info(format_.get(), options.data());
    for (AVDictionary*& option : options) av_dict_free(&option);
    av_check(code, path_, "the streams cannot be recognised");
}

bool Demuxer::is_video(int number) const {
    if (number < 0 || static_cast<unsigned>(number) >= format_->nb_streams) return false;
    const AVStream& stream = *format_->streams[number];
    return stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
           !(stream.disposition & AV_DISPOSITION_ATTACHED_PIC);
}

std::int64_t Demuxer::pixels_of(int number) const {
    const AVCodecParameters& codec = *format_->streams[number]->codecpar;
    return std::int64_t{codec.width} * codec.height;
}

// The first of equals; cover pictures of audio files do not count.
int Demuxer::largest_video_stream() const {
    int largest = -1;
    for (int i = 0; i < static_cast<int>(format_->nb_streams); ++i)
        if (is_video(i) && (largest < 0 || pixels_of(i) > pixels_of(largest))) largest = i;
    if (largest < 0)
        throw_error<InputError>("{}: no video stream among {} streams", path_, format_->nb_streams);
    return largest;
}

void Demuxer::use_stream(int number, const OpenLimits& limits) {
    stream_ = number;
    if (pixels_of(number) > limits.max_pixels)
        throw_error<InputError>("{}: pictures of {} pixels, the limit is {}", path_, pixels_of(number),
                                limits.max_pixels);
    const AVStream& stream = *format_->streams[stream_];
    codec_.reset(av_made(avcodec_parameters_alloc()));
    av_check(avcodec_parameters_copy(codec_.get(), stream.codecpar), path_, "codec parameters");
    time_base_ = to_rational(stream.time_base);
    frame_rate_ = to_rational(stream.avg_frame_rate);
    encrypted_ = codec_->codec_tag == MKTAG('e', 'n', 'c', 'v') ||
                 stream_side_data(stream, AV_PKT_DATA_ENCRYPTION_INIT_INFO) != nullptr;
}

void Demuxer::discard_other_streams() {
    for (; known_streams_ < format_->nb_streams; ++known_streams_)
        if (known_streams_ != static_cast<unsigned>(stream_))
            format_->streams[known_streams_]->discard = AVDISCARD_ALL;
}

bool Demuxer::read(AVPacket& packet) {
    av_packet_unref(&packet);
    if (image_) return read_image(packet);
    for (;;) {
        const int code = av_read_frame(format_.get(), &packet);
        if (code < 0) {
            if (code == AVERROR(ENOMEM)) throw std::bad_alloc();
            if (code != AVERROR_EOF) stopped_ = av_error_text(code);
            return false;
        }
        discard_other_streams();
        if (packet.stream_index == stream_) return true;
        av_packet_unref(&packet);
    }
}

bool Demuxer::read_image(AVPacket& packet) {
    if (image_read_) return false;
    image_read_ = true;
    const std::int64_t bytes = avio_size(io_.get());
    if (bytes <= 0 || bytes > most_image_bytes)
        throw_error<InputError>("{}: an image of {} bytes, the limit is {}", path_, bytes, most_image_bytes);
    if (avio_seek(io_.get(), 0, SEEK_SET) < 0)
        throw_error<InputError>("{}: cannot be read from its start", path_);
    const int got =
        av_check(av_get_packet(io_.get(), &packet, static_cast<int>(bytes)), path_, "cannot read");
    if (got < bytes) packet.flags |= AV_PKT_FLAG_CORRUPT;
    packet.pts = packet.dts = 0;
    packet.duration = 1;
    packet.pos = 0;
    packet.flags |= AV_PKT_FLAG_KEY;
    return true;
}

bool Demuxer::seek_time(std::int64_t time) {
    return !image_ && av_seek_frame(format_.get(), stream_, time, AVSEEK_FLAG_BACKWARD) >= 0;
}

bool Demuxer::seek_byte(std::int64_t position) {
    if (image_ || (format_->iformat->flags & AVFMT_NO_BYTE_SEEK)) return false;
    return av_seek_frame(format_.get(), -1, position, AVSEEK_FLAG_BYTE) >= 0;
}

}  // namespace divs::video
