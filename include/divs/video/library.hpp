// The libav libraries behind the video room, as they are at run time.
#pragma once

#include <string>
#include <vector>

namespace divs::video {

struct LibraryInfo {
    std::string version;                // of FFmpeg: "5.1.9-0+deb12u1"
    std::string avcodec, avformat;      // "59.37.100"
    std::string licence;                // of this build: "GPL version 2 or later"
    std::vector<std::string> decoders;  // on the CPU, of the codecs that surveillance uses
    std::vector<std::string> encoders;  // that divs synth can use
    std::vector<std::string> hardware;  // kinds of hardware decoding that were built in; a device may be missing
};
LibraryInfo library_info();

// Of the kinds of hardware decoding that were built in, those whose device opens here.
std::vector<std::string> usable_hardware();

}  // namespace divs::video
