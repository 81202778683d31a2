#include "divs/train/classifier.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "divs/core/error.hpp"
#include "divs/train/reader.hpp"

namespace divs::train {
namespace {

// What a model reads and says, in words.
std::string reading(const Weights& weights) {
    const nn::ModelSpec spec = nn::from_json(weights.model_json);
    return fmt::format("{} frames at stride {}, classes {}", spec.frames, weights.clip_stride,
                       fmt::join(weights.classes, ", "));
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

Classifier::Classifier(nn::Model& model) {
    add(model);
}

Classifier::Classifier(const std::vector<Weights>& weights, const std::shared_ptr<nn::Backend>& backend) {
    const std::string first = reading(weights.front());
    for (const Weights& member : weights) {
        if (const std::string here = reading(member); here != first)
            throw_error<InputError>("{} and {} do not go together: {}; {}", weights.front().file.string(),
                                    member.file.string(), first, here);
        own_.push_back(make_predictor(member, backend));
        add(*own_.back());
    }
}

void Classifier::add(nn::Model& model) {
    const video::PictureSize size = picture_size(model.spec());
    const auto known = std::ranges::find(sizes_, size);
    members_.push_back({&model, static_cast<std::size_t>(known - sizes_.begin())});
    if (known == sizes_.end()) sizes_.push_back(size);
}

std::vector<std::vector<float>> Classifier::scores(std::span<const video::Clip> clips, std::size_t batch) {
    const auto width = static_cast<std::size_t>(classes());
    std::vector<std::vector<float>> scores(clips.size(), std::vector<float>(width));
    for (const Member& member : members_) {
        const std::vector<float> rows = member.logits(clips, std::max(batch, clips.size()));
        for (std::size_t i = 0; i < clips.size(); ++i)
            add_softmax({rows.data() + i * width, width}, scores[i]);
    }
    for (auto& row : scores)
        for (float& score : row) score /= static_cast<float>(members_.size());
    return scores;
}

std::vector<float> Classifier::Member::logits(std::span<const video::Clip> clips, std::size_t batch) const {
    std::vector<Pixels*> pixels;
    std::vector<std::uint64_t> samples;
    for (const video::Clip& clip : clips) {
        pixels.push_back(clip.pixels.at(size).get());
        samples.push_back(clip.sample);
    }
    pixels.resize(batch, pixels.front());
    samples.resize(batch);
    std::vector<float> logits(batch * static_cast<std::size_t>(model->spec().classes));
    model->predict({.samples = samples, .clip_pixels = pixels}, logits);
    return logits;
}

}  // namespace divs::train
