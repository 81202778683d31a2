// Sliding-window analysis of recorded videos with trained models, by all ranks together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "divs/analyze/windows.hpp"
#include "divs/comm/world.hpp"
#include "divs/train/classifier.hpp"
#include "divs/train/feed.hpp"

namespace divs::analyze {

struct AnalysisOptions {
    int batch =
        16;  // windows that a rank predicts at once: always so many, so that results do not depend on ranks
    int rounds = 6;  // shares are planned anew, by the speeds measured, so many times
    train::FeedOptions feed;
    std::vector<double> slowdown;  // of each rank, for tests and benchmarks; empty: none
};

// What the models say of one window.
struct WindowResult {
    std::uint64_t window = 0;   // Catalogue::samples
    std::vector<float> scores;  // softmax probabilities, one a class
};

// What one rank did.
struct RankFigures {
    std::uint64_t windows = 0, skipped = 0, frames = 0;
    double seconds = 0;  // from its first lease to its last result, without waiting for others
    double latency_median = 0, latency_worst = 0;  // seconds from the window's clip being whole to its result
    double frames_per_second() const noexcept {
        return seconds > 0 ? static_cast<double>(frames) / seconds : 0;
    }
};

struct Analysis {
    std::vector<WindowResult> results;                           // by window; on rank 0
    std::vector<std::pair<std::uint64_t, std::string>> skipped;  // window, reason; on rank 0
    std::vector<RankFigures> ranks;                              // on rank 0
};

// Collective. Shards are shared out in rounds by measured speed (sched::greedy_partition); results are equal
// at any number of ranks.
Analysis analyze(train::Classifier& classifier, comm::World& world, const video::Catalogue& catalogue,
                 const AnalysisOptions& options);

// One JSON object a window, in order of file and time: file, start, end (seconds from the first pts), class,
// score, scores. Whole or not at all, as the HDF5 file: StorageError.
void write_json_lines(const std::filesystem::path& file, const video::Catalogue& catalogue,
                      const Analysis& analysis, const std::vector<std::string>& classes);
// The same as columns under windows/, with counts (files, classes), and the models that said so: models/file
// and models/step. Attributes of the file: every (seconds), divs_version, revision.
void write_hdf5(const std::filesystem::path& file, const video::Catalogue& catalogue,
                const Analysis& analysis, const std::vector<train::Weights>& models, double every);

}  // namespace divs::analyze
