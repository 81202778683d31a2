// Conversion in floating point, for reductions so steep that sums of 16 bits would not hold them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "channel_pass.hpp"

namespace divs::video {

// Holds the buffers of the passes; one for each thread.
class SteepConverter {
  public:
    void convert(const Passes& passes, std::span<std::uint8_t> rgb);

  private:
    void resample(const ChannelPass& pass, std::vector<float>& out);

    std::vector<float> row_;
    std::array<std::vector<float>, 3> planes_;
};

}  // namespace divs::video
