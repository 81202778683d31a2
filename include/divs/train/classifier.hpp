// What trained models say of clips, as probabilities of the classes: one model, or the mean over several
// (Lakshminarayanan, Pritzel, Blundell: deep ensembles, arXiv 1612.01474).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "divs/nn/model.hpp"
#include "divs/train/weights.hpp"
#include "divs/video/clips.hpp"

namespace divs::train {

class Classifier {
  public:
    // Of a model that lives elsewhere: the one in training.
    explicit Classifier(nn::Model& model);
    // At least one model for prediction only, of any architectures and picture sizes. InputError naming two
    // files whose classes, clip length or stride are not the same.
    Classifier(const std::vector<Weights>& weights, const std::shared_ptr<nn::Backend>& backend);

    nn::Backend& backend() noexcept { return members_.front().model->backend(); }
    int classes() const noexcept { return members_.front().model->spec().classes; }
    int frames() const noexcept { return members_.front().model->spec().frames; }
    // What a reader of its clips gives: video::ClipReaderOptions::sizes.
    const std::vector<video::PictureSize>& sizes() const noexcept { return sizes_; }

    // (clips, classes), softmax probabilities, of at least one clip, each with pixels of all sizes. Fewer
    // clips than `batch` are computed as so many: the same kernels then give the same bits.
    std::vector<std::vector<float>> scores(std::span<const video::Clip> clips, std::size_t batch = 0);
    // Their logarithms, which are exact where the probabilities round to zero.
    std::vector<std::vector<float>> log_scores(std::span<const video::Clip> clips, std::size_t batch = 0);

  private:
    struct Member {
        nn::Model* model = nullptr;
        std::size_t size = 0;  // number of its pictures' size in sizes_
        std::vector<float> logits(std::span<const video::Clip> clips, std::size_t batch) const;
    };
    void add(nn::Model& model);

    std::vector<std::unique_ptr<nn::Model>> own_;
    std::vector<Member> members_;
    std::vector<video::PictureSize> sizes_;
};

}  // namespace divs::train
