// Conversion in 16 bits, a block of output rows at a time: rows are summed along the picture, the block is
// turned so that its rows lie side by side, columns are summed and coloured there, and the result is turned
// back.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "aligned_buffer.hpp"
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
        std::size_t begin = 0, bytes = 0;
        std::size_t half = 0, pitch = 0;  // samples, of what weigh() makes of a row
    };

    void find_planes(const Passes& passes);
    static void prefetch_rows(const Channel& channel, const Plane& plane, const FilterBank::Window& window,
                              const FilterBank::Window& next);
    void sum_rows(const ChannelPass& pass, const Plane& plane, std::size_t top, std::size_t rows);
    void sum_columns(const ChannelPass& pass, const Plane& plane, AlignedBuffer<std::uint16_t>& out);

    const PixelKernels& kernels_;
    std::vector<Plane> planes_;
    AlignedBuffer<std::uint16_t> rows_;                    // (block_rows, pitch)
    AlignedBuffer<std::uint16_t> turned_;                  // (2 * half, block_rows)
    std::array<AlignedBuffer<std::uint16_t>, 3> columns_;  // (width, block_rows) of each channel
    AlignedBuffer<std::uint8_t> coloured_;                 // (width, 3, block_rows)
    std::vector<const std::uint8_t*> window_;              // rows of one window
};

}  // namespace divs::video
