// The triangle filter of a resize, along one dimension.
#pragma once

#include <cstdint>
#include <vector>

#include "divs/core/device_pictures.hpp"

namespace divs::video {

// Output i is the sum of `count` source samples from `first`, weighted by weights[offset ...].
struct FilterBank {
    using Window = FilterWindow;
    std::vector<Window> windows;
    std::vector<float> weights;        // each window's sum to 1
    std::vector<std::uint16_t> fixed;  // the same in units of 2^-16, all even: each window's sum to exactly
                                       // 2^16, or to 2^16 - 2 where one sample has it all
    std::int32_t most = 0;             // samples in the longest window
};

// Shows [begin, begin + size) of `source` samples as `out` outputs; `reversed` mirrors. A triangle of radius
// max(1, size / out) around each output's centre, cut at the ends of the source and normalised: bilinear when
// enlarging, anti-aliased when reducing.
FilterBank triangle_filter(int source, double begin, double size, int out, bool reversed);

// The same with all windows equally long, by weights of zero: loops of one length are predicted.
FilterBank with_equal_windows(const FilterBank& bank, int source);

}  // namespace divs::video
