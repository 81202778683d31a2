// Video that is decoded on a device: the frames stay there, and the clips are those that the processor makes.
#include <numeric>

#include "cuda/clip_memory.hpp"
#include "device_converter.hpp"
#include "divs/core/error.hpp"
#include "divs/video/decoder_choice.hpp"
#include "hardware.hpp"
#include "hardware_double.hpp"
#include "support/catch.hpp"
#include "support/scratch.hpp"
#include "unit/kernels/orders.hpp"
#include "unit/video/convert_oracle.hpp"

using namespace divs;
using namespace divs::video;
using namespace divs::video::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr int out_width = 20, out_height = 14;

// A device of its own for each test, as a run has it.
struct OnDevice {
    nn::cuda::Device device{0};
    std::shared_ptr<nn::cuda::ClipMemory> memory = std::make_shared<nn::cuda::ClipMemory>(device);
    OnDevice() { hardware_double() = {}; }

    ClipReaderOptions reader(bool hardware = true) const {
        ClipReaderOptions options{.sizes = {{out_height, out_width}, {10, 28}}, .memory = memory};
        if (hardware) options.decode.hardware = std::make_shared<const HardwareDevice>(*memory->pictures());
        return options;
    }
};

// What lies on the device, which is the host here.
std::vector<std::uint8_t> content(Pixels& pixels) {
    auto& clip = dynamic_cast<nn::cuda::DeviceClip&>(pixels);
    return {clip.device(), clip.device() + clip.size()};
}

// Of all sizes, one behind the other.
std::vector<std::uint8_t> content(const Clip& clip) {
    std::vector<std::uint8_t> all;
    for (const auto& pixels : clip.pixels) std::ranges::copy(content(*pixels), std::back_inserter(all));
    return all;
}

Catalogue catalogue_of(const std::filesystem::path& file, const ClipOptions& clip) {
    Dataset set;
    set.classes = {"a", "b"};
    set.root = file.parent_path();
    set.rows.push_back({});
    set.rows.back().label = 1;
    set.files.push_back(file.filename().string());
    return make_catalogue(std::move(set), {index_video(file)}, {clip, {1.0, false}, {}});
}

struct Read {
    std::map<std::uint64_t, std::vector<std::uint8_t>> clips;
    DecodeCounts counts;
};
Read read_all(const Catalogue& catalogue, const ClipReaderOptions& options, const ClipReader::ViewOf& view) {
    Read read;
    for (std::uint32_t shard = 0; shard < catalogue.shards.size(); ++shard) {
        ClipReader reader(catalogue, shard, catalogue.shard_samples[shard], options, view);
        for (Clip clip; reader.next(clip);) {
            INFO(clip.skipped);
            REQUIRE(clip.skipped.empty());
            REQUIRE(read.clips.emplace(clip.sample, content(clip)).second);
        }
        read.counts += reader.counts();
    }
    return read;
}

int largest_difference(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
    REQUIRE(a.size() == b.size());
    int most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
    return most;
}

View some_view(std::uint64_t sample) {
    View view = augmented_view({0.3, 1.2, true, 0.1, 0.1, 0.1}, divs::test::run_seed(), 1, sample / 2);
    return view;
}

}  // namespace

TEST_CASE("a frame on the device becomes the pixels that the definition says", "[cuda]") {
    const OnDevice on;
    View cropped;
    cropped.crop = {0.13, 0.21, 0.5, 0.6};
    cropped.flip = true;
    DeviceConverter converter(*on.memory->pictures(), out_width, out_height);
    for (const auto& [width, height] : {std::pair{64, 48}, std::pair{75, 51}, std::pair{640, 360}})
        for (const View& view : {View{}, cropped, View{}}) {
            const auto frame = make_picture(AV_PIX_FMT_NV12, width, height, 0.5, divs::test::run_seed());
            const auto truth = oracle(*frame, view, out_width, out_height, 0.299, 0.114, false);
            move_to_device(*frame, AV_PIX_FMT_NV12);
            constexpr std::size_t picture = 3 * out_width * out_height;
            const auto clip = on.memory->allocate(2 * picture);
            std::ranges::fill(clip->host(0, picture), std::uint8_t{9});
            converter.convert(*frame, view, *clip, picture);
            clip->filled();
            const auto bytes = content(*clip);
            CHECK(std::count(bytes.begin(), bytes.begin() + picture, 9) == picture);
            INFO(width << "x" << height << (view.flip ? " cropped" : " whole"));
            double most = 0;
            for (std::size_t i = 0; i < picture; ++i)
                most = std::max(most, std::abs(bytes[picture + i] - truth[i]));
            CHECK(most < 0.51);
            CHECK_THROWS_WITH(converter.convert(*frame, view, *clip, picture + 1),
                              ContainsSubstring("not a clip"));
        }
}

