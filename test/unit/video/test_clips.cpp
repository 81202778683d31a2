#include <fstream>
#include <map>

#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/video/clips.hpp"
#include "support/catch.hpp"
#include "unit/video/convert_oracle.hpp"

using namespace divs;
using namespace divs::video;
using namespace divs::video::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr int out_width = 16, out_height = 12;

Catalogue catalogue_of(const std::vector<std::filesystem::path>& files, const ClipOptions& clip,
                       double shard_seconds = 10) {
    Dataset set;
    set.classes = {"a", "b"};
    std::vector<VideoIndex> indexes;
    for (const auto& file : files) {
        set.root = file.parent_path();
        LabelRow row;
        row.file = static_cast<std::uint32_t>(set.files.size());
        row.label = static_cast<std::int32_t>(set.files.size() % 2);
        set.rows.push_back(row);
        set.files.push_back(file.filename().string());
        indexes.push_back(index_video(file));
    }
    return make_catalogue(std::move(set), std::move(indexes), {clip, {shard_seconds, false}, {}});
}

// Every frame of a file by pts, decoded by libav alone, whole and in order, converted one by one.
std::map<std::int64_t, std::vector<std::uint8_t>> linear_frames(const std::filesystem::path& file,
                                                                const View& view = {}) {
    AVFormatContext* format = nullptr;
    check(avformat_open_input(&format, file.c_str(), nullptr, nullptr), "open");
    check(avformat_find_stream_info(format, nullptr), "streams");
    const AVCodecParameters* parameters = format->streams[0]->codecpar;
    AVCodecContext* decoder = avcodec_alloc_context3(avcodec_find_decoder(parameters->codec_id));
    check(avcodec_parameters_to_context(decoder, parameters), "parameters");
    check(avcodec_open2(decoder, nullptr, nullptr), "decoder");
    std::map<std::int64_t, std::vector<std::uint8_t>> frames;
    AVPacket* packet = av_packet_alloc();
    AVFrame* frame = av_frame_alloc();
    const auto send = [&](const AVPacket* next) {
        avcodec_send_packet(decoder, next);
        while (avcodec_receive_frame(decoder, frame) >= 0)
            frames[frame->best_effort_timestamp] = converted(*frame, out_width, out_height, view);
    };
    while (av_read_frame(format, packet) >= 0) {
        send(packet);
        av_packet_unref(packet);
    }
    send(nullptr);
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    avformat_close_input(&format);
    return frames;
}

struct ReadResult {
    std::map<std::uint64_t, Clip> clips;
    DecodeCounts counts;
};

ReadResult read_shard(const Catalogue& catalogue, std::uint32_t shard, std::vector<std::uint64_t> wanted,
                      bool packed = false, const ClipReader::ViewOf& view = {}) {
    std::vector<std::byte> bytes;
    if (packed) bytes = pack_shard(catalogue.files[catalogue.shards[shard].file], catalogue.shards[shard]);
    ClipReader reader(catalogue, shard, std::move(wanted), {.sizes = {{out_height, out_width}}}, view,
                      std::move(bytes));
    ReadResult out;
    for (Clip clip; reader.next(clip);) {
        const std::uint64_t sample = clip.sample;
        REQUIRE(out.clips.emplace(sample, std::move(clip)).second);  // each once
    }
    Clip none;
    CHECK_FALSE(reader.next(none));
    out.counts = reader.counts();
    return out;
}

// Reads all samples of all shards and holds them against the frames as libav gives them.
void require_frames(const Catalogue& catalogue, const std::filesystem::path& file, bool packed) {
    const auto truth = linear_frames(file);
    std::size_t seen = 0;
    for (const Shard& shard : catalogue.shards) {
        const auto result = read_shard(catalogue, shard.id, catalogue.shard_samples[shard.id], packed);
        REQUIRE(result.clips.size() == catalogue.shard_samples[shard.id].size());
        for (const auto& [id, clip] : result.clips) {
            const Sample& sample = catalogue.samples[id];
            INFO("sample " << id << ": " << clip.skipped);
            REQUIRE(clip.skipped.empty());
            REQUIRE(clip.label == sample.label);
            REQUIRE(clip.pixels.size() == 1);
            REQUIRE(clip.pixels[0]->size() ==
                    static_cast<std::size_t>(catalogue.clip.frames) * out_width * out_height * 3);
            for (std::size_t t = 0; t < sample.pts.size(); ++t) {
                const std::size_t bytes = out_width * out_height * 3;
                const std::vector<std::uint8_t> frame(
                    clip.pixels[0]->host().begin() + static_cast<std::ptrdiff_t>(t * bytes),
                    clip.pixels[0]->host().begin() + static_cast<std::ptrdiff_t>((t + 1) * bytes));
                REQUIRE(frame == truth.at(sample.pts[t]));
            }
            ++seen;
        }
    }
    REQUIRE(seen == catalogue.samples.size());
}

}  // namespace

