#pragma once

#include <string>

#include "divs/video/index.hpp"

namespace divs::video {

struct OnePicture {
    int width = 0, height = 0;
    std::string pixel_format;
};

// Size and format by decoding: of an image as little as its decoder allows, of a video its first picture.
// InputError where no picture comes out.
OnePicture look_at_one_picture(const std::string& path, bool image, const OpenLimits& limits);

}  // namespace divs::video
