// What Converter does, for frames that lie in a device's memory, by the device.
#pragma once

#include "banks.hpp"
#include "divs/core/device_pictures.hpp"

namespace divs::video {

class DeviceConverter {
  public:
    DeviceConverter(DevicePictures& device, int width, int height)
        : converter_(device.make_converter()),
          banks_(width, height, plain_pixel_kernels()),
          width_(width),
          height_(height) {}

    // To the (height, width, 3) bytes of `to` from `offset` on. The frame must be convertible_on_device().
    void convert(const AVFrame& frame, const View& view, Pixels& to, std::size_t offset);

  private:
    std::unique_ptr<PictureConverter> converter_;
    Banks banks_;
    int width_, height_;
};

}  // namespace divs::video
