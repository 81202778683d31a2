// What has to be done to one channel of a picture.
#pragma once

#include <array>

#include "filter.hpp"
#include "picture.hpp"
#include "row_filter.hpp"

namespace divs::video {

struct ChannelPass {
    Channel channel;
    const FilterBank* down = nullptr;    // one window a row of the output
    const FilterBank* across = nullptr;  // one window a column; all equally long
    const RowFilter* rows = nullptr;     // the same, laid out
};

// Of a picture's one or three channels; where there is one, the others are at 128 everywhere.
struct Passes {
    int channels = 0;
    std::array<ChannelPass, 3> of;
    ColourMap map{};
    std::size_t width = 0, height = 0;  // of the output
};

}  // namespace divs::video
