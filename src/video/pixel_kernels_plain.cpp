// The inner loops of conversion for any processor.
#include "pixel_kernels.hpp"

namespace divs::video {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using i16 = std::int16_t;

constexpr std::size_t words_at_once = 8;
using Words = u16 __attribute__((vector_size(16)));
using SignedWords = i16 __attribute__((vector_size(16)));

// In arrays, where the compiler sees that one instruction of most processors does it.
template <class Register, class Number, class Wide>
inline Register upper_products_as(Register a, Register b) {
    Number x[words_at_once], y[words_at_once], upper[words_at_once];
    __builtin_memcpy(x, &a, sizeof a);
    __builtin_memcpy(y, &b, sizeof b);
    for (std::size_t i = 0; i < words_at_once; ++i)
        upper[i] = static_cast<Number>((static_cast<Wide>(x[i]) * static_cast<Wide>(y[i])) >> 16);
    __builtin_memcpy(&a, upper, sizeof a);
    return a;
}
inline Words upper_products(Words a, Words b) {
    return upper_products_as<Words, u16, std::uint32_t>(a, b);
}
inline SignedWords upper_products(SignedWords a, SignedWords b) {
    return upper_products_as<SignedWords, i16, std::int32_t>(a, b);
}

inline SignedWords clamped(SignedWords levels) {
    levels &= levels > 0;
    return levels > 255 ? SignedWords{} + 255 : levels;
}

inline void store_pixels(SignedWords red, SignedWords green, SignedWords blue, std::size_t n, u8* out) {
    red = clamped(red), green = clamped(green), blue = clamped(blue);
    for (std::size_t i = 0; i < words_at_once && i < n; ++i, out += 3)
        out[0] = static_cast<u8>(red[i]), out[1] = static_cast<u8>(green[i]),
        out[2] = static_cast<u8>(blue[i]);
}

}  // namespace
}  // namespace divs::video

#include "pixel_kernels.inl"

namespace divs::video {
namespace {

void across(const RowPlan& plan, const u8* const* rows, const u8* const*, u16* const* out) {
    for (std::size_t i = 0; i < plan.width; ++i) {
        const auto first = static_cast<std::size_t>(plan.windows[i].first);
        const u16* weights = plan.weights + plan.windows[i].offset;
        std::uint32_t sum[rows_at_once];
        for (std::uint32_t& s : sum) s = 128;
        for (std::size_t k = 0; k < plan.taps; ++k)
            for (std::size_t r = 0; r < rows_at_once; ++r)
                sum[r] += static_cast<std::uint32_t>(weights[k]) * rows[r][first + k];
        for (std::size_t r = 0; r < rows_at_once; ++r) out[r][i] = static_cast<u16>(sum[r] >> 8);
    }
}

}  // namespace

const PixelKernels& plain_pixel_kernels() {
    static constexpr PixelKernels kernels{"plain", 0, across, down, colour, colour_widely, [] {}};
    return kernels;
}

}  // namespace divs::video
