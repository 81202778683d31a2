#include "divs/core/error.hpp"
#include "divs/core/random.hpp"
#include "divs/train/loader.hpp"

namespace divs::train {

LocalLoader::LocalLoader(ClipFeed& feed, int reservoir, std::uint64_t seed, std::uint64_t epoch)
    : feed_(feed), capacity_(static_cast<std::size_t>(reservoir)), seed_(seed), epoch_(epoch) {}

StepClips LocalLoader::take(int count) {
    StepClips step;
    const auto wanted = static_cast<std::size_t>(count);
    while (wanted > 0 && reservoir_.size() < std::max(capacity_, wanted)) {
        auto clip = feed_.pop();
        if (!clip) break;
        const std::uint64_t key = Random(seed_, Stream::shuffle, epoch_, clip->sample).bits(0);
        reservoir_.push({key, std::make_shared<video::Clip>(std::move(*clip))});
    }
    if (reservoir_.size() < wanted)
        throw_error<Error>("{} samples were to be trained on, and only {} could be decoded: a lease was lost",
                           wanted, reservoir_.size());
    for (std::size_t i = 0; i < wanted; ++i) {
        video::Clip& clip = *reservoir_.top().clip;
        (clip.skipped.empty() ? step.clips : step.skipped).push_back(std::move(clip));
        reservoir_.pop();
    }
    return step;
}

}  // namespace divs::train
