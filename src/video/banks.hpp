// The filter banks of a picture's channels for one view, kept while pictures and views are alike.
#pragma once

#include <array>

#include "filter.hpp"
#include "picture.hpp"
#include "row_filter.hpp"

namespace divs::video {

class Banks {
  public:
    // Pictures are shown as (height, width). `kernels`: who filters their rows.
    Banks(int width, int height, const PixelKernels& kernels = pixel_kernels())
        : width_(width), height_(height), kernels_(&kernels) {}

    struct Bank {
        FilterBank across;  // windows of one length
        RowFilter rows;     // the same, laid out
        FilterBank down;
    };
    // Valid until the next call for a channel of the same kind: the first, or one of the others.
    const Bank& of(const Picture& picture, std::size_t channel, const View& view);

  private:
    // What they depend on, beside the output's size.
    struct Geometry {
        int width = 0, height = 0, log2_width = 0, log2_height = 0;
        double x = 0, y = 0, across = 0, down = 0;
        bool flip = false;
        bool operator==(const Geometry&) const = default;
    };
    static Geometry geometry_of(const Picture& picture, const Channel& channel, const View& view);

    struct Kept {
        Geometry geometry;
        Bank bank;
    };
    int width_, height_;
    const PixelKernels* kernels_;
    std::array<Kept, 2> kept_;
};

}  // namespace divs::video
