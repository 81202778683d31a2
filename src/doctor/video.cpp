// Decoders, and how fast they are here.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "checks.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/io/temporary_folder.hpp"
#include "divs/video/decode.hpp"
#include "divs/video/test_clip.hpp"

namespace divs::doctor {
namespace {

constexpr const char* surveillance_codecs[] = {"h264", "hevc", "mpeg4", "mjpeg"};
constexpr double slow_rank = 0.5;  // of the median rate

std::string joined(std::span<const std::string> words) {
    std::string out;
    for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
    return out.empty() ? "none" : out;
}

// A second's worth of frames, decoded by one thread from a file in memory or on the local disk.
double decode_rate(const std::filesystem::path& file) {
    const video::VideoIndex index = video::index_video(file);
    if (!index.quarantine.empty()) throw_error<InputError>("the test clip: {}", index.quarantine);
    const auto shards = video::plan_shards(index, 0, 0, {});
    std::uint64_t frames = 0;
    video::Frame frame;
    const Stopwatch watch;
    while (watch.seconds() < 0.5)
        for (const video::Shard& shard : shards) {
            video::ShardDecoder decoder(index, shard, {.threads = 1});
            while (decoder.next(frame)) ++frames;
        }
    return static_cast<double>(frames) / watch.seconds();
}

// The first of the codecs that can be both encoded and decoded here; nothing where none can.
std::optional<std::pair<std::string, double>> measure_decoding(comm::World& world, std::string& fault) {
    std::optional<io::TemporaryFolder> folder;
    std::string codec;
    for (const char* candidate : {"h264", "mpeg4", "mjpeg"}) {
        try {
            if (!folder) folder.emplace("divs-doctor");
            video::write_test_clip(*folder / "clip.mp4", {1280, 720, 50, candidate});
            codec = candidate;
            break;
        } catch (const Error& e) {
            fault = e.what();
        }
    }
    world.barrier("decode rate").wait();  // all at once, as in training
    try {
        if (!codec.empty()) return {{codec, decode_rate(*folder / "clip.mp4")}};
    } catch (const Error& e) {
        fault = e.what();
    }
    return std::nullopt;
}

void compare_rates(const std::vector<nlohmann::json>& ranks, Notes& notes) {
    std::vector<double> rates;
    for (const auto& rank : ranks)
        if (rank.at("rate") > 0) rates.push_back(rank.at("rate"));
    if (rates.empty()) return;
    std::sort(rates.begin(), rates.end());
    const double median = rates[rates.size() / 2];
    notes.figures["decode_frames_per_s_per_core"] = median;
    notes.ok("decode rate",
             fmt::format("{:.0f} frames/s a core of 1280x720 {}{}", median,
                         ranks[0].at("codec").get<std::string>(),
                         ranks.size() > 1 ? fmt::format(" ({:.0f} to {:.0f} over the ranks, all at once)",
                                                        rates.front(), rates.back())
                                          : ""));
    for (std::size_t r = 0; r < ranks.size(); ++r)
        if (const double rate = ranks[r].at("rate"); rate > 0 && rate < slow_rank * median)
            notes.warning(
                "decode rate",
                fmt::format("rank {} on {} decodes {:.0f} frames/s, half the others' median or less", r,
                            ranks[r].at("host").get<std::string>(), rate),
                "something else runs there, or the core is slower: the scheduler will give it less work");
}

}  // namespace

std::vector<Finding> judge_codecs(const video::LibraryInfo& library, std::span<const std::string> usable) {
    std::vector<Finding> found;
    std::vector<std::string> missing;
    for (const char* codec : surveillance_codecs)
        if (std::find(library.decoders.begin(), library.decoders.end(), codec) == library.decoders.end())
            missing.emplace_back(codec);
    if (missing.empty())
        found.push_back({Level::ok,
                         "decoders",
                         fmt::format("FFmpeg {}: {}", library.version, joined(library.decoders)),
                         {},
                         {}});
    else
        found.push_back({std::find(missing.begin(), missing.end(), "h264") != missing.end() ? Level::error
                                                                                            : Level::warning,
                         "decoders",
                         fmt::format("FFmpeg {} was built without: {}", library.version, joined(missing)),
                         "install an FFmpeg with these decoders: videos of these codecs will be left out",
                         {}});
    found.push_back(
        {Level::ok,
         "hardware decoding",
         fmt::format("usable here: {} (built in: {}); with a GPU backend, cuda decodes where it is "
                     "measured to be faster than the CPU",
                     joined(usable), joined(library.hardware)),
         {},
         {}});
    return found;
}

void check_video(Patient& patient, Notes& notes) {
    notes.add(judge_codecs(video::library_info(), video::usable_hardware()));
    std::string fault;
    const auto rate = measure_decoding(patient.world, fault);
    if (!rate)
        notes.warning(
            "decode rate", "not measured: " + fault,
            "FFmpeg needs an encoder for H.264 or MPEG-4 for this, and the folder for temporary files room");
    const auto ranks = gather(patient.world, {{"host", patient.world.host()},
                                              {"codec", rate ? rate->first : ""},
                                              {"rate", rate ? rate->second : 0.0}});
    if (patient.is_root()) compare_rates(ranks, notes);
}

}  // namespace divs::doctor
