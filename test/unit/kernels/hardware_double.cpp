// A double of video/hardware.hpp: decoders that are told to use the device decode on the processor, and their
// frames are then given out as a GPU's decoder gives them, NV12 in the "device's" memory (which is the
// host's).
#include "hardware_double.hpp"

#include <array>

#include "divs/core/clock.hpp"
#include "hardware.hpp"

extern "C" {
#include <libavutil/hwcontext.h>
#include <libswscale/swscale.h>
}

namespace divs::video {
namespace {

// Marks the frames of decoders that were told to use the device.
int mark_frames(AVCodecContext* decoder, AVFrame* frame, int flags) {
    const int code = avcodec_default_get_buffer2(decoder, frame, flags);
    frame->opaque = &test::hardware_double();
    return code;
}

// Not by av_hwframe_ctx_alloc(): a libavutil that was built without CUDA makes none.
BufferHandle frames_context(AVPixelFormat format) {
    BufferHandle frames(av_made(av_buffer_allocz(sizeof(AVHWFramesContext))));
    reinterpret_cast<AVHWFramesContext*>(frames->data)->sw_format = format;
    return frames;
}

}  // namespace

namespace test {

HardwareDouble& hardware_double() {
    static HardwareDouble values;
    return values;
}

void move_to_device(AVFrame& frame, AVPixelFormat format) {
    const FrameHandle moved = make_frame();
    moved->format = format, moved->width = frame.width, moved->height = frame.height;
    av_check(av_frame_get_buffer(moved.get(), 0), "double", "memory of the device");
    if (frame.format == format) {
        av_check(av_frame_copy(moved.get(), &frame), "double", "a copy");
    } else {
        SwsContext* scaler =
            sws_getContext(frame.width, frame.height, static_cast<AVPixelFormat>(frame.format), frame.width,
                           frame.height, format, SWS_BILINEAR, nullptr, nullptr, nullptr);
        sws_scale(scaler, frame.data, frame.linesize, 0, frame.height, moved->data, moved->linesize);
        sws_freeContext(scaler);
    }
    av_check(av_frame_copy_props(moved.get(), &frame), "double", "properties");
    moved->format = AV_PIX_FMT_CUDA;
    moved->hw_frames_ctx = frames_context(format).release();
    av_frame_unref(&frame);
    av_frame_move_ref(&frame, moved.get());
}

}  // namespace test

HardwareDevice::HardwareDevice(const DevicePictures& device) {
    if (!device.context()) throw Error("no context");
    if (test::hardware_double().refuses) throw Error("libavutil cannot use the GPU: no");
}

bool HardwareDevice::serves(const AVCodec&) {
    return test::hardware_double().has_codec;
}

void HardwareDevice::attach(AVCodecContext& decoder, int) const {
    decoder.get_buffer2 = mark_frames;
}

bool convertible_on_device(const AVFrame& frame) noexcept {
    return frame.format == AV_PIX_FMT_CUDA;
}

bool take_from_device(AVFrame& frame) {
    test::HardwareDouble& device = test::hardware_double();
    const bool served = frame.opaque == &device && (*device.frames)++ < device.most_frames;
    sleep_seconds(served ? device.device_seconds : device.processor_seconds);
    if (served) test::move_to_device(frame, AV_PIX_FMT_NV12);
    return served;
}

}  // namespace divs::video
