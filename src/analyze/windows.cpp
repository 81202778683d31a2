#include "divs/analyze/windows.hpp"

#include <algorithm>
#include <cmath>

#include "divs/core/error.hpp"

namespace divs::analyze {
namespace {

// The pts of a window that starts at frame `first`.
std::vector<std::int64_t> window_at(const std::vector<std::int64_t>& times, std::size_t first,
                                    const WindowOptions& options) {
    std::vector<std::int64_t> pts;
    for (int frame = 0; frame < options.frames; ++frame) {
        const std::size_t at =
            first + static_cast<std::size_t>(frame) * static_cast<std::size_t>(options.stride);
        pts.push_back(times[std::min(at, times.size() - 1)]);
    }
    return pts;
}

void add_windows(video::Catalogue& catalogue, const video::Shard& shard, const WindowOptions& options) {
    const video::VideoIndex& index = catalogue.files[shard.file];
    const auto times = video::frame_times(index, shard);
    double due = 0;
    for (std::size_t frame = 0; frame < times.size(); ++frame) {
        const double seconds = index.seconds(times[frame]);
        if (frame > 0 && seconds < due - 1e-9) continue;  // times are rounded: a frame on the dot is not late
        due = (std::floor(seconds / options.every + 1e-9) + 1) * options.every;
        video::Sample window;
        window.id = catalogue.samples.size();
        window.shard = shard.id;
        window.pts = window_at(times, frame, options);
        catalogue.shard_samples[shard.id].push_back(window.id);
        catalogue.samples.push_back(std::move(window));
    }
}

}  // namespace

video::Dataset collect_files(const std::filesystem::path& input) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path root = fs::canonical(input, error);
    if (error)
        throw_error<InputError>("{}: {}, expected a video or a folder of videos", input.string(),
                                error.message());
    video::Dataset dataset;
    dataset.name = root.filename().string();
    if (!fs::is_directory(root)) {
        dataset.root = root.parent_path();
        dataset.files.push_back(root.filename().string());
        return dataset;
    }
    dataset.root = root;
    for (auto it = fs::recursive_directory_iterator(root, fs::directory_options::skip_permission_denied);
         it != fs::recursive_directory_iterator(); ++it) {
        if (it->path().filename().string().starts_with('.')) {
            if (it->is_directory()) it.disable_recursion_pending();
            continue;
        }
        if (it->is_regular_file()) dataset.files.push_back(fs::relative(it->path(), root).generic_string());
    }
    std::sort(dataset.files.begin(), dataset.files.end());
    if (dataset.files.empty()) throw_error<InputError>("{}: holds no file", input.string());
    return dataset;
}

video::Catalogue plan_windows(video::Dataset files, std::vector<video::VideoIndex> indexes,
                              const WindowOptions& options) {
    if (options.every <= 0)
        throw_error<ConfigError>("a window every {} s: expected more than 0", options.every);
    video::Catalogue catalogue;
    catalogue.dataset = std::move(files);
    catalogue.clip = {options.frames, options.stride, 0};
    catalogue.files = std::move(indexes);
    for (std::uint32_t file = 0; file < catalogue.files.size(); ++file) {
        if (!catalogue.files[file].quarantine.empty()) continue;
        const auto first = static_cast<std::uint32_t>(catalogue.shards.size());
        for (const video::Shard& shard :
             video::plan_shards(catalogue.files[file], file, first, options.shard))
            catalogue.shards.push_back(shard);
    }
    catalogue.shard_samples.resize(catalogue.shards.size());
    for (const video::Shard& shard : catalogue.shards) add_windows(catalogue, shard, options);
    return catalogue;
}

}  // namespace divs::analyze
