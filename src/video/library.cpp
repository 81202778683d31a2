#include "divs/video/library.hpp"

#include <fmt/format.h>

#include "av.hpp"

extern "C" {
#include <libavutil/hwcontext.h>
}

namespace divs::video {
namespace {

std::string dotted(unsigned version) {
    return fmt::format("{}.{}.{}", AV_VERSION_MAJOR(version), AV_VERSION_MINOR(version), AV_VERSION_MICRO(version));
}

}  // namespace

LibraryInfo library_info() {
    LibraryInfo info{av_version_info(), dotted(avcodec_version()), dotted(avformat_version()), avcodec_license(),
                     {}, {}, {}};
    // libav's own av1 is there always, but decodes on GPUs alone.
    for (const char* name :
         {"h264", "hevc", "libdav1d", "libaom-av1", "mpeg4", "mjpeg", "vp8", "vp9", "mpeg2video"})
        if (avcodec_find_decoder_by_name(name)) info.decoders.emplace_back(name);
    for (const char* name : {"libx264", "libx265", "mpeg4", "mjpeg"})
        if (avcodec_find_encoder_by_name(name)) info.encoders.emplace_back(name);
    for (auto type = av_hwdevice_iterate_types(AV_HWDEVICE_TYPE_NONE); type != AV_HWDEVICE_TYPE_NONE;
         type = av_hwdevice_iterate_types(type))
        info.hardware.emplace_back(av_hwdevice_get_type_name(type));
    return info;
}

std::vector<std::string> usable_hardware() {
    const int level = av_log_get_level();
    av_log_set_level(AV_LOG_QUIET);  // a device that is missing is no error here
    std::vector<std::string> usable;
    for (auto type = av_hwdevice_iterate_types(AV_HWDEVICE_TYPE_NONE); type != AV_HWDEVICE_TYPE_NONE;
         type = av_hwdevice_iterate_types(type)) {
        AVBufferRef* device = nullptr;
        if (av_hwdevice_ctx_create(&device, type, nullptr, nullptr, 0) == 0)
            usable.emplace_back(av_hwdevice_get_type_name(type));
        av_buffer_unref(&device);
    }
    av_log_set_level(level);
    return usable;
}

}  // namespace divs::video
