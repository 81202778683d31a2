#pragma once

#include <string>

#include "av.hpp"
#include "divs/video/decode.hpp"

namespace divs::video {

// libavcodec's decoder for a stream, opened. InputError, naming the file, where there is none or it refuses.
// held_back: frames it must hold back to give them in order, where that is known (-1: its own estimate).
CodecHandle open_decoder(const AVCodecParameters& codec, const DecodeOptions& options,
                         const std::string& path, int held_back = -1);

}  // namespace divs::video
