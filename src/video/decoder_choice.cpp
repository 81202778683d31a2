#include "divs/video/decoder_choice.hpp"

#include <algorithm>
#include <optional>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "hardware.hpp"

namespace divs::video {
namespace {

constexpr double seconds_each = 0.5;
constexpr std::size_t most_shards = 64;

struct Rate {
    double frames_per_second = 0;  // 0: nothing could be measured
    bool on_device = false;        // whether the device took the streams
};

// Decodes and converts for a while, by one thread, behind the first good clip: that one waits for devices and
// codecs to start.
Rate measure(const Catalogue& catalogue, std::span<const std::uint32_t> shards,
             const ClipReaderOptions& options) {
    Rate rate;
    Stopwatch watch;
    std::optional<std::uint64_t> frames;  // since the first good clip
    for (const std::uint32_t shard : shards.first(std::min(shards.size(), most_shards))) {
        ClipReader reader(catalogue, shard, catalogue.shard_samples[shard], options);
        std::uint64_t counted = 0;
        for (Clip clip; watch.seconds() < seconds_each && reader.next(clip);) {
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

}  // namespace

DecodeOn decode_on(std::string_view name) {
    const auto found = std::find(decode_on_names.begin(), decode_on_names.end(), name);
    if (found == decode_on_names.end()) throw_error<ConfigError>("decode \"{}\": expected auto, cpu or gpu", name);
    return static_cast<DecodeOn>(found - decode_on_names.begin());
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
    try {
        with_device.decode.hardware = std::make_shared<const HardwareDevice>(*pictures);
    } catch (const InputError& e) {
        return decode_on_processor(wish, e.what());
    }
    const Rate device = measure(catalogue, shards, with_device);
    if (!device.on_device) return decode_on_processor(wish, "the GPU does not decode this kind of video");
    if (wish == DecodeOn::gpu)
        return {with_device.decode.hardware,
                fmt::format("on the GPU, as configured: {:.0f} frames/s", device.frames_per_second)};
    const double processor = measure(catalogue, shards, reader).frames_per_second * threads;
    const std::string rates = fmt::format("{:.0f} frames/s on the GPU, {:.0f} by {} thread{} of the CPU",
                                          device.frames_per_second, processor, threads, threads == 1 ? "" : "s");
    if (device.frames_per_second < processor) return decode_on_processor(wish, rates);
    return {with_device.decode.hardware, "on the GPU: " + rates};
}

}  // namespace divs::video
