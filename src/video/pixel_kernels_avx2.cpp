// The inner loops of conversion for processors with AVX2; src/video/CMakeLists.txt gives the
// compiler's options.
#include <immintrin.h>

#include "pixel_kernels.hpp"

namespace divs::video {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using i16 = std::int16_t;

using Words = u16 __attribute__((vector_size(32)));
using SignedWords = i16 __attribute__((vector_size(32)));

inline Words upper_products(Words a, Words b) {
    return reinterpret_cast<Words>(
        _mm256_mulhi_epu16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
inline SignedWords upper_products(SignedWords a, SignedWords b) {
    return reinterpret_cast<SignedWords>(
        _mm256_mulhi_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}

// Where each of 48 interleaved bytes comes from in 16 of one colour; nowhere where its top bit is set.
struct Interleaving {
    alignas(16) u8 from[3][48] = {};
    constexpr Interleaving() {
        for (unsigned i = 0; i < 48; ++i)
            for (unsigned k = 0; k < 3; ++k) from[k][i] = static_cast<u8>(i % 3 == k ? i / 3 : 0x80);
    }
};
constexpr Interleaving interleaving;

inline __m128i packed(SignedWords levels) {
    const auto words = reinterpret_cast<__m256i>(levels);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}
inline __m128i spread(__m128i colour, const u8* from) {
    return _mm_shuffle_epi8(colour, _mm_load_si128(reinterpret_cast<const __m128i*>(from)));
}

inline void store_pixels(SignedWords red, SignedWords green, SignedWords blue, std::size_t n, u8* out) {
    const __m128i r = packed(red), g = packed(green), b = packed(blue);
    alignas(16) u8 some[48];
    u8* const to = n < 16 ? some : out;
    for (std::size_t i = 0; i < 48; i += 16)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                         _mm_or_si128(_mm_or_si128(spread(r, interleaving.from[0] + i),
                                                   spread(g, interleaving.from[1] + i)),
                                      spread(b, interleaving.from[2] + i)));
    if (n < 16) __builtin_memcpy(out, some, 3 * n);
}

}  // namespace
}  // namespace divs::video

#include "pixel_kernels.inl"

namespace divs::video {
namespace {

constexpr std::size_t register_bytes = 16, outputs = 8;

inline __m256i two_lanes(const u8* low, const u8* high) {
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low))),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(high)), 1);
}
inline __m256i load_bytes(const u8* at) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(at));
}

// Neighbouring sums added until there is one an output.
template <std::size_t parts>
__m256i joined(const __m256i* sums) {
    if constexpr (parts == 1)
        return sums[0];
    else
        return _mm256_hadd_epi32(joined<parts / 2>(sums), joined<parts / 2>(sums + parts / 2));
}

// Groups of 8 outputs, in `parts` registers; those of a step's samples that lie in 16 bytes are brought
// together. factors: of each step, in 16 bits.
template <std::size_t parts>
void across_parts(const RowPlan& plan, const u8* const* rows, const u8* const* ahead, u16* const* out) {
    const std::uint32_t* begin = plan.begin;
    const u8 *index = plan.index, *factors = plan.factors;
    for (std::size_t g = 0; g < plan.groups; ++g) {
        __m256i sum[rows_at_once][parts];
        for (std::size_t r = 0; r < rows_at_once; ++r) _mm_prefetch(ahead[r] + *begin, _MM_HINT_T0);
        for (std::size_t part = 0; part < parts; ++part) {
            __m256i found[rows_at_once];
            for (__m256i& f : found) f = _mm256_setzero_si256();
            for (std::size_t s = 0; s < plan.steps; ++s, begin += 2, index += 32, factors += 32) {
                const __m256i where = load_bytes(index), factor = load_bytes(factors);
                for (std::size_t r = 0; r < rows_at_once; ++r)
                    found[r] = _mm256_add_epi32(
                        found[r],
                        _mm256_madd_epi16(
                            _mm256_shuffle_epi8(two_lanes(rows[r] + begin[0], rows[r] + begin[1]), where),
                            factor));
            }
            for (std::size_t r = 0; r < rows_at_once; ++r) sum[r][part] = found[r];
        }
        for (std::size_t r = 0; r < rows_at_once; ++r) {
            const __m256i level =
                _mm256_srai_epi32(_mm256_add_epi32(joined<parts>(sum[r]), _mm256_set1_epi32(64)), 7);
            _mm_store_si128(
                reinterpret_cast<__m128i*>(out[r] + g * outputs),
                _mm_packus_epi32(_mm256_castsi256_si128(level), _mm256_extracti128_si256(level, 1)));
        }
    }
}

void across(const RowPlan& plan, const u8* const* rows, const u8* const* ahead, u16* const* out) {
    (plan.pieces == 1   ? across_parts<1>
     : plan.pieces == 2 ? across_parts<2>
                        : across_parts<4>)(plan, rows, ahead, out);
}

}  // namespace

extern const PixelKernels avx2_pixel_kernels;
constexpr PixelKernels avx2_pixel_kernels{"avx2", register_bytes, across, down, colour, colour_widely, [] {}};

}  // namespace divs::video
