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
    // Error with the reason where this build of libav, or the driver, cannot decode there.
    explicit HardwareDevice(const DevicePictures& device);

    // Whether it can decode on the device and goes on by itself where the device refuses a stream: then
    // frames come out in the host's memory.
    static bool serves(const AVCodec& decoder);
    // Has the decoder use the device. held_back: frames that it keeps to give them in order.
    void attach(AVCodecContext& decoder, int held_back) const;

  private:
    BufferHandle context_;
};

// Whether the frame lies on a device, as it can be converted there: NV12, and nothing cut off at the left or
// top.
bool convertible_on_device(const AVFrame& frame) noexcept;
// Brings a frame that lies on a device otherwise to the host. True where a device decoded the frame.
bool take_from_device(AVFrame& frame);

}  // namespace divs::video
