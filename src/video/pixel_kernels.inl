// The loops behind PixelKernels that are alike for all processors, included by one file for each kind and
// compiled with that file's options. Nothing of the standard library's code may come in here: it would be
// compiled for that processor too, and the linker might keep that copy for everybody.
//
// The file defines before: Words and SignedWords, a register of 16-bit numbers; upper_products() of two of
// either, the upper 16 bits of their products; and store_pixels(), which writes the first n pixels of
// registers of red, green and blue levels, clamped to 0..255, side by side.

namespace divs::video {
namespace {

constexpr std::size_t words = sizeof(Words) / 2;

template <class Register>
inline Register load(const u16* at) {
    Register value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

// What is cut off of products is half a unit on average: added back for each term. The top bit takes the
// middle (128 levels) away.
inline u16 start(int terms) {
    return static_cast<u16>(0x8000 + terms / 2);
}

void down(const u16* const* rows, const u16* weights, int count, std::size_t n, u16* out) {
    constexpr std::size_t side_by_side = 4;
    static_assert(row_unit % (side_by_side * words) == 0);
    for (std::size_t i = 0; i < n; i += side_by_side * words) {
        Words sum[side_by_side];
        for (Words& s : sum) s = Words{} + start(count);
        for (int k = 0; k < count; ++k) {
            const Words weight = Words{} + weights[k];
            for (std::size_t j = 0; j < side_by_side; ++j)
                sum[j] += upper_products(load<Words>(rows[k] + i + j * words), weight);
        }
        __builtin_memcpy(out + i, sum, sizeof sum);
    }
}

inline i16 nearest(float value) {
    return static_cast<i16>(value < 0 ? value - 0.5F : value + 0.5F);
}

// Factors in 2^-13; times numbers in 2^-8 levels about the middle they give 2^-5 levels.
struct ColourRow {
    SignedWords factor[3], rest;

    explicit ColourRow(const float (&map)[4]) {
        float middle = map[3];
        for (int j = 0; j < 3; ++j) {
            factor[j] = SignedWords{} + nearest(map[j] * 8192);
            middle += 128 * map[j];
        }
        // Half a level to round, and half a unit for what each of three products loses.
        rest = SignedWords{} + nearest(32 * middle + 16 + 1.5F);
    }
};

// `as_broadcast`: luma goes alike into all, the others are no part of R or of B.
template <bool as_broadcast>
void colour_by(const ColourRow* rows, const u16* a, const u16* b, const u16* c, std::size_t n, u8* out) {
    for (std::size_t i = 0; i < n; i += words) {
        const SignedWords p = load<SignedWords>(a + i), q = load<SignedWords>(b + i),
                          s = load<SignedWords>(c + i);
        SignedWords levels[3];
        const SignedWords luma = upper_products(p, rows[0].factor[0]);
        for (int k = 0; k < 3; ++k) {
            levels[k] = rows[k].rest + (as_broadcast ? luma : upper_products(p, rows[k].factor[0]));
            if (!as_broadcast || k != 0) levels[k] += upper_products(q, rows[k].factor[1]);
            if (!as_broadcast || k != 2) levels[k] += upper_products(s, rows[k].factor[2]);
            levels[k] >>= 5;
        }
        store_pixels(levels[0], levels[1], levels[2], n - i, out + 3 * i);
    }
}

void colour(const float (*map)[4], const u16* a, const u16* b, const u16* c, std::size_t n, u8* out) {
    const ColourRow rows[] = {ColourRow(map[0]), ColourRow(map[1]), ColourRow(map[2])};
    const bool as_broadcast =
        map[0][0] == map[1][0] && map[1][0] == map[2][0] && map[0][1] == 0 && map[2][2] == 0;
    (as_broadcast ? colour_by<true> : colour_by<false>)(rows, a, b, c, n, out);
}

void colour_widely(const float (*map)[4], const u16* a, const u16* b, const u16* c, std::size_t n, u8* out) {
    for (std::size_t k = 0; k < 3; ++k) {
        const float p = map[k][0] / 256, q = map[k][1] / 256, s = map[k][2] / 256;
        const float rest = map[k][3] + 128 * (map[k][0] + map[k][1] + map[k][2]) + 0.5F;
        for (std::size_t i = 0; i < n; ++i) {
            float level =
                p * static_cast<i16>(a[i]) + q * static_cast<i16>(b[i]) + s * static_cast<i16>(c[i]) + rest;
            level = level < 0.0F ? 0.0F : level;
            level = level > 255.0F ? 255.0F : level;
            out[3 * i + k] = static_cast<u8>(static_cast<int>(level));
        }
    }
}

}  // namespace
}  // namespace divs::video
