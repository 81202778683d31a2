// Which elements a dropout keeps: the same on every backend.
#pragma once

#include <cstdint>

#include "divs/core/random.hpp"
#include "divs/nn/backend.hpp"

namespace divs::nn {

// The numbers of one row n (one frame of one sample) of a dropout.
class DropoutRow {
  public:
    // `elements` of the row (H x W x C); the frame n % frames continues the count of the one before.
    DropoutRow(const Dropout& op, const StepContext& step, int n, std::size_t elements)
        : random_(step.seed, Stream::dropout, (step.epoch << 16) | static_cast<std::uint64_t>(op.layer),
                  step.samples[static_cast<std::size_t>(n / step.frames)]),
          first_(static_cast<std::uint64_t>(n % step.frames) * elements),
          rate_(static_cast<double>(op.rate)) {}

    bool keeps(std::size_t element) const noexcept { return random_.uniform(first_ + element) >= rate_; }

  private:
    Random random_;
    std::uint64_t first_;
    double rate_;
};

}  // namespace divs::nn
