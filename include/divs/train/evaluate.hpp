// Predictions over a split, by all ranks together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "divs/comm/world.hpp"
#include "divs/train/classifier.hpp"
#include "divs/train/feed.hpp"
#include "divs/train/metrics.hpp"

namespace divs::train {

struct EvaluateOptions {
    int batch = 32;  // clips a rank predicts at once
    FeedOptions feed;
    std::vector<std::vector<int>> holders;  // ranks that can read each shard; empty: all can
};

struct Evaluation {
    std::vector<Prediction> predictions;                         // by sample; on rank 0, empty elsewhere
    std::vector<std::pair<std::uint64_t, std::string>> skipped;  // this rank's
    double seconds = 0;
};

// Collective. Every sample is predicted once, on the rank that decodes its shard.
Evaluation evaluate(Classifier& classifier, comm::World& world, const video::Catalogue& catalogue,
                    const std::vector<std::uint64_t>& samples, const EvaluateOptions& options);

}  // namespace divs::train
