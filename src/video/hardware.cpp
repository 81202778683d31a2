#include "hardware.hpp"

#include <string>

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

bool uses_device(const AVCodec& codec) {
    const AVCodecHWConfig* config = nullptr;
    for (int i = 0; (config = avcodec_get_hw_config(&codec, i)); ++i)
        if (config->device_type == AV_HWDEVICE_TYPE_CUDA &&
            (config->methods & AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX))
            return true;
    return false;
}

// libavcodec asks again, without the device's format, where the device refuses the stream.
AVPixelFormat choose_format(AVCodecContext* decoder, const AVPixelFormat* offered) {
    for (const AVPixelFormat* format = offered; *format != AV_PIX_FMT_NONE; ++format)
        if (*format == AV_PIX_FMT_CUDA) return *format;
    return avcodec_default_get_format(decoder, offered);
}

}  // namespace

HardwareDevice::HardwareDevice(const DevicePictures& device) {
    const DictionaryHandle options([] {
        AVDictionary* made = nullptr;
        av_dict_set(&made, "primary_ctx", "1", 0);  // the context in which the rest of the program computes
        return made;
    }());
    AVBufferRef* made = nullptr;
    av_check(av_hwdevice_ctx_create(&made, AV_HWDEVICE_TYPE_CUDA, std::to_string(device.ordinal()).c_str(),
                                    options.get(), 0),
             "libavutil", "the GPU cannot be opened for decoding");
    context_.reset(made);
    auto& context = *reinterpret_cast<AVHWDeviceContext*>(context_->data);
    static_cast<AVCUDADeviceContext*>(context.hwctx)->stream = static_cast<CUstream>(device.queue());
}

const AVCodec* HardwareDevice::find_decoder(AVCodecID id) {
    void* position = nullptr;
    while (const AVCodec* codec = av_codec_iterate(&position))
        if (codec->id == id && av_codec_is_decoder(codec) && uses_device(*codec)) return codec;
    return nullptr;
}

void HardwareDevice::attach(AVCodecContext& decoder) const {
    decoder.hw_device_ctx = av_made(av_buffer_ref(context_.get()));
    decoder.get_format = choose_format;
    decoder.thread_count = 1;      // the device decodes
    decoder.extra_hw_frames = 2;  // that wait for their conversion
}

bool convertible_on_device(const AVFrame& frame) noexcept {
    if (frame.format != AV_PIX_FMT_CUDA || !frame.hw_frames_ctx) return false;
    return reinterpret_cast<const AVHWFramesContext*>(frame.hw_frames_ctx->data)->sw_format ==
           AV_PIX_FMT_NV12;
}

void fetch_unless_convertible(AVFrame& frame) {
    if (frame.format != AV_PIX_FMT_CUDA || convertible_on_device(frame)) return;
    const FrameHandle host = make_frame();
    av_check(av_hwframe_transfer_data(host.get(), &frame, 0), "libavutil", "a frame on its way from the GPU");
    av_check(av_frame_copy_props(host.get(), &frame), "libavutil", "a frame's properties");
    av_frame_unref(&frame);
    av_frame_move_ref(&frame, host.get());
}

}  // namespace divs::video
