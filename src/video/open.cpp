#include "open.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <mutex>
#include <string_view>

namespace divs::video {
namespace {

// Containers and raw streams, by libavformat's full names. Nothing here opens a second file.
constexpr std::array<std::string_view, 29> containers{"mov,mp4,m4a,3gp,3g2,mj2",
                                                      "matroska,webm",
                                                      "avi",
                                                      "mpegts",
                                                      "mpeg",
                                                      "mpegvideo",
                                                      "h264",
                                                      "hevc",
                                                      "m4v",
                                                      "mjpeg",
                                                      "mpjpeg",
                                                      "ivf",
                                                      "flv",
                                                      "asf",
                                                      "rm",
                                                      "ogg",
                                                      "gif",
                                                      "apng",
                                                      "obu",
                                                      "av1",
                                                      "vc1",
                                                      "vc1test",
                                                      "h263",
                                                      "h261",
                                                      "dv",
                                                      "mxf",
                                                      "nut",
                                                      "yuv4mpegpipe",
                                                      "gxf"};

struct ImageFormat {
    std::string_view format;
    AVCodecID codec;
};
constexpr std::array<ImageFormat, 9> images{{{"jpeg_pipe", AV_CODEC_ID_MJPEG},
                                             {"png_pipe", AV_CODEC_ID_PNG},
                                             {"bmp_pipe", AV_CODEC_ID_BMP},
                                             {"webp_pipe", AV_CODEC_ID_WEBP},
                                             {"tiff_pipe", AV_CODEC_ID_TIFF},
                                             {"ppm_pipe", AV_CODEC_ID_PPM},
                                             {"pgm_pipe", AV_CODEC_ID_PGM},
                                             {"pam_pipe", AV_CODEC_ID_PAM},
                                             {"j2k_pipe", AV_CODEC_ID_JPEG2000}}};

constexpr std::array<std::string_view, 4> playlists{"hls", "concat", "dash", "sdp"};

void require_regular_file(const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found) throw_error<InputError>("{}: no such file", path);
    if (error) throw_error<InputError>("{}: {}", path, error.message());
    if (status.type() == fs::file_type::directory)
        throw_error<InputError>("{}: a directory, expected a video or image file", path);
    if (status.type() != fs::file_type::regular)
        throw_error<InputError>("{}: a device, pipe or socket, expected a regular file", path);
    const auto bytes = fs::file_size(path, error);
    if (error) throw_error<InputError>("{}: {}", path, error.message());
    if (bytes == 0) throw_error<InputError>("{}: empty file", path);
}

IoHandle open_bytes(const std::string& path) {
    AVDictionary* raw = nullptr;
    av_dict_set(&raw, "protocol_whitelist", "file", 0);
    AVIOContext* io = nullptr;
    // With the protocol written out, no part of the path can be taken for another protocol.
    const int code = avio_open2(&io, ("file:" + path).c_str(), AVIO_FLAG_READ, nullptr, &raw);
    const DictionaryHandle options(raw);
    av_check(code, path, "cannot open");
    return IoHandle(io);
}

const AVInputFormat* recognise(const std::string& path, AVIOContext& io) {
    constexpr unsigned most_bytes = 1U << 20;
    const AVInputFormat* format = nullptr;
    if (av_probe_input_buffer2(&io, &format, "", nullptr, 0, most_bytes) >= 0 && format) {
        // By its content a stream of JPEGs is one JPEG.
        const bool is_stream =
            format->name == std::string_view("jpeg_pipe") && av_match_ext(path.c_str(), "mjpg,mjpeg");
        return is_stream ? av_find_input_format("mjpeg") : format;
    }
    if (avio_seek(&io, 0, SEEK_SET) >= 0 &&
        av_probe_input_buffer2(&io, &format, path.c_str(), nullptr, 0, most_bytes) >= 0 && format)
        return format;
    throw_error<InputError>("{}: not a video or image: its content fits no known format", path);
}

}  // namespace

void silence_libav() {
    static std::once_flag once;
    std::call_once(once, [] { av_log_set_level(AV_LOG_QUIET); });
}

std::string format_whitelist() {
    std::string list;
    for (const std::string_view name : containers) list.append(list.empty() ? "" : ",").append(name);
    return list;
}

OpenedFile open_file(const std::string& path) {
    silence_libav();
    require_regular_file(path);
    OpenedFile file;
    file.io = open_bytes(path);
    file.format = recognise(path, *file.io);
    const std::string_view name = file.format->name;
    if (std::find(playlists.begin(), playlists.end(), name) != playlists.end())
        throw_error<InputError>("{}: a playlist ({}): it would open other files, list those instead", path,
                                name);
    for (const ImageFormat& image : images)
        if (name == image.format) file.image_codec = image.codec;
    if (file.image_codec == AV_CODEC_ID_NONE &&
        std::find(containers.begin(), containers.end(), name) == containers.end())
        throw_error<InputError>("{}: format {} is not on the list of those that may be opened", path, name);
    return file;
}

}  // namespace divs::video
