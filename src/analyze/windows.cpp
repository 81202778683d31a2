#include "divs/analyze/windows.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iterator>

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

// The shard then holds the frames up to this pts, though they may be of the next ones: up to a safe cut
// behind it, as what comes out of a decoder between cuts may wait for what goes in later. Readers stop at the
// last frame that is wanted, so that `frames` and `bytes`, by which shards are shared out, stay what they
// were.
void reach(video::Shard& shard, const video::VideoIndex& index, std::int64_t last) {
    const auto ends = [&](const video::PacketInfo& packet) { return packet.safe_cut && packet.pts > last; };
    while (shard.end_packet < index.packets.size() && !ends(index.packets[shard.end_packet]))
        ++shard.end_packet;
}

// The windows of a file whose shards begin at `first`, the catalogue's last ones.
void add_windows(video::Catalogue& catalogue, std::size_t first, const WindowOptions& options) {
    const video::VideoIndex& index = catalogue.files[catalogue.shards[first].file];
    std::vector<std::int64_t> times;
    std::vector<std::size_t> ends;  // of each shard, in times
    for (std::size_t shard = first; shard < catalogue.shards.size(); ++shard) {
        std::ranges::copy(video::frame_times(index, catalogue.shards[shard]), std::back_inserter(times));
        ends.push_back(times.size());
    }
    double due = 0;
    std::size_t at = 0;  // shard of the frame, behind first
    for (std::size_t frame = 0; frame < times.size(); ++frame) {
        while (frame >= ends[at]) ++at;
        const double seconds = index.seconds(times[frame]);
        if (seconds < due - 1e-9) continue;  // times are rounded: a frame on the dot is not late
        due = (std::floor(seconds / options.every + 1e-9) + 1) * options.every;
        video::Shard& shard = catalogue.shards[first + at];
        video::Sample window;
        window.id = catalogue.samples.size();
        window.shard = shard.id;
        window.pts = window_at(times, frame, options);
        reach(shard, index, window.pts.back());
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
        const std::size_t first = catalogue.shards.size();
        for (const video::Shard& shard : video::plan_shards(catalogue.files[file], file,
                                                            static_cast<std::uint32_t>(first), options.shard))
            catalogue.shards.push_back(shard);
        catalogue.shard_samples.resize(catalogue.shards.size());
        if (first < catalogue.shards.size()) add_windows(catalogue, first, options);
    }
    return catalogue;
}

}  // namespace divs::analyze
