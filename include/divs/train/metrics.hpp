// What an evaluation says about a classifier.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace divs::train {

// One evaluated sample. log_scores: logarithms of the probabilities, one a class.
struct Prediction {
    std::uint64_t sample = 0;
    std::int32_t label = 0;
    std::vector<float> log_scores;
};

struct ClassMetrics {
    std::string name;
    std::int64_t support = 0;                  // samples of this class
    double precision = 0, recall = 0, f1 = 0;  // 0 where undefined
    double auc = 0;                            // one against the rest; NaN where a side is empty
};

struct Metrics {
    std::int64_t samples = 0;
    double loss = 0;  // mean cross-entropy, without smoothing or weights
    double accuracy = 0, macro_f1 = 0, macro_auc = 0;
    std::vector<ClassMetrics> classes;
    std::vector<std::vector<std::int64_t>> confusion;  // [label][predicted]
};

// Area under the ROC curve by the rank sum (Mann, Whitney, 1947), ties counted half; NaN where a side is
// empty.
double area_under_curve(std::span<const float> scores, std::span<const bool> positive);

Metrics measure(const std::vector<Prediction>& predictions, const std::vector<std::string>& classes);

nlohmann::json to_json(const Metrics& metrics);
std::string to_text(const Metrics& metrics);  // tables for a terminal

}  // namespace divs::train
