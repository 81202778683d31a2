// Cutting a stream and decoding its shards in any order, from the file or from packed bytes, on any number of
// threads, gives what one decode of the whole file by libav alone gives.
#include <algorithm>
#include <numeric>
#include <random>

#include "divs/core/error.hpp"
#include "support/catch.hpp"
#include "unit/video/encode.hpp"
#include "unit/video/frames.hpp"

namespace divs::video::test {
namespace {

struct Case {
    std::string name;
    Recipe recipe;
    int least_cuts, most_cuts;
    int least_recoveries;
};

std::vector<std::int64_t> uneven_times(int frames) {  // milliseconds, 20..200 apart
    std::mt19937 random(7);
    std::vector<std::int64_t> pts;
    std::int64_t now = 0;
    for (int i = 0; i < frames; ++i, now += 20 + static_cast<std::int64_t>(random() % 181))
        pts.push_back(now);
    return pts;
}

std::vector<Case> cases() {
    const std::map<std::string, std::string> x264{{"preset", "veryfast"}, {"x264-params", "scenecut=0"}};
    const std::map<std::string, std::string> x264_open{
        {"preset", "veryfast"}, {"x264-params", "open-gop=1:scenecut=0:bframes=3:b-pyramid=2"}};
    const std::map<std::string, std::string> x265{
        {"preset", "ultrafast"}, {"x265-params", "log-level=none:open-gop=0:scenecut=0:bframes=2"}};
    const std::map<std::string, std::string> x265_open{
        {"preset", "ultrafast"}, {"x265-params", "log-level=none:open-gop=1:scenecut=0:bframes=3"}};
    const std::map<std::string, std::string> x265_cra{
        {"preset", "ultrafast"}, {"x265-params", "log-level=none:open-gop=1:scenecut=0:bframes=0"}};
    const std::map<std::string, std::string> vp8{
        {"lag-in-frames", "10"}, {"auto-alt-ref", "1"}, {"cpu-used", "5"}};
    return {
        {"h264 mp4", {.options = x264}, 5, 5, 0},
        {"h264 mkv", {.extension = ".mkv", .options = x264}, 5, 5, 0},
        {"h264 ts", {.extension = ".ts", .options = x264}, 5, 5, 0},
        {"h264 flv", {.extension = ".flv", .options = x264}, 5, 5, 0},
        {"h264 raw", {.extension = ".264", .options = x264, .muxer = "h264"}, 5, 5, 0},
        {"h264 avi", {.extension = ".avi", .options = x264}, 5, 5, 0},
        {"h264 open mp4", {.extension = ".mp4", .options = x264_open}, 1, 1, 4},
        {"h264 open mkv", {.extension = ".mkv", .options = x264_open}, 1, 1, 4},
        {"h264 open ts", {.extension = ".ts", .options = x264_open}, 1, 1, 4},
        {"h264 uneven", {.options = x264, .time_base = {1, 1000}, .pts = uneven_times(60)}, 5, 5, 0},
        {"h264 uneven mkv",
         {.extension = ".mkv", .options = x264, .time_base = {1, 1000}, .pts = uneven_times(60)},
         5,
         5,
         0},
        {"hevc mp4", {.encoder = "libx265", .options = x265}, 5, 5, 0},
        {"hevc open mp4", {.encoder = "libx265", .options = x265_open}, 1, 1, 4},
        {"hevc open mkv", {.encoder = "libx265", .extension = ".mkv", .options = x265_open}, 1, 1, 4},
        {"hevc open ts", {.encoder = "libx265", .extension = ".ts", .options = x265_open}, 1, 1, 4},
        {"hevc cra without rasl", {.encoder = "libx265", .options = x265_cra}, 5, 5, 0},
        {"hevc raw", {.encoder = "libx265", .extension = ".hevc", .options = x265, .muxer = "hevc"}, 5, 5, 0},
        {"mpeg4 mp4",
         {.encoder = "mpeg4", .options = {{"flags", "+cgop"}, {"sc_threshold", "1000000000"}}},
         6,
         6,
         0},
        {"mpeg4 open mp4", {.encoder = "mpeg4"}, 1, 1, 5},
        {"mpeg4 open avi", {.encoder = "mpeg4", .extension = ".avi"}, 1, 1, 0},
        {"mpeg4 avi no b", {.encoder = "mpeg4", .extension = ".avi", .bframes = 0}, 5, 5, 0},
        {"mpeg2 ps", {.encoder = "mpeg2video", .extension = ".mpg"}, 1, 1, 0},
        {"mpeg2 ts", {.encoder = "mpeg2video", .extension = ".ts"}, 1, 1, 5},
        {"mpeg2 closed ts",
         {.encoder = "mpeg2video",
          .extension = ".ts",
          .options = {{"flags", "+cgop"}, {"sc_threshold", "1000000000"}}},
         6,
         6,
         0},
        {"mpeg2 raw", {.encoder = "mpeg2video", .extension = ".m2v"}, 1, 1, 0},
        {"mjpeg avi",
         {.encoder = "mjpeg", .extension = ".avi", .bframes = 0, .format = AV_PIX_FMT_YUVJ420P},
         60,
         60,
         0},
        {"mjpeg mkv",
         {.encoder = "mjpeg",
          .extension = ".mkv",
          .bframes = 0,
          .time_base = {1, 1000},
          .pts = uneven_times(60),
          .format = AV_PIX_FMT_YUVJ420P},
         60,
         60,
         0},
        {"vp8 mkv", {.encoder = "libvpx", .extension = ".mkv", .options = vp8}, 5, 8, 0},
        {"vp9 mkv",
         {.encoder = "libvpx-vp9",
          .extension = ".mkv",
          .frames = 40,
          .options = {{"deadline", "realtime"}, {"cpu-used", "8"}, {"lag-in-frames", "10"}}},
         3,
         6,
         0},
        {"msmpeg4 avi", {.encoder = "msmpeg4v2", .extension = ".avi", .bframes = 0}, 5, 5, 0},
    };
}

void require_frames_of_the_file(const VideoIndex& index, const std::vector<Shard>& shards,
                                const std::vector<Shown>& whole) {
    std::vector<std::size_t> order(shards.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), std::mt19937(3));
    std::vector<std::vector<Shown>> parts(shards.size());
    std::uint64_t promised = 0;
    for (const std::size_t i : order) {
        const Decoded file = decode(index, shards[i], 1 + static_cast<int>(i % 3));
        parts[i] = file.frames;
        promised += shards[i].frames;
        INFO("shard " << i << " packets " << shards[i].first_packet << " to " << shards[i].end_packet);
        CHECK(file.frames.size() == shards[i].frames);
        CHECK(file.corrupt == 0);
        CHECK(file.counts.damaged_packets == 0);
        CHECK(decode_packed(index, shards[i], 1 + static_cast<int>((i + 1) % 3)).frames == file.frames);
    }
    std::vector<Shown> joined;
    for (const auto& part : parts) joined.insert(joined.end(), part.begin(), part.end());
    CHECK(promised == whole.size());
    CHECK(hashes(joined) == hashes(whole));
    if (!index.numbered) CHECK(joined == whole);
    CHECK(std::is_sorted(joined.begin(), joined.end(), [](auto& a, auto& b) { return a.pts < b.pts; }));
}

}  // namespace

