// A filter bank along rows, laid out as one kind of processor wants it.
#pragma once

#include <cstdint>
#include <vector>

#include "divs/core/aligned_buffer.hpp"
#include "filter.hpp"
#include "pixel_kernels.hpp"

namespace divs::video {

class RowFilter {
  public:
    RowFilter() = default;
    RowFilter(RowFilter&&) = default;
    RowFilter& operator=(RowFilter&&) = default;
    // bank: windows of one length. It has to outlive the filter, and does not move.
    RowFilter(const FilterBank& bank, int source, const PixelKernels& kernels);

    // Bytes that a row of samples must have, those behind its end of any value.
    std::size_t least_bytes() const { return least_; }
    const RowPlan& plan() const { return plan_; }

  private:
    void lay_out_lanes(const FilterBank& bank);
    void lay_out_pieces(const FilterBank& bank);

    RowPlan plan_;
    std::size_t least_ = 0;
    std::vector<std::uint32_t> begin_;
    std::vector<std::uint64_t> from_;
    AlignedBuffer<std::uint8_t> index_, factors_;
};

}  // namespace divs::video
