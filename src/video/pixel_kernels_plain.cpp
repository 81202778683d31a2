// The inner loops of conversion for any processor.
#include "pixel_kernels.hpp"

namespace divs::video {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using i16 = std::int16_t;

using Words = u16 __attribute__((vector_size(16)));
using SignedWords = i16 __attribute__((vector_size(16)));

inline Words upper_products(Words a, Words b) {
    Words upper{};
    for (int i = 0; i < 8; ++i) upper[i] = static_cast<u16>((static_cast<std::uint32_t>(a[i]) * b[i]) >> 16);
    return upper;
}
inline SignedWords upper_products(SignedWords a, SignedWords b) {
    SignedWords upper{};
    for (int i = 0; i < 8; ++i) upper[i] = static_cast<i16>((static_cast<int>(a[i]) * b[i]) >> 16);
    return upper;
}

inline void store_pixels(SignedWords red, SignedWords green, SignedWords blue, std::size_t n, u8* out) {
    const auto clamped = [](i16 level) { return static_cast<u8>(level < 0 ? 0 : level > 255 ? 255 : level); };
    for (int i = 0; i < 8 && static_cast<std::size_t>(i) < n; ++i, out += 3)
        out[0] = clamped(red[i]), out[1] = clamped(green[i]), out[2] = clamped(blue[i]);
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
