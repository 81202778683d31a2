// Decoding by a GPU through libavcodec: frames stay in the device's memory.
#pragma once

#include "av.hpp"
#include "divs/core/device_pictures.hpp"
#include "divs/video/decode.hpp"

namespace divs::video {

struct AvBufferRelease {
    void operator()(AVBufferRef* buffer) const noexcept { av_buffer_unref(&buffer); }
};
using BufferHandle = std::unique_ptr<AVBufferRef, AvBufferRelease>;

// libav's handle of a device; decoders of several threads share it.
class HardwareDevice {
  public:
    // InputError with libav's reason where this build, or the driver, cannot decode there.
    explicit HardwareDevice(const DevicePictures& device);

    // The decoder for a codec that can use the device, or nullptr where libavcodec has none.
    static const AVCodec* find_decoder(AVCodecID codec);
    // Has it decode on the device. Streams that the device cannot decode come out in the host's memory.
    void attach(AVCodecContext& decoder) const;

  private:
    BufferHandle context_;
};

// Whether the frame lies on a device in the one format that is converted there, NV12.
bool convertible_on_device(const AVFrame& frame) noexcept;
// Brings a frame that lies on a device in another format to the host; leaves others as they are.
void fetch_unless_convertible(AVFrame& frame);

}  // namespace divs::video
