// Conversion in 16 bits, a block of output rows at a time: rows are summed along the picture, the block is
// turned so that its rows lie side by side, columns are summed and coloured there, and the result is turned
// back.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "channel_pass.hpp"
#include "pixel_kernels.hpp"

namespace divs::video {

// Holds the buffers of one block; one for each thread.
class BlockConverter {
  public:
    explicit BlockConverter(const PixelKernels& kernels = pixel_kernels()) : kernels_(kernels) {}

    // False where windows are so long that the rounding of each term would add up to be seen.
    static bool suits(const Passes& passes);
    void convert(const Passes& passes, std::span<std::uint8_t> rgb);

  private:
    // The bytes of a plane's rows that one or more channels need.
    struct Plane {
        std::size_t first_channel = 0, end_channel = 0;
        std::size_t begin = 0, bytes = 0, half = 0;
    };

    void find_planes(const Passes& passes);
    void sum_rows(const ChannelPass& pass, const Plane& plane, std::size_t top, std::size_t rows);
    void sum_columns(const ChannelPass& pass, const Plane& plane, std::vector<std::uint16_t>& out);

    const PixelKernels& kernels_;
    std::vector<Plane> planes_;
    std::vector<std::uint16_t> rows_;                    // (block_rows, 2 * half)
    std::vector<std::uint16_t> turned_;                  // (2 * half, block_rows)
    std::array<std::vector<std::uint16_t>, 3> columns_;  // (width, block_rows) of each channel
    std::vector<std::uint8_t> coloured_;                 // (width, 3, block_rows)
    std::vector<const std::uint8_t*> window_;            // rows of one window
};

}  // namespace divs::video
