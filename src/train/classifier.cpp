#include "divs/train/classifier.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "divs/core/error.hpp"

namespace divs::train {
namespace {

// What a model reads and says, in words.
std::string reading(const Weights& weights) {
    const nn::ModelSpec spec = nn::from_json(weights.model_json);
    return fmt::format("{}x{} pixels, {} frames at stride {}, classes {}", spec.width, spec.height,
                       spec.frames, weights.clip_stride, fmt::join(weights.classes, ", "));
}

// Adds softmax(logits) to the sums.
void add_softmax(std::span<const float> logits, std::span<float> sums) {
    const float top = *std::max_element(logits.begin(), logits.end());
    std::vector<float> scores;
    float sum = 0;
    for (const float logit : logits) sum += scores.emplace_back(std::exp(logit - top));
    for (std::size_t i = 0; i < scores.size(); ++i) sums[i] += scores[i] / sum;
}

}  // namespace

Classifier::Classifier(nn::Model& model) : models_{&model} {}

Classifier::Classifier(const std::vector<Weights>& weights, const std::shared_ptr<nn::Backend>& backend) {
    const std::string first = reading(weights.front());
    for (const Weights& member : weights) {
        if (const std::string here = reading(member); here != first)
            throw_error<InputError>("{} and {} do not go together: {}; {}", weights.front().file.string(),
                                    member.file.string(), first, here);
        own_.push_back(make_predictor(member, backend));
        models_.push_back(own_.back().get());
    }
}

std::vector<std::vector<float>> Classifier::scores(std::span<const video::Clip> clips, std::size_t batch) {
    std::vector<Pixels*> pixels;
    std::vector<std::uint64_t> samples;
    for (const video::Clip& clip : clips) {
        pixels.push_back(clip.pixels.get());
        samples.push_back(clip.sample);
    }
    batch = std::max(batch, clips.size());
    pixels.resize(batch, pixels.front());
    samples.resize(batch);
    const auto classes = static_cast<std::size_t>(model().spec().classes);
    std::vector<std::vector<float>> scores(clips.size(), std::vector<float>(classes));
    std::vector<float> logits(batch * classes);
    for (nn::Model* member : models_) {
        member->predict({.samples = samples, .clip_pixels = pixels}, logits);
        for (std::size_t i = 0; i < clips.size(); ++i)
            add_softmax({logits.data() + i * classes, classes}, scores[i]);
    }
    for (auto& row : scores)
        for (float& score : row) score /= static_cast<float>(models_.size());
    return scores;
}

}  // namespace divs::train
