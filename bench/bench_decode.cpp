// `divs bench decode`: frames a second of decoding a video's shards, alone and with conversion to a model's
// input.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "bench.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/pixels.hpp"
#include "divs/io/temporary_folder.hpp"
#include "divs/video/convert.hpp"
#include "divs/video/decode.hpp"
#include "divs/video/test_clip.hpp"

namespace divs::bench {
namespace {

struct DecodeOptions {
    std::vector<std::string> files;
    int threads = 1, workers = 1, size = 224, rounds = 3, warm_up = 1;
    double shard_seconds = 10;
    std::string json;
};

struct Work {
    video::VideoIndex index;
    std::vector<video::Shard> shards;
    double index_seconds = 0;
    std::uint64_t promised = 0;
};

Work prepare(const std::string& file, const DecodeOptions& o) {
    Work work;
    const Stopwatch watch;
    work.index = video::index_video(file);
    work.index_seconds = watch.seconds();
    if (!work.index.quarantine.empty()) throw_error<InputError>("{}: {}", file, work.index.quarantine);
    work.shards = video::plan_shards(work.index, 0, 0, {.target_seconds = o.shard_seconds});
    for (const video::Shard& shard : work.shards) work.promised += shard.frames;
    return work;
}

// Decodes shard after shard, converting each frame where asked. Gives the number of frames.
std::uint64_t decode_shards(const Work& work, const DecodeOptions& o, bool convert,
                            std::atomic<std::size_t>& next) {
    std::uint64_t frames = 0;
    video::Converter converter(o.size, o.size);
    const auto rgb = host_pixels()->allocate(static_cast<std::size_t>(o.size) * o.size * 3);
    video::Frame frame;
    for (std::size_t i = next++; i < work.shards.size(); i = next++) {
        video::ShardDecoder decoder(work.index, work.shards[i], {.threads = o.threads});
        for (; decoder.next(frame); ++frames)
            if (convert) converter.convert(*frame.get(), {}, rgb->host());
    }
    return frames;
}

// Frames a second over the whole file; `workers` shards are decoded at a time.
double frame_rate(const Work& work, const DecodeOptions& o, bool convert) {
    const Stopwatch watch;
    std::atomic<std::size_t> next{0};
    std::atomic<std::uint64_t> frames{0};
    std::exception_ptr failure;
    std::mutex failing;
    const auto job = [&] {
        try {
            frames += decode_shards(work, o, convert, next);
        } catch (...) {
            const std::lock_guard lock(failing);
            failure = std::current_exception();
        }
    };
    std::vector<std::thread> helpers;
    for (int i = 1; i < o.workers; ++i) helpers.emplace_back(job);
    job();
    for (std::thread& helper : helpers) helper.join();
    if (failure) std::rethrow_exception(failure);
    return static_cast<double>(frames) / watch.seconds();
}

void run(const DecodeOptions& o) {
    const io::TemporaryFolder scratch("divs-bench");
    std::vector<std::string> files = o.files;
    if (files.empty()) {
        files.push_back(scratch / "rendered-720p.mp4");
        video::write_test_clip(files[0]);
    }
    Report report("decode", {"file", "codec", "size", "frames", "shards", "threads", "workers", "index ms",
                             "decode frames/s", "+ convert frames/s"});
    double decode_logs = 0, convert_logs = 0;
    for (const std::string& file : files) {
        const Work work = prepare(file, o);
        const auto rates = interleaved(
            o.rounds, o.warm_up,
            {[&] { return frame_rate(work, o, false); }, [&] { return frame_rate(work, o, true); }});
        report.row({std::filesystem::path(file).filename().string(), work.index.codec,
                    fmt::format("{}x{}", work.index.width, work.index.height), work.promised,
                    work.shards.size(), o.threads, o.workers, 1e3 * work.index_seconds, rates[0], rates[1]});
        decode_logs += std::log(rates[0]);
        convert_logs += std::log(rates[1]);
    }
    const auto count = static_cast<double>(files.size());
    report.figure("decode", std::exp(decode_logs / count), "frames/s");
    report.figure("decode_convert", std::exp(convert_logs / count), "frames/s");
    if (o.files.empty()) report.note("no file was named: a rendered clip");
    report.finish(o.json);
}

}  // namespace

void add_decode(CLI::App& bench) {
    CLI::App& decode = *bench.add_subcommand("decode", "Decoding shards, alone and with conversion to RGB");
    auto options = std::make_shared<DecodeOptions>();
    decode
        .add_option("files", options->files, "Videos (default: a rendered clip); rates are geometric means")
        ->check(CLI::ExistingFile);
    decode.add_option("--threads", options->threads, "Threads of each decoder")->check(CLI::Range(1, 64));
    decode.add_option("--workers", options->workers, "Shards decoded at a time")->check(CLI::Range(1, 256));
    decode.add_option("--size", options->size, "Height and width after conversion")
        ->check(CLI::Range(1, 4096));
    decode.add_option("--shard-seconds", options->shard_seconds, "Length of a shard")
        ->check(CLI::Range(0.0, 1e6));
    decode.add_option("--rounds", options->rounds, "Measured rounds; their median counts")
        ->check(CLI::Range(1, 1000));
    decode.add_option("--warm-up", options->warm_up, "Rounds that do not count")->check(CLI::Range(0, 100));
    decode.add_option("--json", options->json, "JSON file (-: JSON instead of the table)");
    decode.callback([options] { run(*options); });
}

}  // namespace divs::bench