TEST_CASE("shards decoded in any order equal one decode of the file") {
    const Scratch folder;
    for (const Case& test : cases()) {
        DYNAMIC_SECTION(test.name) {
            const auto file = encode(folder, test.recipe);
            const VideoIndex index = index_video(file);
            REQUIRE(index.quarantine == "");
            const std::vector<Shown> whole = decode_linearly(file);
            REQUIRE(whole.size() == static_cast<std::size_t>(test.recipe.frames));
            CHECK(cuts(index) >= test.least_cuts);
            CHECK(cuts(index) <= test.most_cuts);
            CHECK(recoveries(index) >= test.least_recoveries);
            CHECK(index.packets.front().safe_cut);
            for (const double seconds : {0.0, 0.9, 1000.0})
                require_frames_of_the_file(index, plan_shards(index, 0, 0, {.target_seconds = seconds}),
                                           whole);
        }
    }
}

TEST_CASE("with preroll, open GOPs are cut at recovery points and no frame is given twice") {
    const Scratch folder;
    for (const Case& test : cases()) {
        if (test.least_recoveries == 0) continue;
        DYNAMIC_SECTION(test.name) {
            const VideoIndex index = index_video(encode(folder, test.recipe));
            const auto shards = plan_shards(index, 0, 0, {.target_seconds = 0.4, .allow_preroll = true});
            REQUIRE(shards.size() >= 4);
            require_frames_of_the_file(index, shards, decode_linearly(index.path));
            std::uint64_t repeated = 0;
            for (const Shard& shard : shards) repeated += decode(index, shard).counts.preroll_frames;
            CHECK(repeated > 0);
        }
    }
}

}  // namespace divs::video::test