TEST_CASE("clips decoded on the device are the processor's, and those that it gives up are read to their end",
          "[cuda]") {
    const divs::test::Scratch folder;
    const auto file = encode(folder, {.frames = 60, .width = 96, .height = 64, .gop = 12, .bframes = 2}, "a");
    const OnDevice on;
    for (const ClipOptions& clip : {ClipOptions{1, 1, 0}, ClipOptions{4, 2, 3}, ClipOptions{16, 1, 5}}) {
        const Catalogue catalogue = catalogue_of(file, clip);
        REQUIRE(catalogue.samples.size() > 1);
        const Read truth = read_all(catalogue, on.reader(false), some_view);
        CHECK(truth.counts.device_frames == 0);
        for (const int most : {INT_MAX, 7}) {  // the device stops after some frames, in the middle of a clip
            hardware_double() = {.most_frames = most};
            const Read read = read_all(catalogue, on.reader(), some_view);
            CHECK(read.counts.frames == truth.counts.frames);
            if (most == 7) CHECK(read.counts.device_frames == 7);
            if (most != 7) CHECK(read.counts.device_frames == read.counts.frames);
            REQUIRE(read.clips.size() == truth.clips.size());
            // swscale on the way to NV12 copies; the two conversions round differently.
            for (const auto& [sample, pixels] : read.clips)
                REQUIRE(largest_difference(pixels, truth.clips.at(sample)) <= 1);
        }
    }
}

TEST_CASE("a picture shorter than its clip repeats on the device too", "[cuda]") {
    const divs::test::Scratch folder;
    const auto file = encode(folder, {.frames = 3, .gop = 3, .bframes = 0}, "short");
    const OnDevice on;
    const Catalogue catalogue = catalogue_of(file, {5, 1, 0});
    REQUIRE(catalogue.samples.size() == 1);
    const Read truth = read_all(catalogue, on.reader(false), {}), read = read_all(catalogue, on.reader(), {});
    CHECK(largest_difference(read.clips.at(0), truth.clips.at(0)) <= 1);
}

TEST_CASE("what decodes is chosen by what can, and said", "[cuda]") {
    const divs::test::Scratch folder;
    const auto file = encode(folder, {.frames = 200, .gop = 12}, "a");
    const OnDevice on;
    const Catalogue catalogue = catalogue_of(file, {1, 1, 0});
    std::vector<std::uint32_t> all(catalogue.shards.size());
    std::iota(all.begin(), all.end(), 0U);
    const std::vector<std::uint32_t> none;
    const auto choose = [&](DecodeOn wish, const std::vector<std::uint32_t>& shards, int threads = 1) {
        return choose_decoder(wish, catalogue, shards, on.reader(false), threads);
    };
    const DecoderChoice gpu = choose(DecodeOn::gpu, all);
    CHECK(gpu.hardware);
    CHECK_THAT(gpu.text, ContainsSubstring("on the GPU, as configured"));
    CHECK_FALSE(choose(DecodeOn::cpu, all).hardware);
    CHECK_THAT(choose(DecodeOn::automatic, none).text, ContainsSubstring("no video could be read"));

    // What is slower is not chosen, by one thread and by several.
    for (const int threads : {1, 3}) {
        hardware_double() = {.device_seconds = 0.5};
        const DecoderChoice slow = choose(DecodeOn::automatic, all, threads);
        CHECK_FALSE(slow.hardware);
        CHECK_THAT(slow.text, ContainsSubstring("on the CPU: ") && ContainsSubstring("on the GPU, "));
        hardware_double() = {.processor_seconds = 0.5};
        const DecoderChoice fast = choose(DecodeOn::automatic, all, threads);
        CHECK(fast.hardware);
        CHECK_THAT(fast.text, ContainsSubstring("on the GPU: "));
    }

    hardware_double() = {.has_codec = false};
    CHECK_THAT(choose(DecodeOn::automatic, all).text,
               ContainsSubstring("does not decode this kind of video"));
    hardware_double() = {.refuses = true};
    CHECK_THAT(choose(DecodeOn::automatic, all).text,
               ContainsSubstring("on the CPU: libavutil cannot use the GPU"));
    CHECK_THROWS_WITH(choose(DecodeOn::gpu, all),
                      ContainsSubstring("asked for: libavutil cannot use the GPU"));
    CHECK_THROWS_AS(choose_decoder(DecodeOn::gpu, catalogue, all, {.sizes = {{out_height, out_width}}}, 1),
                    ConfigError);
}
