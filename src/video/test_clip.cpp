#include "divs/video/test_clip.hpp"

#include <vector>

#include "divs/video/encode.hpp"

namespace divs::video {

void write_test_clip(const std::filesystem::path& file, const TestClip& clip) {
    VideoEncoder encoder(file, {.codec = clip.codec, .width = clip.width, .height = clip.height});
    const auto width = static_cast<std::size_t>(clip.width);
    std::vector<std::uint8_t> plane(width * static_cast<std::size_t>(clip.height));
    for (int i = 0; i < clip.frames; ++i) {
        for (int y = 0; y < clip.height; ++y)
            for (int x = 0; x < clip.width; ++x) {
                const int texture = ((x + 3 * i) / 16 * 37 + y / 16 * 91) & 0x7F;
                plane[static_cast<std::size_t>(y) * width + static_cast<std::size_t>(x)] =
                    static_cast<std::uint8_t>(64 + texture + ((x * 7 + y * 13 + i * 29) & 3));
            }
        encoder.write({clip.width, clip.height, plane, plane, plane}, i / 25.0);
    }
    encoder.close();
}

}  // namespace divs::video
