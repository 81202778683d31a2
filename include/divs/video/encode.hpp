// From pictures to a video file or a still: colour conversion, encoder and muxer of libav.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "divs/video/index.hpp"

namespace divs::video {

// A picture as three planes of (height, width), 8 bit, without padding.
struct RgbPlanes {
    int width = 0, height = 0;
    std::span<const std::uint8_t> red, green, blue;
};

struct EncodeOptions {
    std::string codec = "h264";  // h264, hevc, mpeg4 or mjpeg
    int width = 0, height = 0;   // even
    double frame_rate = 25;      // nominal: the time of each frame is what counts
    int gop = 50;                // frames from one key frame to the next
    bool open_gop = false;       // key frames that earlier pictures in presentation order may refer across
    int bframes = 2;
    int quality = 26;  // constant quality: 0 best, 51 worst (crf); mapped to a quantiser for mpeg4 and mjpeg
};

// Writes one video stream, yuv420p (full range for mjpeg), to a file whose container follows from its
// extension (.mp4, .mkv). One encoder thread: the same frames give the same bytes. ConfigError for options
// that libav does not take, StorageError when the file cannot be written.
class VideoEncoder {
  public:
    VideoEncoder(const std::filesystem::path& file, const EncodeOptions& options);
    ~VideoEncoder();  // a file that was not closed is incomplete
    VideoEncoder(VideoEncoder&&) noexcept;

    // Time base of the file, in which write() gives pts.
    Rational time_base() const noexcept;
    // Adds a frame at `seconds` >= 0, later than the one before by at least a millisecond. Gives its pts in
    // the file.
    std::int64_t write(const RgbPlanes& picture, double seconds);
    // Writes what is still held back and the end of the file.
    void close();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// One picture as .png or .jpg (quality 1 best .. 31 worst, jpg only).
void write_image(const std::filesystem::path& file, const RgbPlanes& picture, int quality = 4);

}  // namespace divs::video
