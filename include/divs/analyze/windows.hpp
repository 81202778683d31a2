// Where a sliding analysis looks: a window of T frames every so many seconds of each video.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "divs/video/dataset.hpp"

namespace divs::analyze {

struct WindowOptions {
    int frames = 1, stride = 1;  // of a clip, as the model was trained
    double every = 1;            // seconds from one window's start to the next
    video::ShardOptions shard;
};

struct Collected {
    video::Dataset files;
    std::vector<std::pair<std::string, std::string>> left_out;  // name, reason; sorted
};

// The files under a path: itself, or, for a folder, all regular files below it, sorted; names that begin with
// a dot are passed over. InputError where it is missing, cannot be read or holds none.
Collected collect_files(const std::filesystem::path& input);

// Shards of the files, and their windows as samples without a label: one starts at the first frame at or
// after each multiple of `every` (seconds from the file's first pts). A window too near the file's end for T
// frames repeats the last one. A shard whose last windows reach into the next shards goes on as far: those
// frames are decoded for both. What is looked at depends on the files alone, never on shards or ranks.
video::Catalogue plan_windows(video::Dataset files, std::vector<video::VideoIndex> indexes,
                              const WindowOptions& options);

}  // namespace divs::analyze
