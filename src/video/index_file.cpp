// Indexes as bytes: for other ranks, and with a header and a checksum as the file beside the data set.
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "divs/core/error.hpp"
#include "divs/core/log.hpp"
#include "divs/io/atomic_file.hpp"
#include "divs/io/bytes.hpp"
#include "divs/video/dataset.hpp"

namespace divs::video {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view magic = "DIVS index\n";
constexpr std::uint64_t version = 3;

// Differences wrap, so that any two times can stand side by side; small ones take one byte.
std::uint64_t zigzag(std::uint64_t difference) noexcept {
    return (difference << 1) ^ (0 - (difference >> 63));
}
std::uint64_t unzigzag(std::uint64_t coded) noexcept {
    return (coded >> 1) ^ (0 - (coded & 1));
}

// One column of packets, each coded as its difference from the one before.
template <class T>
class Difference {
  public:
    void write(io::ByteWriter& out, T value) {
        out.number(zigzag(static_cast<std::uint64_t>(value) - last_));
        last_ = static_cast<std::uint64_t>(value);
    }
    T read(io::ByteReader& in) {
        last_ += unzigzag(in.number());
        return static_cast<T>(last_);
    }

  private:
    std::uint64_t last_ = 0;
};

struct PacketColumns {
    Difference<std::int64_t> pts, dts, duration, position;
    Difference<std::int32_t> size;

    void write(io::ByteWriter& out, const PacketInfo& p) {
        pts.write(out, p.pts);
        dts.write(out, p.dts);
        duration.write(out, p.duration);
        position.write(out, p.position);
        size.write(out, p.size);
        out.number((p.key ? 1U : 0U) | (p.safe_cut ? 2U : 0U) | (p.recovery ? 4U : 0U) |
                   (p.damaged ? 8U : 0U) | (p.shown ? 16U : 0U));
    }
    PacketInfo read(io::ByteReader& in) {
        PacketInfo p;
        p.pts = pts.read(in);
        p.dts = dts.read(in);
        p.duration = duration.read(in);
        p.position = position.read(in);
        p.size = size.read(in);
        const std::uint64_t flags = in.number();
        p.key = flags & 1, p.safe_cut = flags & 2, p.recovery = flags & 4, p.damaged = flags & 8,
        p.shown = flags & 16;
        return p;
    }
};

void write_rational(io::ByteWriter& out, Rational value) {
    out.number(zigzag(static_cast<std::uint64_t>(value.num)));
    out.number(zigzag(static_cast<std::uint64_t>(value.den)));
}
Rational read_rational(io::ByteReader& in) {
    const auto num = static_cast<int>(unzigzag(in.number()));
    return {num, static_cast<int>(unzigzag(in.number()))};
}

void write_limits(io::ByteWriter& out, const OpenLimits& limits) {
    out.number(static_cast<std::uint64_t>(limits.max_streams));
    out.number(static_cast<std::uint64_t>(limits.max_pixels));
    out.fixed(std::bit_cast<std::uint64_t>(limits.max_seconds));
    out.number(static_cast<std::uint64_t>(limits.max_packets));
}
OpenLimits read_limits(io::ByteReader& in) {
    OpenLimits limits;
    limits.max_streams = static_cast<int>(in.number());
    limits.max_pixels = static_cast<std::int64_t>(in.number());
    limits.max_seconds = std::bit_cast<double>(in.fixed());
    limits.max_packets = static_cast<std::int64_t>(in.number());
    return limits;
}

void write_video(io::ByteWriter& out, const VideoIndex& video) {
    out.text(video.path);
    out.number(video.file_bytes);
    out.fixed(static_cast<std::uint64_t>(video.modified_ns));
    out.fixed(video.fingerprint);
    write_limits(out, video.limits);
    for (const std::string* text : {&video.container, &video.codec, &video.pixel_format, &video.quarantine})
        out.text(*text);
    for (const int number : {video.stream, video.width, video.height})
        out.number(static_cast<std::uint32_t>(number));
    write_rational(out, video.time_base);
    write_rational(out, video.frame_rate);
    out.number((video.image ? 1U : 0U) | (video.numbered ? 2U : 0U));
    out.raw(video.decoder_setup);
    out.number(video.packets.size());
    PacketColumns columns;
    for (const PacketInfo& packet : video.packets) columns.write(out, packet);
}

VideoIndex read_video(io::ByteReader& in) {
    VideoIndex video;
    video.path = in.text();
    video.file_bytes = in.number();
    video.modified_ns = static_cast<std::int64_t>(in.fixed());
    video.fingerprint = in.fixed();
    video.limits = read_limits(in);
    for (std::string* text : {&video.container, &video.codec, &video.pixel_format, &video.quarantine})
        *text = in.text();
    for (int* number : {&video.stream, &video.width, &video.height}) *number = static_cast<int>(in.number());
    video.time_base = read_rational(in);
    video.frame_rate = read_rational(in);
    const std::uint64_t flags = in.number();
    video.image = flags & 1;
    video.numbered = flags & 2;
    const auto setup = in.raw();
    video.decoder_setup.assign(setup.begin(), setup.end());
    const std::size_t packets = in.count(6);  // six numbers of a byte or more
    video.packets.reserve(packets);
    PacketColumns columns;
    for (std::size_t i = 0; i < packets; ++i) video.packets.push_back(columns.read(in));
    return video;
}

std::uint64_t checksum(std::span<const std::byte> bytes) {
    io::Hash64 hash;
    hash.add(bytes);
    return hash.value();
}

std::vector<std::byte> read_bytes(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

std::vector<VideoIndex> read_file(const fs::path& path) {
    const std::vector<std::byte> bytes = read_bytes(path);
    io::ByteReader in(bytes, path.string());
    if (in.left() < magic.size() + 1 || in.text() != magic) in.fail("not an index of DIVS");
    if (const std::uint64_t found = in.number(); found != version)
        in.fail(fmt::format("format version {}, this program reads {}", found, version));
    const std::uint64_t sum = in.fixed();
    const auto body = in.raw();
    in.finish();
    if (checksum(body) != sum) in.fail("the checksum does not agree");
    return unpack_indexes(body);
}

// The user's cache folder; one of their own among the temporary files where there is none.
fs::path cache_folder() {
    if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache == '/')
        return fs::path(cache) / "divs";
    if (const char* home = std::getenv("HOME"); home && *home == '/')
        return fs::path(home) / ".cache" / "divs";
    return fs::temp_directory_path() / fmt::format("divs-{}", getuid());
}

}  // namespace