TEST_CASE("clips hold exactly the frames of their times") {
    const Scratch folder;
    std::vector<Recipe> recipes(7);
    recipes[0] = {.frames = 70, .gop = 15, .bframes = 3};
    recipes[1] = {.extension = ".mkv", .frames = 70, .gop = 15, .bframes = 2, .time_base = {1, 1000}};
    for (int i = 0; i < 70; ++i) recipes[1].pts.push_back(i * 40 + (i * i * 7) % 31);  // variable frame rate
    recipes[2] = {.encoder = "mpeg4", .extension = ".avi", .frames = 50, .gop = 10, .bframes = 0};
    recipes[3] = {.encoder = "mpeg4", .frames = 50, .gop = 10, .bframes = 2};
    recipes[4] = {
        .encoder = "mjpeg", .extension = ".avi", .frames = 20, .bframes = 0, .format = AV_PIX_FMT_YUVJ420P};
    recipes[5] = {.frames = 60, .gop = 12, .bframes = 2, .options = {{"x264-params", "open-gop=1"}}};
    recipes[6] = {
        .encoder = "mjpeg", .extension = ".mjpeg", .frames = 20, .bframes = 0, .format = AV_PIX_FMT_YUVJ420P};
    const std::vector<ClipOptions> clips{{1, 1, 0}, {4, 2, 0}, {3, 2, 1}, {16, 1, 5}};
    for (std::size_t i = 0; i < recipes.size(); ++i) {
        const auto file = encode(folder, recipes[i], "v" + std::to_string(i));
        for (const ClipOptions& clip : clips) {
            INFO(file << " frames " << clip.frames << " stride " << clip.stride << " hop " << clip.hop);
            const Catalogue catalogue = catalogue_of({file}, clip, 0.8);
            REQUIRE_FALSE(catalogue.samples.empty());
            require_frames(catalogue, file, false);
            require_frames(catalogue, file, true);
        }
    }
}

TEST_CASE("a picture shorter than its clip repeats") {
    const Scratch folder;
    const auto file = encode(folder,
                             {.encoder = "mjpeg",
                              .extension = ".jpg",
                              .frames = 1,
                              .bframes = 0,
                              .format = AV_PIX_FMT_YUVJ420P,
                              .muxer = "mjpeg"},
                             "image");
    const Catalogue catalogue = catalogue_of({file}, {5, 3, 0});
    REQUIRE(catalogue.samples.size() == 1);
    const auto result = read_shard(catalogue, 0, {0});
    const Clip& clip = result.clips.at(0);
    REQUIRE(clip.skipped.empty());
    const std::size_t bytes = out_width * out_height * 3;
    const auto truth = linear_frames(file).begin()->second;
    for (std::size_t t = 0; t < 5; ++t)
        REQUIRE(std::equal(truth.begin(), truth.end(),
                           clip.pixels[0]->host().begin() + static_cast<std::ptrdiff_t>(t * bytes)));
}

TEST_CASE("only what is wanted comes, in order of time, shown as its view says") {
    const Scratch folder;
    const auto file = encode(folder, {.frames = 60, .gop = 30});
    const Catalogue catalogue = catalogue_of({file}, {4, 1, 2}, 100);
    REQUIRE(catalogue.shards.size() == 1);
    const std::vector<std::uint64_t> wanted{11, 3, 4, 3};
    const AugmentOptions options{0.3, 1.2, true, 0.2, 0.2, 0.2};
    const auto view = [&](std::uint64_t sample) { return augmented_view(options, 1, 1, sample / 2); };
    ClipReader reader(catalogue, 0, wanted, {.sizes = {{out_height, out_width}}}, view);
    std::vector<std::uint64_t> order;
    for (Clip clip; reader.next(clip);) {
        order.push_back(clip.sample);
        REQUIRE(clip.skipped.empty());
        const auto truth = linear_frames(file, view(clip.sample));
        for (std::size_t t = 0; t < 4; ++t) {
            const auto& frame = truth.at(catalogue.samples[clip.sample].pts[t]);
            REQUIRE(
                std::equal(frame.begin(), frame.end(),
                           clip.pixels[0]->host().begin() + static_cast<std::ptrdiff_t>(t * frame.size())));
        }
    }
    CHECK(order == std::vector<std::uint64_t>{3, 4, 11});
    CHECK_THROWS_WITH(ClipReader(catalogue, 0, {999}, {.sizes = {{4, 4}}}), ContainsSubstring("sample 999"));
    ClipReader nothing(catalogue, 0, {}, {.sizes = {{4, 4}}});
    Clip clip;
    CHECK_FALSE(nothing.next(clip));
    CHECK(nothing.counts().packets == 0);  // not even opened
}

