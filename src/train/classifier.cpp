#include "divs/train/classifier.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

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

// log(exp(a) + exp(b))
double log_sum(double a, double b) {
    const double more = std::max(a, b), less = std::min(a, b);
    return std::isfinite(more) ? more + std::log1p(std::exp(less - more)) : more;
}

std::vector<double> log_softmax(std::span<const float> logits) {
    const double top = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit - top);
    std::vector<double> logs;
    for (const float logit : logits) logs.push_back(logit - top - std::log(sum));
    return logs;
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
    auto scores = log_scores(clips, batch);
    for (auto& row : scores)
        for (float& score : row) score = std::exp(score);
    return scores;
}

std::vector<std::vector<float>> Classifier::log_scores(std::span<const video::Clip> clips,
                                                       std::size_t batch) {
    const auto width = static_cast<std::size_t>(classes());
    constexpr double none = -std::numeric_limits<double>::infinity();
    std::vector<std::vector<double>> sums(clips.size(), std::vector<double>(width, none));
    for (const Member& member : members_) {
        const std::vector<float> rows = member.logits(clips, std::max(batch, clips.size()));
        for (std::size_t i = 0; i < clips.size(); ++i)
            std::ranges::transform(sums[i], log_softmax({rows.data() + i * width, width}), sums[i].begin(),
                                   log_sum);
    }
    const double members = std::log(static_cast<double>(members_.size()));
    std::vector<std::vector<float>> scores(clips.size());
    for (std::size_t i = 0; i < clips.size(); ++i)
        for (const double sum : sums[i]) scores[i].push_back(static_cast<float>(sum - members));
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
