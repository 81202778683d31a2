// How the double of hardware decoding behaves.
#pragma once

#include <atomic>
#include <climits>
#include <memory>

extern "C" {
#include <libavutil/frame.h>
}

namespace divs::video::test {

struct HardwareDouble {
    bool refuses = false;       // the device cannot be opened
    bool has_codec = true;      // libavcodec can use it for the codec at hand
    int most_frames = INT_MAX;  // that it decodes; what comes later lies on the host
    std::shared_ptr<std::atomic<int>> frames = std::make_shared<std::atomic<int>>(0);  // so far
    double device_seconds = 0, processor_seconds = 0;  // that a frame takes longer
};
HardwareDouble& hardware_double();

// Brings a frame to the "device" in this format.
void move_to_device(AVFrame& frame, AVPixelFormat format);

}  // namespace divs::video::test
