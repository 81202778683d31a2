// The index of a video: every packet of its video stream from one packet-only pass, and where decoding may start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace divs::video {

struct Rational {
    int num = 0, den = 1;
    double value() const noexcept { return den ? static_cast<double>(num) / den : 0; }
};

// Caps on what an untrusted file may ask for.
struct OpenLimits {
    int max_streams = 64;
    std::int64_t max_pixels = std::int64_t{8192} * 8192;
    double max_seconds = 7 * 24 * 3600.0;
    std::int64_t max_packets = 200'000'000;
    bool operator==(const OpenLimits&) const = default;
};

struct PacketInfo {
    std::int64_t pts = 0, dts = 0;  // in the stream's time base; INT64_MIN where the container has none
    std::int64_t duration = 0;
    std::int64_t position = -1;  // byte offset in the file, -1 where unknown
    std::int32_t size = 0;
    bool key = false;      // the container's key flag
    bool safe_cut = false; // decoding may start here and needs nothing earlier
    bool recovery = false; // decoding may start here, at the price of frames that are repeated (allow_preroll)
    bool damaged = false;  // flagged corrupt, empty or impossible to parse: never given to a decoder
    bool shown = true;     // false where decoding it gives no frame of its own: an invisible VP8 frame, a second field,
                           // what an edit list cuts away, leading pictures of the first key frame

    // True where the index promises a frame at this pts.
    bool gives_frame() const noexcept { return shown && !damaged; }
};

struct VideoIndex {
    std::string path;         // as given
    std::uint64_t file_bytes = 0;
    std::int64_t modified_ns = 0;
    std::uint64_t fingerprint = 0;  // of size and sampled content; changes when the file does
    OpenLimits limits;              // it was made with: they decide what is quarantined
    std::string container, codec, pixel_format;
    int stream = 0;           // index of the video stream in its container
    int width = 0, height = 0;
    Rational time_base{1, 1}, frame_rate{0, 1};
    bool image = false;       // a one-frame video
    // The container's presentation times are missing, repeated or go back: the pts above were made from its dts or by
    // counting, rise strictly in decode order, and decoders give them to the frames in the order they come out.
    bool numbered = false;
    std::vector<std::byte> decoder_setup;  // what a decoder must know of the stream, packed (pack_codec)
    std::vector<PacketInfo> packets;       // in decode order
    std::string quarantine;   // why the file cannot be used; empty when it can

    std::int64_t first_pts() const noexcept;  // smallest pts; 0 without packets
    double seconds(std::int64_t pts) const noexcept { return static_cast<double>(pts - first_pts()) * time_base.value(); }
};

// Never throws for a bad file: the reason stands in `quarantine`. Damaged packets are marked and kept out of counts.
// Opens local regular files only, of a fixed list of formats, and nothing that a file points to.
VideoIndex index_video(const std::filesystem::path& file, const OpenLimits& limits = {});

// True where indexing the file with these limits would give the same: it has not changed since (size, time
// and fingerprint).
bool is_current(const VideoIndex& index, const OpenLimits& limits = {});

}  // namespace divs::video
