// A file opened for the packets of its video stream.
#pragma once

#include <optional>
#include <string>

#include "av.hpp"

namespace divs::video {

// Opens local regular files only, of a fixed list of formats recognised by content; files that a file points
// to (playlists, external tracks) are never opened. A still image is one packet that holds the whole file.
// Every error is an InputError that names the file.
class Demuxer {
  public:
    // known_stream: the number of the video stream, where an index has it; then the file's first packets are
    // not looked at and codec() may be incomplete.
    Demuxer(const std::string& path, const OpenLimits& limits, std::optional<int> known_stream = {});

    // The next packet of the video stream in decode order; false at the end or where nothing more can be
    // read.
    bool read(AVPacket& packet);

    // Goes to the last entry point at or before a dts (pts where the container has no dts), or to a byte.
    // False where the format cannot; what is read next has to be compared with the index.
    bool seek_time(std::int64_t time);
    bool seek_byte(std::int64_t position);

    const AVCodecParameters& codec() const noexcept { return *codec_; }
    Rational time_base() const noexcept { return time_base_; }
    Rational frame_rate() const noexcept { return frame_rate_; }
    const std::string& container() const noexcept { return container_; }
    int stream() const noexcept { return stream_; }
    bool image() const noexcept { return image_; }
    // Whether the header declares encryption; samples can be clear all the same.
    bool encrypted() const noexcept { return encrypted_; }
    // Why read() ended before the end of the file; empty where it did not.
    const std::string& stopped() const noexcept { return stopped_; }

  private:
    void open_container(const AVInputFormat& format, const OpenLimits& limits,
                        std::optional<int> known_stream);
    void open_image(AVCodecID codec);
    int largest_video_stream() const;
    void use_stream(int number, const OpenLimits& limits);
    bool is_video(int number) const;
    std::int64_t pixels_of(int number) const;
    void find_parameters(const OpenLimits& limits);
    void discard_other_streams();
    bool read_image(AVPacket& packet);

    std::string path_;
    IoHandle io_;
    FormatHandle format_;  // after io_: closed before it
    ParametersHandle codec_;
    Rational time_base_{1, 25}, frame_rate_{0, 1};
    std::string container_, stopped_;
    int stream_ = 0;
    unsigned known_streams_ = 0;
    bool image_ = false, image_read_ = false, encrypted_ = false;
};

}  // namespace divs::video
