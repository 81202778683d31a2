// Encoded files, read back by the index and the decoder: frame counts, times, key frames, determinism.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/synth/picture.hpp"
#include "divs/video/convert.hpp"
#include "divs/video/decode.hpp"
#include "divs/video/encode.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"

using namespace divs;
using divs::test::Scratch;
using synth::Picture;

namespace {

constexpr int width = 128, height = 96;

// A textured ground with a square that moves: something for motion compensation to do.
Picture moving_square(int frame) {
    Picture p(width, height);
    const Random random(1, Stream::test);
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            const int noise = static_cast<int>(random.below(static_cast<std::uint64_t>(y * width + x), 30));
            const bool inside = std::abs(x - 10 - 2 * frame % 100) < 12 && std::abs(y - 40) < 12;
            const std::size_t at = p.at(x, y);
            p.planes[0][at] = static_cast<std::uint8_t>(inside ? 220 : 60 + noise);
            p.planes[1][at] = static_cast<std::uint8_t>(inside ? 40 : 90 + noise);
            p.planes[2][at] = static_cast<std::uint8_t>(inside ? 40 : 120 + noise);
        }
    }
    return p;
}

std::vector<double> regular(int frames, double fps) {
    std::vector<double> times;
    for (int i = 0; i < frames; ++i) times.push_back(i / fps);
    return times;
}

std::vector<std::int64_t> encode(const std::filesystem::path& file, video::EncodeOptions o,
                                 const std::vector<double>& times) {
    o.width = width;
    o.height = height;
    video::VideoEncoder encoder(file, o);
    std::vector<std::int64_t> pts;
    for (std::size_t i = 0; i < times.size(); ++i) {
        pts.push_back(encoder.write(moving_square(static_cast<int>(i)).view(), times[i]));
    }
    encoder.close();
    return pts;
}

// Times of all frames that a decode of every shard gives.
std::vector<std::int64_t> decoded_pts(const video::VideoIndex& index, double shard_seconds) {
    std::vector<std::int64_t> pts;
    video::ShardOptions options;
    options.target_seconds = shard_seconds;
    for (const video::Shard& shard : video::plan_shards(index, 0, 0, options)) {
        video::ShardDecoder decoder(index, shard, {});
        video::Frame frame;
        while (decoder.next(frame)) {
            CHECK(!frame.corrupt);
            pts.push_back(frame.pts);
        }
    }
    return pts;
}

}  // namespace

TEST_CASE("every codec and container gives back as many frames, at the same times, as were written") {
    const Scratch scratch;
    for (const std::string codec : {"h264", "hevc", "mpeg4", "mjpeg"}) {
        for (const std::string container : {"mp4", "mkv"}) {
            video::EncodeOptions o;
            o.codec = codec;
            o.gop = 10;
            const auto file = scratch / (codec + "." + container);
            const auto pts = encode(file, o, regular(34, 25));
            const video::VideoIndex index = video::index_video(file);
            INFO(codec << " in " << container << " " << index.quarantine);
            REQUIRE(index.quarantine.empty());
            CHECK(index.codec == codec);
            CHECK(index.width == width);
            CHECK(index.packets.size() == pts.size());
            CHECK(decoded_pts(index, 1e9) == pts);
            CHECK(decoded_pts(index, 0.1) == pts);
            for (std::size_t i = 0; i < pts.size(); ++i) {
                CHECK(index.seconds(pts[i]) == Approx(static_cast<double>(i) / 25).margin(0.0006));
            }
        }
    }
}

TEST_CASE("irregular times come back as they were written") {
    const Scratch scratch;
    const Random random(2, Stream::test);
    std::vector<double> times{0};
    for (std::uint64_t i = 1; i < 40; ++i)
        times.push_back(times.back() + std::round(random.uniform(i, 11, 190)) / 1000);
    for (const std::string codec : {"h264", "hevc", "mpeg4", "mjpeg"}) {
        const auto file = scratch / (codec + ".mp4");
        video::EncodeOptions o;
        o.codec = codec;
        o.gop = 12;
        const auto pts = encode(file, o, times);
        const video::VideoIndex index = video::index_video(file);
        INFO(codec << " " << index.quarantine);
        CHECK(decoded_pts(index, 1e9) == pts);
        CHECK(std::is_sorted(pts.begin(), pts.end(), std::less_equal<>()));  // strictly
        for (std::size_t i = 0; i < pts.size(); ++i)
            CHECK(index.seconds(pts[i]) == Approx(times[i]).margin(1e-6));
    }
}

