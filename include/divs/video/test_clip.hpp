// A clip for machines without footage: a moving texture with noise.
#pragma once

#include <filesystem>

namespace divs::video {

struct TestClip {
    int width = 1280, height = 720, frames = 300;
    const char* codec = "h264";
};

// Renders and encodes it at 25 frames/s. The same options give the same bytes. As VideoEncoder throws.
void write_test_clip(const std::filesystem::path& file, const TestClip& clip = {});

}  // namespace divs::video