TEST_CASE("clips of several picture sizes hold what readers of each size give, by one decode") {
    const Scratch folder;
    // Clips that overlap and share views, and clips that are longer than their file.
    for (const auto& [frames, clip] :
         {std::pair{60, ClipOptions{4, 2, 3}}, std::pair{3, ClipOptions{5, 1, 0}}}) {
        const auto file = encode(folder, {.frames = frames, .gop = 15, .bframes = 2});
        const Catalogue catalogue = catalogue_of({file}, clip, 100);
        REQUIRE(catalogue.shards.size() == 1);
        const auto view = [&](std::uint64_t sample) {
            return augmented_view({0.3, 1.2, true, 0.2, 0.2, 0.2}, 1, 1, sample / 2);
        };
        const std::vector<PictureSize> sizes{{14, 20}, {40, 24}, {7, 64}};
        const auto read = [&](const std::vector<PictureSize>& wanted) {
            ClipReader reader(catalogue, 0, catalogue.shard_samples[0], {.sizes = wanted}, view);
            std::vector<Clip> clips;
            for (Clip each; reader.next(each);) clips.push_back(std::move(each));
            CHECK(reader.counts().frames <= catalogue.shards[0].frames);
            return clips;
        };
        const auto all = read(sizes);
        REQUIRE(all.size() == catalogue.samples.size());
        for (std::size_t s = 0; s < sizes.size(); ++s) {
            const auto alone = read({sizes[s]});
            for (std::size_t i = 0; i < all.size(); ++i) {
                REQUIRE(all[i].sample == alone[i].sample);
                REQUIRE(all[i].pixels.size() == sizes.size());
                REQUIRE(all[i].pixels[s]->size() == sizes[s].bytes() * static_cast<std::size_t>(clip.frames));
                REQUIRE(std::ranges::equal(all[i].pixels[s]->host(), alone[i].pixels[0]->host()));
            }
        }
    }
}

TEST_CASE("times of decoding and conversion are kept") {
    const Scratch folder;
    const auto file = encode(folder, {.frames = 40});
    const Catalogue catalogue = catalogue_of({file}, {1, 1, 0}, 100);
    TimeLedger times;
    ClipReader reader(catalogue, 0, catalogue.shard_samples[0],
                      {.sizes = {{out_height, out_width}}, .times = &times});
    for (Clip clip; reader.next(clip);) {
    }
    CHECK(times.seconds(Stage::decode) > 0);
    CHECK(times.seconds(Stage::convert) > 0);
    CHECK(reader.counts().frames == catalogue.shards[0].frames);
    CHECK(reader.counts().shard_frames == reader.counts().frames);
}

TEST_CASE("damaged files: every wanted sample comes once, whole or with a reason") {
    const Scratch folder;
    for (const char* encoder : {"libx264", "mpeg4"}) {
        const auto file =
            encode(folder, {.encoder = encoder, .extension = ".mkv", .frames = 60, .gop = 10}, encoder);
        std::ifstream in(file, std::ios::binary);
        const std::string good{std::istreambuf_iterator<char>(in), {}};
        in.close();
        std::size_t skipped = 0, whole = 0;
        for (std::uint64_t trial = 0; trial < 40; ++trial) {
            const Random random(trial, Stream::test, 3);
            std::string bad = good;
            if (trial % 4 == 0)
                bad.resize(random.below(0, good.size()));
            else
                for (std::uint64_t i = 0; i < 1 + trial * 2 && !bad.empty(); ++i)
                    bad[random.below(2 * i, bad.size())] ^=
                        static_cast<char>(1U << random.below(2 * i + 1, 8));
            std::ofstream(file, std::ios::binary | std::ios::trunc) << bad;
            const Catalogue catalogue = catalogue_of({file}, {3, 1, 2}, 0.5);
            for (const Shard& shard : catalogue.shards) {
                const auto result = read_shard(catalogue, shard.id, catalogue.shard_samples[shard.id]);
                REQUIRE(result.clips.size() == catalogue.shard_samples[shard.id].size());
                for (const auto& [id, clip] : result.clips) {
                    REQUIRE(clip.pixels.empty() != clip.skipped.empty());
                    ++(clip.skipped.empty() ? whole : skipped);
                    if (!clip.skipped.empty()) REQUIRE_THAT(clip.skipped, ContainsSubstring(" s "));
                }
            }
        }
        CHECK(skipped > 0);
        CHECK(whole > 0);
    }
}

TEST_CASE("a file that is gone or changed gives reasons, no exception") {
    const Scratch folder;
    const auto file = encode(folder, {.frames = 30});
    const Catalogue catalogue = catalogue_of({file}, {2, 1, 0}, 100);
    SECTION("gone") {
        std::filesystem::remove(file);
    }
    SECTION("another") {
        encode(folder, {.frames = 20});
    }
    const auto result = read_shard(catalogue, 0, catalogue.shard_samples[0]);
    REQUIRE(result.clips.size() == 15);
    for (const auto& [id, clip] : result.clips) CHECK_THAT(clip.skipped, ContainsSubstring("video.mp4"));
}
