// The inner loops of conversion, one set for each kind of processor. All sets give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "divs/core/device_pictures.hpp"

namespace divs::video {

// Source rows that are filtered side by side: what says which samples an output takes is read once for all.
inline constexpr std::size_t rows_at_once = 4;

// Rows of outputs are worked on in units of so many: their buffers hold whole ones.
inline constexpr std::size_t row_unit = 128;

// How the samples of a row are brought to their outputs, as one kind of processor wants it (row_filter.cpp).
struct RowPlan {
    std::size_t width = 0;  // outputs
    // As it is defined: windows of `taps` samples, weights in 2^-16.
    const FilterWindow* windows = nullptr;
    const std::uint16_t* weights = nullptr;
    std::size_t taps = 0;
    // In registers: each group of outputs has `steps` steps.
    std::size_t groups = 0, steps = 0, pieces = 0;
    const std::uint32_t* begin = nullptr;  // first byte of a register of samples
    const std::uint8_t* index = nullptr;   // where the samples of a step lie in it
    const std::uint64_t* from = nullptr;   // which of them lie in which piece
    const std::uint8_t* factors = nullptr;
};

struct PixelKernels {
    const char* name;

    // Bytes that are moved at once among each other, and as many outputs a group as they give: 0 where rows
    // are filtered as it is defined, sample by sample.
    std::size_t register_bytes;

    // out[i] = sum over k < taps of weights[k] * row[first + k], rounded, in 2^-8 levels; of rows_at_once
    // rows. `ahead`: rows that will come next, to be fetched meanwhile: they are too short for the processor
    // to see in time that they are read in order.
    void (*across)(const RowPlan& plan, const std::uint8_t* const* rows, const std::uint8_t* const* ahead,
                   std::uint16_t* const* out);

    // out[i] = sum over k < count of weights[k] * rows[k][i], less 128 levels (signed), for i < n, a multiple
    // of row_unit. weights in 2^-16.
    void (*down)(const std::uint16_t* const* rows, const std::uint16_t* weights, int count, std::size_t n,
                 std::uint16_t* out);

    // n values of three channels, as down() leaves them -> (n, 3) levels, rounded. Reads whole row_units.
    // map: rows of (a, b, c, 1) -> R, G, B. The first is for maps whose factors are below 4 and whose sums
    // stay within +-1000 levels.
    void (*colour)(const float (*map)[4], const std::uint16_t* a, const std::uint16_t* b,
                   const std::uint16_t* c, std::size_t n, std::uint8_t* out);
    void (*colour_widely)(const float (*map)[4], const std::uint16_t* a, const std::uint16_t* b,
                          const std::uint16_t* c, std::size_t n, std::uint8_t* out);

    // Comes behind the last row: levels may have been written past the caches, and another thread finds them
    // only from here on.
    void (*finish)();
};

// Sets compiled for more than the least that the program runs on, best first, ended by nullptr: only those
// that this processor can run.
const PixelKernels* const* special_pixel_kernels();
const PixelKernels& plain_pixel_kernels();

// The best set for this processor.
inline const PixelKernels& pixel_kernels() {
    const PixelKernels* best = *special_pixel_kernels();
    return best ? *best : plain_pixel_kernels();
}

}  // namespace divs::video
