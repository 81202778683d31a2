// What can be said of decoding on a device without one.
#include "divs/core/error.hpp"
#include "hardware.hpp"
#include "support/catch.hpp"

extern "C" {
#include <libavutil/hwcontext.h>
}

using namespace divs;
using namespace divs::video;

namespace {

struct NoDevice final : DevicePictures {
    void* context() const override { return nullptr; }
    void* queue() const noexcept override { return nullptr; }
    std::unique_ptr<PictureConverter> make_converter() override { return nullptr; }
};

FrameHandle frame_of(AVPixelFormat on_device) {
    FrameHandle frame = make_frame();
    frame->format = AV_PIX_FMT_CUDA;
    // Not by av_hwframe_ctx_alloc(): a libavutil that was built without CUDA makes none.
    frame->hw_frames_ctx = av_made(av_buffer_allocz(sizeof(AVHWFramesContext)));
    reinterpret_cast<AVHWFramesContext*>(frame->hw_frames_ctx->data)->sw_format = on_device;
    return frame;
}

}  // namespace

TEST_CASE("decoders are used on a device only where they go on without it") {
    const AVCodec* codec = nullptr;
    void* position = nullptr;
    int serving = 0;
    while ((codec = av_codec_iterate(&position))) {
        if (!av_codec_is_decoder(codec) || !HardwareDevice::serves(*codec)) continue;
        ++serving;
        CHECK_FALSE(std::string_view(codec->name).ends_with("_cuvid"));
    }
    INFO(serving << " decoders can use a CUDA device in this build");
    if (const AVCodec* h264 = avcodec_find_decoder(AV_CODEC_ID_H264); h264 && serving > 0)
        CHECK(HardwareDevice::serves(*h264));
    if (const AVCodec* dav1d = avcodec_find_decoder_by_name("libdav1d"))
        CHECK_FALSE(HardwareDevice::serves(*dav1d));
}

TEST_CASE("frames of a device are converted there in one format, and where nothing is cut off before them") {
    CHECK(convertible_on_device(*frame_of(AV_PIX_FMT_NV12)));
    CHECK_FALSE(convertible_on_device(*frame_of(AV_PIX_FMT_P010)));
    const FrameHandle cropped = frame_of(AV_PIX_FMT_NV12);
    cropped->crop_top = 8;
    CHECK_FALSE(convertible_on_device(*cropped));
    const FrameHandle host = make_frame();
    host->format = AV_PIX_FMT_NV12;
    CHECK_FALSE(convertible_on_device(*host));
    CHECK_FALSE(take_from_device(*host));
    CHECK(host->format == AV_PIX_FMT_NV12);
}

TEST_CASE("a device that libav cannot use is an error with its reason") {
    if (BufferHandle probe; true) {
        AVBufferRef* made = nullptr;
        if (av_hwdevice_ctx_create(&made, AV_HWDEVICE_TYPE_CUDA, nullptr, nullptr, 0) >= 0) {
            probe.reset(made);
            WARN("this machine has a GPU that decodes: not tried");
            return;
        }
    }
    CHECK_THROWS_AS(HardwareDevice(NoDevice()), Error);
}
