#include "divs/core/error.hpp"
#include "divs/train/loader.hpp"

namespace divs::train {

LocalLoader::LocalLoader(ClipFeed& feed, int reservoir, std::uint64_t seed, std::uint64_t epoch)
    : feed_(feed),
      capacity_(static_cast<std::size_t>(reservoir)),
      random_(seed, Stream::shuffle, epoch) {}

StepClips LocalLoader::take(int count) {
    StepClips step;
    const auto wanted = static_cast<std::size_t>(count);
    while (wanted > 0 && reservoir_.size() < std::max(capacity_, wanted)) {
        auto clip = feed_.pop();
        if (!clip) break;
        reservoir_.push_back(std::move(*clip));
    }
    if (reservoir_.size() < wanted)
        throw_error<Error>("{} samples were to be trained on, and only {} could be decoded: a lease was lost",
                           wanted, reservoir_.size());
    for (std::size_t i = 0; i < wanted; ++i) {
        video::Clip clip = draw();
        (clip.skipped.empty() ? step.clips : step.skipped).push_back(std::move(clip));
    }
    return step;
}

video::Clip LocalLoader::draw() {
    std::swap(reservoir_[random_.below(drawn_++, reservoir_.size())], reservoir_.back());
    video::Clip clip = std::move(reservoir_.back());
    reservoir_.pop_back();
    return clip;
}

}  // namespace divs::train
