// What the index says of files that are known, and that bad files end in a reason.
#include <cstring>
#include <fstream>
#include <random>

#include "divs/core/error.hpp"
#include "support/catch.hpp"
#include "unit/video/encode.hpp"
#include "unit/video/frames.hpp"

namespace divs::video::test {
namespace {

using Catch::Matchers::ContainsSubstring;

std::vector<char> read_bytes(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::filesystem::path& file, const std::vector<char>& bytes) {
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void write_text(const std::filesystem::path& file, const std::string& text) {
    write_bytes(file, {text.begin(), text.end()});
}

std::vector<std::int64_t> times_of(const VideoIndex& index) {
    std::vector<std::int64_t> times;
    for (const PacketInfo& packet : index.packets)
        if (packet.gives_frame()) times.push_back(packet.pts);
    std::sort(times.begin(), times.end());
    return times;
}

// Decodes all there is; whatever the file is, this ends and throws nothing but InputError.
std::size_t decode_all(const VideoIndex& index) {
    std::size_t frames = 0;
    for (const Shard& shard : plan_shards(index, 0, 0, {.target_seconds = 0.5})) try {
            frames += decode(index, shard, 2).frames.size();
        } catch (const InputError&) {
        }
    return frames;
}

}  // namespace

TEST_CASE("the index holds the stream's description and every presentation time") {
    const Scratch folder;
    Recipe recipe{.options = {{"preset", "veryfast"}}, .time_base = {1, 1000}};
    std::mt19937 random(5);
    for (std::int64_t now = 0; recipe.pts.size() < 60; now += 10 + static_cast<std::int64_t>(random() % 90))
        recipe.pts.push_back(now);
    const auto file = encode(folder, recipe);
    const VideoIndex index = index_video(file);
    REQUIRE(index.quarantine == "");
    CHECK(index.path == file.string());
    CHECK(index.codec == "h264");
    CHECK(index.pixel_format == "yuv420p");
    CHECK(index.width == 64);
    CHECK(index.height == 48);
    CHECK(index.file_bytes == std::filesystem::file_size(file));
    CHECK_FALSE(index.numbered);
    CHECK_FALSE(index.image);
    const auto times = times_of(index);
    REQUIRE(times.size() == recipe.pts.size());
    for (std::size_t i = 0; i < times.size(); ++i)
        CHECK(index.seconds(times[i]) == Approx(static_cast<double>(recipe.pts[i]) / 1000).margin(1e-9));
    const double span = index.seconds(times.back());
    CHECK(index.frame_rate.value() == Approx(59 / span).epsilon(0.05));
    CHECK(is_current(index));
}

TEST_CASE("packets of frames that are never shown are not promised") {
    const Scratch folder;
    const auto file = encode(folder, {.encoder = "libvpx",
                                      .extension = ".ivf",
                                      .frames = 40,
                                      .gop = 10,
                                      .options = {{"deadline", "realtime"}, {"cpu-used", "8"}}});
    // Every fifth frame from the third on becomes an alternate reference: the show_frame bit (RFC 6386 9.1)
    // is cleared.
    std::vector<char> bytes = read_bytes(file);
    constexpr std::size_t file_header = 32, frame_header = 12;
    int number = 0, hidden = 0;
    for (std::size_t at = file_header; at < bytes.size(); ++number) {
        std::uint32_t size = 0;
        std::memcpy(&size, &bytes[at], sizeof size);
        at += frame_header;
        if (number % 5 == 2) {
            bytes[at] = static_cast<char>(bytes[at] & ~0x10);
            ++hidden;
        }
        at += size;
    }
    write_bytes(file, bytes);
    const VideoIndex index = index_video(file);
    REQUIRE(index.quarantine == "");
    CHECK(index.packets.size() == 40);
    CHECK(hidden == 8);
    CHECK(times_of(index).size() == 32);
    std::vector<Shown> frames;
    for (const Shard& shard : plan_shards(index, 0, 0, {.target_seconds = 0})) {
        const auto part = decode(index, shard).frames;
        CHECK(part.size() == shard.frames);
        frames.insert(frames.end(), part.begin(), part.end());
    }
    CHECK(frames == decode_linearly(file));
}

TEST_CASE("images are videos of one frame, whatever their name") {
    const Scratch folder;
    for (const char* encoder : {"mjpeg", "png", "bmp"}) {
        const auto format = std::string(encoder) == "mjpeg" ? AV_PIX_FMT_YUVJ420P
                            : std::string(encoder) == "png" ? AV_PIX_FMT_GRAY8
                                                            : AV_PIX_FMT_GRAY8;
        const auto file = encode(folder, {.encoder = encoder,
                                          .extension = ".txt",
                                          .frames = 1,
                                          .bframes = 0,
                                          .format = format,
                                          .muxer = "image2pipe"});
        const VideoIndex index = index_video(file);
        INFO(encoder);
        REQUIRE(index.quarantine == "");
        CHECK(index.image);
        CHECK(index.width == 64);
        CHECK(index.height == 48);
        const auto shards = plan_shards(index, 0, 0, {});
        REQUIRE(shards.size() == 1);
        CHECK(decode(index, shards[0]).frames == decode_packed(index, shards[0]).frames);
        CHECK(decode(index, shards[0]).frames.size() == 1);
    }
}

TEST_CASE("a percent sign in an image's name is a character, not a sequence") {
    const Scratch folder;
    encode(folder,
           {.encoder = "mjpeg",
            .extension = ".jpg",
            .frames = 1,
            .bframes = 0,
            .format = AV_PIX_FMT_YUVJ420P,
            .muxer = "image2pipe"},
           "a%02d");
    CHECK(index_video(folder / "a%02d.jpg").quarantine == "");
    CHECK_THAT(index_video(folder / "a%03d.jpg").quarantine, ContainsSubstring("no such file"));
}

TEST_CASE("what cannot be used is quarantined with its reason") {
    const Scratch folder;
    CHECK_THAT(index_video(folder / "none.mp4").quarantine, ContainsSubstring("no such file"));
    CHECK_THAT(index_video(folder.path()).quarantine, ContainsSubstring("directory"));
    write_text(folder / "empty.mp4", "");
    CHECK_THAT(index_video(folder / "empty.mp4").quarantine, ContainsSubstring("empty"));
    write_text(folder / "text.mp4", "no video, only words, again and again.\n");
    CHECK_FALSE(index_video(folder / "text.mp4").quarantine.empty());
    write_text(
        folder / "list.m3u8",
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/passwd\n#EXT-X-ENDLIST\n");
    CHECK_THAT(index_video(folder / "list.m3u8").quarantine, ContainsSubstring("playlist"));
    std::filesystem::rename(folder / "list.m3u8", folder / "list.mp4");
    CHECK_FALSE(index_video(folder / "list.mp4").quarantine.empty());
    write_text(folder / "list.txt", "ffconcat version 1.0\nfile '/etc/passwd'\n");
    CHECK_THAT(index_video(folder / "list.txt").quarantine, ContainsSubstring("playlist"));
    CHECK_FALSE(index_video("concat:/etc/passwd").quarantine.empty());
    CHECK_FALSE(index_video("http://127.0.0.1:1/x.mp4").quarantine.empty());
    if (std::filesystem::exists("/dev/zero"))
        CHECK_THAT(index_video("/dev/zero").quarantine, ContainsSubstring("device"));

    const auto video = encode(folder, {.options = {{"preset", "veryfast"}}});
    CHECK_THAT(index_video(video, {.max_pixels = 1000}).quarantine, ContainsSubstring("1000"));
    CHECK_THAT(index_video(video, {.max_seconds = 1}).quarantine, ContainsSubstring("limit is 1 s"));
    CHECK_THAT(index_video(video, {.max_packets = 10}).quarantine, ContainsSubstring("more than 10 packets"));
    const VideoIndex bad = index_video(video, {.max_packets = 10});
    CHECK(bad.packets.empty());
    CHECK_THROWS_AS(decode(bad, {.end_packet = 1}), InputError);
}

TEST_CASE("a limit on pixels also holds for what only decoding reveals") {
    const Scratch folder;
    const auto image = encode(folder, {.encoder = "png",
                                       .extension = ".png",
                                       .frames = 1,
                                       .bframes = 0,
                                       .format = AV_PIX_FMT_GRAY8,
                                       .muxer = "image2pipe"});
    CHECK_FALSE(index_video(image, {.max_pixels = 1000}).quarantine.empty());
    CHECK(index_video(image, {.max_pixels = 100 * 100}).quarantine.empty());
}

TEST_CASE("an index knows when its file changed, and a decoder refuses") {
    const Scratch folder;
    const auto file = encode(folder, {.frames = 30, .options = {{"preset", "veryfast"}}});
    const VideoIndex index = index_video(file);
    const auto shards = plan_shards(index, 0, 0, {});
    auto bytes = read_bytes(file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x55);
    write_bytes(file, bytes);
    CHECK_FALSE(is_current(index));
    CHECK_THROWS_WITH(decode(index, shards[0]), ContainsSubstring("changed since it was indexed"));
    bytes.resize(bytes.size() / 2);
    write_bytes(file, bytes);
    CHECK_FALSE(is_current(index));
    CHECK_THROWS_AS(decode(index, shards[0]), InputError);
    std::filesystem::remove(file);
    CHECK_FALSE(is_current(index));
    CHECK_THROWS_AS(decode(index, shards[0]), InputError);
}

TEST_CASE("truncated and bit-flipped files neither crash nor hang") {
    const Scratch folder;
    const std::map<std::string, std::string> fast{{"preset", "ultrafast"}};
    const std::vector<Recipe> recipes{
        {.frames = 24, .options = fast},
        {.extension = ".mkv", .frames = 24, .options = fast},
        {.extension = ".ts", .frames = 24, .options = fast},
        {.extension = ".264", .frames = 24, .options = fast, .muxer = "h264"},
        {.encoder = "mpeg4", .extension = ".avi", .frames = 24},
        {.encoder = "libx265",
         .extension = ".mkv",
         .frames = 24,
         .options = {{"preset", "ultrafast"}, {"x265-params", "log-level=none"}}},
        {.encoder = "mjpeg",
         .extension = ".jpg",
         .frames = 1,
         .bframes = 0,
         .format = AV_PIX_FMT_YUVJ420P,
         .muxer = "image2pipe"}};
    std::mt19937 random(11);
    for (const Recipe& recipe : recipes) {
        const std::vector<char> good = read_bytes(encode(folder, recipe));
        for (int trial = 0; trial < 12; ++trial) {
            std::vector<char> bytes = good;
            if (trial % 2 == 0) {
                bytes.resize(random() % good.size());
            } else {
                for (int flips = 1 + static_cast<int>(random() % 20); flips > 0; --flips)
                    bytes[random() % bytes.size()] ^= static_cast<char>(1U << (random() % 8));
            }
            const auto file = folder / ("bad" + recipe.extension);
            write_bytes(file, bytes);
            const VideoIndex index = index_video(file);
            INFO(recipe.encoder << ' ' << recipe.extension << " trial " << trial << ": " << index.quarantine);
            CHECK(index.quarantine.empty() != index.packets.empty());
            if (index.quarantine.empty()) CHECK(decode_all(index) <= 2 * good.size());
        }
    }
}

TEST_CASE("a transport stream that begins inside a group of pictures begins at its first entry point") {
    const Scratch folder;
    for (const char* options : {"scenecut=0", "open-gop=1:scenecut=0:bframes=3"}) {
        const auto file = encode(folder, {.extension = ".ts",
                                          .frames = 60,
                                          .gop = 20,
                                          .options = {{"preset", "veryfast"}, {"x264-params", options}}});
        const VideoIndex whole = index_video(file);
        const auto all = decode_linearly(file);
        std::vector<char> bytes = read_bytes(file);
        const auto cut = static_cast<std::size_t>(whole.packets[7].position);
        bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(cut / 188 * 188));
        write_bytes(folder / "cut.ts", bytes);
        const VideoIndex index = index_video(folder / "cut.ts");
        INFO(options << ": " << index.quarantine);
        REQUIRE(index.quarantine == "");
        std::vector<Shown> sound;
        for (const Shard& shard : plan_shards(index, 0, 0, {.target_seconds = 0})) {
            ShardDecoder decoder(index, shard, {});
            for (Frame frame; decoder.next(frame);)
                if (!frame.corrupt) sound.push_back({frame.pts, hash_of(*frame.get())});
        }
        // Every frame from the first entry point on, and none of them wrong.
        REQUIRE(sound.size() >= 40);
        const auto expected = hashes({all.end() - static_cast<std::ptrdiff_t>(sound.size()), all.end()});
        CHECK(hashes(sound) == expected);
    }
}

}  // namespace divs::video::test
