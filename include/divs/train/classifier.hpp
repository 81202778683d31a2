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
    // At least one model for prediction only, of any architectures. InputError naming two files whose
    // classes, picture size, clip length or stride are not the same.
    Classifier(const std::vector<Weights>& weights, const std::shared_ptr<nn::Backend>& backend);

    // The first: its backend is all models', and so are its classes and the clips it reads.
    nn::Model& model() noexcept { return *models_.front(); }

    // (clips, classes), softmax probabilities, of at least one clip. Fewer clips than `batch` are computed as
    // so many: the same kernels then give the same bits.
    std::vector<std::vector<float>> scores(std::span<const video::Clip> clips, std::size_t batch = 0);

  private:
    std::vector<std::unique_ptr<nn::Model>> own_;
    std::vector<nn::Model*> models_;
};

}  // namespace divs::train
