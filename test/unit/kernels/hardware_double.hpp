// How the double of hardware decoding behaves.
#pragma once

#include <climits>

extern "C" {
#include <libavutil/frame.h>
}

namespace divs::video::test {

struct HardwareDouble {
    bool refuses = false;     // the device cannot be opened
    bool has_codec = true;    // libavcodec can use it for the codec at hand
    int most_frames = INT_MAX;  // that it decodes; what comes later lies on the host
    int frames = 0;           // so far
};
HardwareDouble& hardware_double();

// Brings a frame to the "device" in this format.
void move_to_device(AVFrame& frame, AVPixelFormat format);

}  // namespace divs::video::test
