#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "divs/analyze/analysis.hpp"
#include "divs/core/build_info.hpp"
#include "divs/io/atomic_file.hpp"
#include "divs/io/hdf5.hpp"

namespace divs::analyze {
namespace {

// Where a window lies: seconds from the file's first pts, to the end of its last frame.
struct Place {
    std::uint32_t file = 0;
    double start = 0, end = 0;
};

// When the frame of this pts is over: where its packet has no duration, when the next frame is shown; the
// last frame lasts as long as the video's rate says.
std::int64_t end_of(const video::VideoIndex& index, const video::Shard& shard, std::int64_t pts) {
    constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
    std::int64_t duration = 0, next = none;
    for (std::size_t i = shard.first_packet; i < index.packets.size(); ++i) {
        const video::PacketInfo& packet = index.packets[i];
        if (i >= shard.end_packet && next != none && packet.safe_cut && packet.pts > next) break;
        if (packet.pts == pts) duration = std::max(duration, packet.duration);
        if (packet.pts > pts && packet.gives_frame()) next = std::min(next, packet.pts);
    }
    if (duration > 0) return pts + duration;
    if (next != none) return next;
    const double frame = index.frame_rate.value() > 0 ? 1 / index.frame_rate.value() : 0;
    const double ticks = index.image || index.time_base.value() <= 0 ? 0 : frame / index.time_base.value();
    return pts + std::llround(ticks);
}

Place place_of(const video::Catalogue& catalogue, std::uint64_t window) {
    const video::Sample& sample = catalogue.samples[window];
    const video::Shard& shard = catalogue.shards[sample.shard];
    const video::VideoIndex& index = catalogue.files[shard.file];
    return {shard.file, index.seconds(sample.pts.front()),
            index.seconds(end_of(index, shard, sample.pts.back()))};
}

// Six digits are more than the scores of two machines agree to.
double rounded(double value) {
    return std::round(value * 1e6) / 1e6;
}

std::size_t best_class(const WindowResult& result) {
    return static_cast<std::size_t>(std::max_element(result.scores.begin(), result.scores.end()) -
                                    result.scores.begin());
}

// What somebody needs to get the same results again.
void write_origin(io::Hdf5Writer& out, const std::vector<train::Weights>& models, double every) {
    std::vector<std::string> files;
    std::vector<std::int64_t> steps;
    for (const train::Weights& model : models) {
        files.push_back(std::filesystem::absolute(model.file).lexically_normal().string());
        steps.push_back(model.step);
    }
    out.write("models/file", files);
    out.write("models/step", std::span<const std::int64_t>(steps), {static_cast<std::int64_t>(steps.size())});
    out.attribute("", "every", every);
    out.attribute("", "divs_version", build_info().version);
    out.attribute("", "revision", build_info().revision);
}

}  // namespace

void write_json_lines(const std::filesystem::path& file, const video::Catalogue& catalogue,
                      const Analysis& analysis, const std::vector<std::string>& classes) {
    std::string lines;
    for (const WindowResult& result : analysis.results) {
        const Place place = place_of(catalogue, result.window);
        nlohmann::ordered_json scores;
        for (std::size_t c = 0; c < classes.size(); ++c) scores[classes[c]] = rounded(result.scores[c]);
        const std::size_t best = best_class(result);
        const nlohmann::json line{{"file", catalogue.dataset.files[place.file]},
                                  {"start", rounded(place.start)},
                                  {"end", rounded(place.end)},
                                  {"class", classes[best]},
                                  {"score", rounded(result.scores[best])},
                                  {"scores", scores}};
        lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
    io::write_atomically(file, lines);
}

void write_hdf5(const std::filesystem::path& file, const video::Catalogue& catalogue,
                const Analysis& analysis, const std::vector<train::Weights>& models, double every) {
    const std::vector<std::string>& classes = models.front().classes;
    const auto windows = static_cast<std::int64_t>(analysis.results.size());
    const auto files = static_cast<std::int64_t>(catalogue.dataset.files.size());
    const auto width = static_cast<std::int64_t>(classes.size());
    std::vector<std::int32_t> file_of, label;
    std::vector<double> start, end;
    std::vector<float> scores;
    std::vector<std::int64_t> counts(static_cast<std::size_t>(files * width));
    for (const WindowResult& result : analysis.results) {
        const Place place = place_of(catalogue, result.window);
        const std::size_t best = best_class(result);
        file_of.push_back(static_cast<std::int32_t>(place.file));
        label.push_back(static_cast<std::int32_t>(best));
        start.push_back(place.start);
        end.push_back(place.end);
        scores.insert(scores.end(), result.scores.begin(), result.scores.end());
        ++counts[place.file * classes.size() + best];
    }
    io::Hdf5Writer out;
    out.write("files", catalogue.dataset.files);
    out.write("classes", classes);
    out.write("counts", std::span<const std::int64_t>(counts),
              {files, width});  // windows of each class in each file
    out.write("windows/file", std::span<const std::int32_t>(file_of), {windows});
    out.write("windows/class", std::span<const std::int32_t>(label), {windows});
    out.write("windows/start", std::span<const double>(start), {windows});
    out.write("windows/end", std::span<const double>(end), {windows});
    out.write("windows/scores", std::span<const float>(scores), {windows, width});
    write_origin(out, models, every);
    out.save(file);
}

}  // namespace divs::analyze
