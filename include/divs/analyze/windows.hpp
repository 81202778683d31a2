// Where a sliding analysis looks: a window of T frames every so many seconds of each video.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "divs/video/dataset.hpp"

namespace divs::analyze {

struct WindowOptions {
    int frames = 1, stride = 1;  // of a clip, as the model was trained
    double every = 1;            // seconds from one window's start to the next
    video::ShardOptions shard;
};

// The files under a path: itself, or, for a folder, all regular files below it, sorted. InputError where it
// is missing or holds none.
video::Dataset collect_files(const std::filesystem::path& input);

// Shards of the files, and their windows as samples without a label: in each shard, from its first frame on,
// a window starts at the first frame at or after each multiple of `every` (seconds from the file's first
// pts). A window too near the shard's end for T frames repeats the last one, so that no part of a video goes
// unseen. What is looked at depends on the files alone, never on the ranks.
video::Catalogue plan_windows(video::Dataset files, std::vector<video::VideoIndex> indexes,
                              const WindowOptions& options);

}  // namespace divs::analyze
