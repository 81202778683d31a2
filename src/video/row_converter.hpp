// Conversion in 16 bits, an output row at a time: source rows are filtered along the picture, each once,
// those of an output row are summed and coloured.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "channel_pass.hpp"
#include "divs/core/aligned_buffer.hpp"
#include "pixel_kernels.hpp"

namespace divs::video {

// Holds the buffers of the rows at work; one for each thread.
class RowConverter {
  public:
    explicit RowConverter(const PixelKernels& kernels = pixel_kernels()) : kernels_(kernels) {}

    // False where windows are so long that the rounding of each term would add up to be seen.
    static bool suits(const Passes& passes);
    void convert(const Passes& passes, std::span<std::uint8_t> rgb);

  private:
    // Rows of a channel that were filtered along the picture: source row y lies in slot y % slots.
    struct Filtered {
        AlignedBuffer<std::uint16_t> rows;  // (slots, pitch)
        AlignedBuffer<std::uint16_t> sum;   // (pitch), of the output row
        std::size_t slots = 0;              // a power of two
        std::int32_t next = 0;              // the first source row that was not filtered yet
        std::uint16_t* at(std::int32_t row, std::size_t pitch) {
            return rows.data() + (static_cast<std::size_t>(row) & (slots - 1)) * pitch;
        }
    };

    void begin(const ChannelPass& pass, Filtered& filtered);
    void filter_rows(const ChannelPass& pass, Filtered& filtered);
    const std::uint8_t* samples_of(const ChannelPass& pass, std::int32_t row, std::size_t number);
    void sum_rows(const ChannelPass& pass, std::size_t row, Filtered& filtered);

    const PixelKernels& kernels_;
    std::size_t pitch_ = 0;  // the output's width in whole units
    std::array<Filtered, 3> filtered_;
    AlignedBuffer<std::uint8_t> packed_;  // (rows_at_once, bytes): samples that did not lie side by side
};

}  // namespace divs::video
