// A whole data set on disk.
//
//   OUT/dataset.toml   descriptor; its first line says that `divs synth` made it
//   OUT/labels.tsv     path, label, split, start, end, group
//   OUT/videos/        task level: the recordings
//   OUT/truth/         task level: a JSON Lines file beside each: one object a line with "type" video, frame,
//   crossing or
//                      level (see truth.hpp)
//   OUT/crops/CLASS/   task vehicles: JPEG files
//   OUT/preview.png    on request: a contact sheet
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "divs/synth/plan.hpp"

namespace divs::synth {

struct Summary {
    int videos = 0, scenes = 0;
    std::uint64_t frames = 0, boxes = 0, crossings = 0, crops = 0, bytes = 0;
    double seconds = 0;                                      // of video
    double wall_seconds = 0;                                 // that it took
    std::map<std::string, std::map<std::string, int>> rows;  // split -> label -> rows of the table
};

// Renders, encodes and labels. Output is a function of the options alone, whatever the threads. ConfigError
// where the folder holds something that this command did not make (unless options.force), StorageError where
// a write fails. `progress` is called now and then, from any thread but never twice at once, with videos done
// and in all.
Summary make_dataset(const SynthOptions& options, const std::filesystem::path& out,
                     const std::function<void(int done, int all)>& progress = {});

}  // namespace divs::synth