std::vector<std::byte> pack_indexes(const std::vector<VideoIndex>& files) {
    io::ByteWriter out;
    out.number(files.size());
    for (const VideoIndex& video : files) write_video(out, video);
    return out.take();
}

std::vector<VideoIndex> unpack_indexes(std::span<const std::byte> bytes) {
    io::ByteReader in(bytes, "index");
    std::vector<VideoIndex> files(in.count(16));
    for (VideoIndex& video : files) video = read_video(in);
    in.finish();
    return files;
}

void save_index(const fs::path& path, const std::vector<VideoIndex>& files) {
    const std::vector<std::byte> body = pack_indexes(files);
    io::ByteWriter head;
    head.text(magic);
    head.number(version);
    head.fixed(checksum(body));
    head.number(body.size());
    const std::vector<std::byte> header = head.take();
    const std::span<const std::byte> pieces[] = {header, body};
    if (path.has_parent_path()) io::make_folder(path.parent_path());
    io::write_atomically(path, pieces);
}

std::map<std::string, VideoIndex> read_index(const fs::path& path) {
    std::map<std::string, VideoIndex> entries;
    std::error_code failed;
    if (!fs::exists(path, failed)) return entries;
    try {
        if (!fs::is_regular_file(path, failed)) throw_error<InputError>("{}: is not a file", path.string());
        for (VideoIndex& video : read_file(path)) {
            std::string key = video.path;
            entries.insert_or_assign(std::move(key), std::move(video));
        }
    } catch (const InputError& e) {
        log::warn("the saved index is not used and all files are indexed again: {}", e.what());
        entries.clear();
    }
    return entries;
}

void require_index_place(const fs::path& path) {
    std::error_code failed;
    if (!fs::exists(path, failed) || fs::is_empty(path, failed)) return;
    std::string start(magic.size() + 1, '\0');  // behind the length of the text
    std::ifstream in(path, std::ios::binary);
    in.read(start.data(), static_cast<std::streamsize>(start.size()));
    if (!fs::is_regular_file(path, failed) || start.substr(1) != magic)
        throw_error<StorageError>(
            "{}: is no index of DIVS and is not written over, expected another place for the index",
            path.string());
}

fs::path default_index_path(const Dataset& dataset) {
    const fs::path beside = dataset.root / ".divs-index";
    if (access(dataset.root.c_str(), W_OK) == 0) return beside;
    io::Hash64 hash;
    hash.add(std::string_view(dataset.root.native()));
    return cache_folder() /
           fmt::format("{}-{:016x}.divs-index", dataset.root.filename().string(), hash.value());
}

}  // namespace divs::video
