// The inner loops of conversion, one set for each kind of processor. All sets give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace divs::video {

// Output rows that are worked on side by side: the inner loops run down a column of so many.
inline constexpr std::size_t block_rows = 32;

struct PixelKernels {
    const char* name;

    // out[i] = sum over k < count of weights[k] * rows[k][i], for i < n. weights in 2^-16, out in 2^-8
    // levels. Samples 0, 2, 4, ... come first, then from out[half] on samples 1, 3, 5, ...; half >= (n + 1)
    // / 2.
    void (*weigh)(const std::uint8_t* const* rows, const std::uint16_t* weights, int count, std::size_t n,
                  std::size_t half, std::uint16_t* out);

    // (block_rows, pitch) as weigh() leaves it, its first `pairs` even and odd samples -> (2 * pairs,
    // block_rows). pairs is a multiple of 8; pitch >= 2 * half.
    void (*turn)(const std::uint16_t* in, std::size_t pitch, std::size_t half, std::size_t pairs,
                 std::uint16_t* out);

    // One output column: out[r] = sum over k < count of weights[k] * columns[k * step][r].
    void (*across)(const std::uint16_t* columns, std::size_t step, const std::uint16_t* weights, int count,
                   std::uint16_t* out);

    // n columns of three channels, each (n, block_rows) in 2^-8 levels -> (n, 3, block_rows) of levels,
    // rounded. map: rows of (a, b, c, 1) -> R, G, B. The first is for maps whose factors are below 4 and
    // whose sums stay within +-1000 levels.
    void (*colour)(const float (*map)[4], const std::uint16_t* a, const std::uint16_t* b,
                   const std::uint16_t* c, std::size_t n, std::uint8_t* out);
    void (*colour_widely)(const float (*map)[4], const std::uint16_t* a, const std::uint16_t* b,
                          const std::uint16_t* c, std::size_t n, std::uint8_t* out);

    // (n, block_rows) -> the first `rows` rows of (block_rows, n), `pitch` bytes apart. `in` has room for n
    // rounded up to a multiple of 16 columns.
    void (*turn_bytes)(const std::uint8_t* in, std::size_t n, std::size_t rows, std::size_t pitch,
                       std::uint8_t* out);
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
