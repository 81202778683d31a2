// What may be opened, and what a file is.
#pragma once

#include <string>

#include "av.hpp"

namespace divs::video {

struct OpenedFile {
    IoHandle io;
    const AVInputFormat* format = nullptr;     // never null
    AVCodecID image_codec = AV_CODEC_ID_NONE;  // set where the file is one still image
};

// Opens a local regular file through libav's "file" protocol and recognises its format by content, by name
// only where the content says nothing. InputError, naming the file, for everything else: missing, a
// directory, a device, empty, a playlist, a format that is not on the list.
OpenedFile open_file(const std::string& path);

// The formats that avformat may use, as its option "format_whitelist" takes them.
std::string format_whitelist();

}  // namespace divs::video
