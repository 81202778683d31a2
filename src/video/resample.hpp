// Resizing one channel by two filter banks, the vertical one first.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "filter.hpp"
#include "picture.hpp"

namespace divs::video {

// Holds the buffers of the passes; one for each thread.
class Resampler {
  public:
    // out: (vertical outputs, horizontal outputs), levels of 0..255
    void resample(const Channel& channel, const FilterBank& vertical, const FilterBank& horizontal,
                  std::span<float> out);

  private:
    std::vector<float> row_;
};

}  // namespace divs::video
