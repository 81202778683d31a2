#include "divs/analyze/windows.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "divs/core/error.hpp"

namespace divs::analyze {
namespace {

namespace fs = std::filesystem;

// Why an entry of a folder is not looked at; empty where it is.
std::string why_not(const fs::directory_entry& entry) {
    std::error_code error;
    const fs::file_status status = entry.status(error);
    if (!fs::exists(status)) return "a link that leads nowhere";
    if (fs::is_directory(status)) {
        if (entry.is_symlink()) return "a link to a folder";
        return access(entry.path().c_str(), R_OK | X_OK) == 0 ? "" : "the folder may not be read";
    }
    return fs::is_regular_file(status) ? "" : "no regular file";
}

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

// The windows that start in the shard; `due`: when the file's next one does.
void add_windows(video::Catalogue& catalogue, const video::Shard& shard, const WindowOptions& options,
                 double& due) {
    const video::VideoIndex& index = catalogue.files[shard.file];
    const auto times = video::frame_times(index, shard);
    for (std::size_t frame = 0; frame < times.size(); ++frame) {
        const double seconds = index.seconds(times[frame]);
        if (seconds < due - 1e-9) continue;  // times are rounded: a frame on the dot is not late
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

Collected collect_files(const fs::path& input) {
    std::error_code error;
    const fs::path root = fs::canonical(input, error);
    if (error)
        throw_error<InputError>("{}: {}, expected a video or a folder of videos", input.string(),
                                error.message());
    Collected collected;
    video::Dataset& dataset = collected.files;
    dataset.name = root.filename().string();
    if (!fs::is_directory(root)) {
        dataset.root = root.parent_path();
        dataset.files.push_back(root.filename().string());
        return collected;
    }
    dataset.root = root;
    for (auto it = fs::recursive_directory_iterator(root, error);
         !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
        const std::string name = it->path().lexically_relative(root).generic_string();
        if (it->path().filename().string().starts_with('.')) {
            it.disable_recursion_pending();
        } else if (const std::string reason = why_not(*it); !reason.empty()) {
            it.disable_recursion_pending();
            collected.left_out.emplace_back(name, reason);
        } else if (!it->is_directory()) {
            dataset.files.push_back(name);
        }
    }
    if (error) throw_error<InputError>("{}: {}", input.string(), error.message());
    std::sort(dataset.files.begin(), dataset.files.end());
    std::sort(collected.left_out.begin(), collected.left_out.end());
    if (dataset.files.empty() && collected.left_out.empty())
        throw_error<InputError>("{}: holds no file", input.string());
    return collected;
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
    std::vector<double> due(catalogue.files.size());
    for (const video::Shard& shard : catalogue.shards)
        add_windows(catalogue, shard, options, due[shard.file]);
    return catalogue;
}

}  // namespace divs::analyze
