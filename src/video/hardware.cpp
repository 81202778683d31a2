#include "hardware.hpp"

#include <algorithm>

extern "C" {
#include <libavutil/hwcontext.h>
}

// libavutil's header for CUDA wants CUDA's own for two names of pointers.
#define CUDA_VERSION 0
using CUcontext = struct CUctx_st*;
using CUstream = struct CUstream_st*;
extern "C" {
#include <libavutil/hwcontext_cuda.h>
}

namespace divs::video {
namespace {

// libavcodec asks again, without the device's format, where the device refuses the stream.
AVPixelFormat choose_format(AVCodecContext* decoder, const AVPixelFormat* offered) {
    for (const AVPixelFormat* format = offered; *format != AV_PIX_FMT_NONE; ++format)
        if (*format == AV_PIX_FMT_CUDA) return *format;
    return avcodec_default_get_format(decoder, offered);
}

AVBufferRef* cuda_context() {
    AVBufferRef* context = av_hwdevice_ctx_alloc(AV_HWDEVICE_TYPE_CUDA);
    if (!context) throw_error<Error>("libavutil cannot use the GPU: it was built without CUDA");
    return context;
}

}  // namespace

HardwareDevice::HardwareDevice(const DevicePictures& device) : context_(cuda_context()) {
    const auto& context = *reinterpret_cast<const AVHWDeviceContext*>(context_->data);
    auto& cuda = *static_cast<AVCUDADeviceContext*>(context.hwctx);
    cuda.cuda_ctx = static_cast<CUcontext>(device.context());
    cuda.stream = static_cast<CUstream>(device.queue());
    if (const int code = av_hwdevice_ctx_init(context_.get()); code < 0)
        throw_error<Error>("libavutil cannot use the GPU: {}", av_error_text(code));
}

// Decoders that only exist on a device (METHOD_INTERNAL) do not go on without it.
bool HardwareDevice::serves(const AVCodec& decoder) {
    const AVCodecHWConfig* config = nullptr;
    for (int i = 0; (config = avcodec_get_hw_config(&decoder, i)); ++i)
        if (config->device_type == AV_HWDEVICE_TYPE_CUDA &&
            (config->methods & AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX) &&
            !(config->methods & AV_CODEC_HW_CONFIG_METHOD_INTERNAL))
            return true;
    return false;
}

void HardwareDevice::attach(AVCodecContext& decoder, int held_back) const {
    constexpr int converting = 2;  // frames that wait for their conversion
    decoder.hw_device_ctx = av_made(av_buffer_ref(context_.get()));
    decoder.get_format = choose_format;
    decoder.thread_count = 1;  // the device decodes
    decoder.extra_hw_frames = converting + std::max(0, held_back);
}

bool convertible_on_device(const AVFrame& frame) noexcept {
    if (frame.format != AV_PIX_FMT_CUDA || !frame.hw_frames_ctx || frame.crop_left > 0 || frame.crop_top > 0)
        return false;
    return reinterpret_cast<const AVHWFramesContext*>(frame.hw_frames_ctx->data)->sw_format ==
           AV_PIX_FMT_NV12;
}

bool take_from_device(AVFrame& frame) {
    if (frame.format != AV_PIX_FMT_CUDA) return false;
    if (convertible_on_device(frame)) return true;
    const FrameHandle host = make_frame();
    av_check(av_hwframe_transfer_data(host.get(), &frame, 0), "libavutil", "a frame on its way from the GPU");
    av_check(av_frame_copy_props(host.get(), &frame), "libavutil", "a frame's properties");
    host->crop_left = frame.crop_left, host->crop_top = frame.crop_top;
    av_check(av_frame_apply_cropping(host.get(), AV_FRAME_CROP_UNALIGNED), "libavutil", "cropping a frame");
    av_frame_unref(&frame);
    av_frame_move_ref(&frame, host.get());
    return true;
}

}  // namespace divs::video
