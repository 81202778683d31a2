#include "divs/video/decoder_choice.hpp"

#include <algorithm>
#include <future>
#include <optional>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/named.hpp"
#include "divs/core/units.hpp"
#include "hardware.hpp"

namespace divs::video {
namespace {

constexpr double seconds_each = 0.5;
constexpr double patience = 10;        // seconds until the first good clip
constexpr std::size_t most_shards = 64;  // a thread

struct Rate {
    double frames_per_second = 0;  // 0: nothing could be measured
    bool on_device = false;        // whether the device took the streams
};

// Decodes and converts for a while, behind the first good clip: that one waits for devices and codecs to
// start.
Rate measure(const Catalogue& catalogue, std::span<const std::uint32_t> shards,
             const ClipReaderOptions& options) {
    Rate rate;
    Stopwatch watch;
    std::optional<std::uint64_t> frames;  // since the first good clip
    const auto over = [&] { return watch.seconds() >= (frames ? seconds_each : patience); };
    for (const std::uint32_t shard : shards) {
        if (over()) break;
        ClipReader reader(catalogue, shard, catalogue.shard_samples[shard], options);
        std::uint64_t counted = 0;
        for (Clip clip; !over() && reader.next(clip);) {
            if (frames)
                *frames += reader.counts().frames - counted;
            else if (clip.skipped.empty())
                frames = 0, watch = Stopwatch();
            counted = reader.counts().frames;
        }
        rate.on_device = rate.on_device || reader.counts().device_frames > 0;
    }
    if (frames) rate.frames_per_second = static_cast<double>(*frames) / watch.seconds();
    return rate;
}

// The same by several threads at once, each with shards of its own.
Rate measure(const Catalogue& catalogue, std::span<const std::uint32_t> shards,
             const ClipReaderOptions& options, int threads) {
    const auto count = std::min(static_cast<std::size_t>(threads), std::max<std::size_t>(shards.size(), 1));
    std::vector<std::vector<std::uint32_t>> dealt(count);
    for (std::size_t i = 0; i < std::min(shards.size(), count * most_shards); ++i)
        dealt[i % count].push_back(shards[i]);
    std::vector<std::future<Rate>> parts;
    for (const auto& mine : dealt)
        parts.push_back(std::async(std::launch::async, [&] { return measure(catalogue, mine, options); }));
    Rate all;
    for (auto& part : parts) {
        const Rate rate = part.get();
        all.frames_per_second += rate.frames_per_second;
        all.on_device = all.on_device || rate.on_device;
    }
    return all;
}

}  // namespace

DecodeOn decode_on(std::string_view name) {
    return named<DecodeOn>(name, decode_on_names, "decode");
}

DecoderChoice decode_on_processor(DecodeOn wish, std::string_view reason) {
    if (wish == DecodeOn::gpu) throw_error<ConfigError>("decoding on the GPU was asked for: {}", reason);
    return {nullptr, fmt::format("on the CPU: {}", reason)};
}

DecoderChoice choose_decoder(DecodeOn wish, const Catalogue& catalogue, std::span<const std::uint32_t> shards,
                             const ClipReaderOptions& reader, int threads) {
    if (wish == DecodeOn::cpu) return {nullptr, "on the CPU, as configured"};
    DevicePictures* pictures = reader.memory->pictures();
    if (!pictures) return decode_on_processor(wish, "the backend keeps clips in the host's memory");
    ClipReaderOptions with_device = reader;
    Rate device;
    try {
        with_device.decode.hardware = std::make_shared<const HardwareDevice>(*pictures);
        device = measure(catalogue, shards, with_device, threads);
    } catch (const Error& e) {
        return decode_on_processor(wish, e.what());
    }
    if (device.frames_per_second == 0) return decode_on_processor(wish, "no video could be read to measure");
    if (!device.on_device) return decode_on_processor(wish, "the GPU does not decode this kind of video");
    const std::string by = "by " + count_text(static_cast<std::size_t>(threads), "thread");
    if (wish == DecodeOn::gpu)
        return {with_device.decode.hardware,
                fmt::format("on the GPU, as configured: {:.0f} frames/s {}", device.frames_per_second, by)};
    const double processor = measure(catalogue, shards, reader, threads).frames_per_second;
    const std::string rates = fmt::format("{:.0f} frames/s on the GPU, {:.0f} on the CPU, {}",
                                          device.frames_per_second, processor, by);
    if (device.frames_per_second < processor) return decode_on_processor(wish, rates);
    return {with_device.decode.hardware, "on the GPU: " + rates};
}

}  // namespace divs::video
