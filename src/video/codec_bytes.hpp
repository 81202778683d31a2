// What a decoder must know of a stream, as bytes: in a saved index and in packed shards.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "av.hpp"

namespace divs::video {

// The codec goes by its name, which all versions of libavcodec share.
std::vector<std::byte> pack_codec(const AVCodecParameters& codec);

// InputError naming `what` where the bytes are damaged or this libavcodec does not know the codec.
ParametersHandle unpack_codec(std::span<const std::byte> bytes, const std::string& what);

}  // namespace divs::video
