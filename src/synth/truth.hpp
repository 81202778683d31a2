// Ground truth as JSON Lines: {"type": "video", ...} first, then a "frame" for each frame with its boxes, a
// "crossing" for each passage of the count line and a "level" for each interval, in order of time within a
// type.
#pragma once

#include <filesystem>
#include <vector>

#include "divs/synth/recording.hpp"

namespace divs::synth {

struct VideoTruth {
    std::string file;  // relative to the data set
    video::Rational time_base;
    std::vector<FrameTruth> frames;
};

// StorageError when the file cannot be written.
void write_truth(const std::filesystem::path& file, const SynthOptions& options, const VideoPlan& plan,
                 const Recording& recording, const VideoTruth& truth);

}  // namespace divs::synth