TEST_CASE(
    "key frames stand where the GOP length puts them, and open GOPs have key frames that are no safe cuts") {
    const Scratch scratch;
    for (const std::string codec : {"h264", "hevc"}) {
        for (const bool open : {false, true}) {
            video::EncodeOptions o;
            o.codec = codec;
            o.gop = 12;
            o.open_gop = open;
            const auto file = scratch / (codec + (open ? "-open.mp4" : "-closed.mp4"));
            const auto pts = encode(file, o, regular(60, 25));
            const video::VideoIndex index = video::index_video(file);
            int keys = 0, safe = 0;
            for (const video::PacketInfo& p : index.packets) {
                keys += p.key;
                safe += p.safe_cut;
            }
            INFO(codec << (open ? " open" : " closed"));
            CHECK(keys == 5);
            CHECK(safe == (open ? 1 : 5));
            CHECK(decoded_pts(index, 0.1) == pts);
        }
    }
}

TEST_CASE("the same frames give the same bytes") {
    const Scratch scratch;
    for (const std::string codec : {"h264", "hevc", "mpeg4", "mjpeg"}) {
        video::EncodeOptions o;
        o.codec = codec;
        encode(scratch / "a.mp4", o, regular(20, 25));
        encode(scratch / "b.mp4", o, regular(20, 25));
        INFO(codec);
        CHECK((test::read_text(scratch / "a.mp4") == test::read_text(scratch / "b.mp4")));
    }
}

TEST_CASE("stills come back with their colours, PNG exactly and JPEG nearly") {
    const Scratch scratch;
    const Picture drawn = moving_square(3);
    for (const std::string kind : {"png", "jpg"}) {
        const auto file = scratch / ("still." + kind);
        video::write_image(file, drawn.view(), 2);
        const video::VideoIndex index = video::index_video(file);
        INFO(kind << " " << index.quarantine);
        REQUIRE(index.quarantine.empty());
        CHECK(index.image);
        REQUIRE(index.width == width);
        REQUIRE(index.height == height);
        video::ShardDecoder decoder(index, video::plan_shards(index, 0, 0, {}).front(), {});
        video::Frame frame;
        REQUIRE(decoder.next(frame));
        std::vector<std::uint8_t> rgb(3 * width * height);
        video::Converter(width, height).convert(*frame.get(), {}, rgb);
        int most = 0;
        double sum = 0;
        for (std::size_t i = 0; i < rgb.size(); ++i) {
            const int error = std::abs(int{rgb[i]} - int{drawn.planes[i % 3][i / 3]});
            most = std::max(most, error);
            sum += error;
        }
        CHECK(most <= (kind == "png" ? 1 : 255));
        CHECK(sum / static_cast<double>(rgb.size()) < 4);
        CHECK(!decoder.next(frame));
    }
}

TEST_CASE("options and pictures that cannot be encoded are refused with a reason") {
    const Scratch scratch;
    video::EncodeOptions o;
    o.width = 97;
    o.height = 96;
    CHECK_THROWS_AS(video::VideoEncoder(scratch / "odd.mp4", o), ConfigError);
    o.width = 96;
    o.codec = "vp9";
    CHECK_THROWS_AS(video::VideoEncoder(scratch / "codec.mp4", o), ConfigError);
    o.codec = "h264";
    CHECK_THROWS_AS(video::VideoEncoder(scratch / "no/such/folder.mp4", o), StorageError);
    video::VideoEncoder encoder(scratch / "small.mp4", o);
    CHECK_THROWS_WITH(encoder.write(moving_square(0).view(), 0), Catch::Matchers::ContainsSubstring("128x96"));
    encoder.write(Picture(96, 96).view(), 0.5);
    CHECK_THROWS_WITH(encoder.write(Picture(96, 96).view(), 0.5), Catch::Matchers::ContainsSubstring("not later"));
}
