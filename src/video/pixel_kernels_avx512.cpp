// The inner loops of conversion for processors with AVX-512, its byte permutations (VBMI) and sums of byte
// products (VNNI); src/video/CMakeLists.txt gives the compiler's options.
#include <immintrin.h>

#include "pixel_kernels.hpp"

namespace divs::video {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using i16 = std::int16_t;

using Words = u16 __attribute__((vector_size(64)));
using SignedWords = i16 __attribute__((vector_size(64)));

inline Words upper_products(Words a, Words b) {
    return reinterpret_cast<Words>(
        _mm512_mulhi_epu16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
inline SignedWords upper_products(SignedWords a, SignedWords b) {
    return reinterpret_cast<SignedWords>(
        _mm512_mulhi_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}

// Where each of 96 interleaved bytes comes from: a register of 32 red and 32 green ones and one of 32 blue
// ones, in the order that packing two registers leaves.
struct Interleaving {
    alignas(64) u8 red_green[128] = {}, blue[128] = {};
    std::uint64_t is_blue[2] = {};
    constexpr Interleaving() {
        for (unsigned i = 0; i < 96; ++i) {
            const unsigned pixel = i / 3, channel = i % 3, packed = pixel / 8 * 16 + pixel % 8;
            red_green[i] = static_cast<u8>(packed + 8 * (channel == 1));
            blue[i] = static_cast<u8>(packed);
            is_blue[i / 64] |= std::uint64_t{channel == 2} << i % 64;
        }
    }
};
constexpr Interleaving interleaving;

inline __m512i interleaved(__m512i red_green, __m512i blue, int part) {
    return _mm512_mask_permutexvar_epi8(
        _mm512_permutexvar_epi8(_mm512_load_si512(interleaving.red_green + 64 * part), red_green),
        interleaving.is_blue[part], _mm512_load_si512(interleaving.blue + 64 * part), blue);
}

inline std::uint64_t first_bytes(std::size_t n) {
    return n < 64 ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0};
}

inline void store_pixels(SignedWords red, SignedWords green, SignedWords blue, std::size_t n, u8* out) {
    const __m512i red_green =
        _mm512_packus_epi16(reinterpret_cast<__m512i>(red), reinterpret_cast<__m512i>(green));
    const __m512i only_blue = _mm512_packus_epi16(reinterpret_cast<__m512i>(blue), _mm512_setzero_si512());
    const __m512i begin = interleaved(red_green, only_blue, 0), end = interleaved(red_green, only_blue, 1);
    if (n >= 32 && reinterpret_cast<std::uintptr_t>(out) % 32 == 0) {
        // Past the caches, which hold what the decoder needs next.
        auto* const target = reinterpret_cast<__m256i*>(out);
        _mm256_stream_si256(target, _mm512_castsi512_si256(begin));
        _mm256_stream_si256(target + 1, _mm512_extracti64x4_epi64(begin, 1));
        _mm256_stream_si256(target + 2, _mm512_castsi512_si256(end));
    } else if (n >= 32) {
        _mm512_storeu_si512(out, begin);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 64), _mm512_castsi512_si256(end));
    } else {
        _mm512_mask_storeu_epi8(out, first_bytes(3 * n), begin);
        if (3 * n > 64) _mm512_mask_storeu_epi8(out + 64, first_bytes(3 * n - 64), end);
    }
}

}  // namespace
}  // namespace divs::video

#include "pixel_kernels.inl"

namespace divs::video {
namespace {

constexpr std::size_t register_bytes = 64, outputs = 16;

// Samples are signed, about the middle (128): the instruction multiplies unsigned bytes, here weights, with
// signed ones.
inline __m512i samples(const u8* at) {
    return _mm512_xor_si512(_mm512_loadu_si512(at), _mm512_set1_epi8(static_cast<char>(0x80)));
}

// The bytes of sums in 2^-16 levels that are their whole 2^-8 levels.
struct Levels {
    alignas(64) u8 byte[64] = {};
    constexpr Levels() {
        for (unsigned i = 0; i < 2 * outputs; ++i) byte[i] = static_cast<u8>(i / 2 * 4 + 1 + i % 2);
    }
};
constexpr Levels levels;

// Sums of 16 outputs, by weights in 2^-16 whose upper and lower bytes are apart: add() takes four samples an
// output, and from `factors` 64 upper and 64 lower bytes; start() takes 16 sums.
struct WholeSums {
    __m512i low, high;

    void start(const u8* factors) {
        low = _mm512_load_si512(factors);
        high = _mm512_setzero_si512();
    }
    void add(const u8* factors, __m512i found) {
        high = _mm512_dpbusd_epi32(high, _mm512_load_si512(factors), found);
        low = _mm512_dpbusd_epi32(low, _mm512_load_si512(factors + register_bytes), found);
    }
    void store(u16* out) const {
        const __m512i sum = _mm512_add_epi32(low, _mm512_slli_epi32(high, 8));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(_mm512_permutexvar_epi8(
                                                                 _mm512_load_si512(levels.byte), sum)));
    }
};

// The same by halves of registers. Products of 64 bytes slow the processor down for a while, and so what the
// decoder does between two conversions: more than they gain where windows are short.
struct HalfSums {
    static constexpr std::size_t halves = 2, half_bytes = register_bytes / halves;
    __m256i low[halves], high[halves];

    static __m256i half_at(const u8* at, std::size_t half) {
        return _mm256_load_si256(reinterpret_cast<const __m256i*>(at + half * half_bytes));
    }
    void start(const u8* factors) {
        for (std::size_t h = 0; h < halves; ++h) {
            low[h] = half_at(factors, h);
            high[h] = _mm256_setzero_si256();
        }
    }
    void add(const u8* factors, __m512i found) {
        const __m256i of[] = {_mm512_castsi512_si256(found), _mm512_extracti64x4_epi64(found, 1)};
        for (std::size_t h = 0; h < halves; ++h) {
            high[h] = _mm256_dpbusd_epi32(high[h], half_at(factors, h), of[h]);
            low[h] = _mm256_dpbusd_epi32(low[h], half_at(factors + register_bytes, h), of[h]);
        }
    }
    void store(u16* out) const {
        for (std::size_t h = 0; h < halves; ++h) {
            const __m256i sum = _mm256_add_epi32(low[h], _mm256_slli_epi32(high[h], 8));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out + h * outputs / halves),
                             _mm256_castsi256_si128(_mm256_permutexvar_epi8(
                                 _mm256_load_si256(reinterpret_cast<const __m256i*>(levels.byte)), sum)));
        }
    }
};

// Groups of 16 outputs whose samples lie in so many registers, and windows of so many steps; in any number
// where it is 0. factors: of each group what Sums starts from, then of each step what it adds.
template <class Sums, std::size_t known, std::size_t known_steps>
void across_pieces(const RowPlan& plan, const u8* const* rows, const u8* const* ahead, u16* const* out) {
    const std::size_t pieces = known ? known : plan.pieces, steps = known_steps ? known_steps : plan.steps;
    const std::size_t groups = plan.groups;
    const u8 *index = plan.index, *factors = plan.factors;
    const std::uint64_t* from = plan.from;
    for (std::size_t g = 0; g < groups; ++g) {
        Sums sums[rows_at_once];
        __m512i part[rows_at_once][known ? known : 1];
        const u8* at[rows_at_once];
        for (std::size_t r = 0; r < rows_at_once; ++r) {
            at[r] = rows[r] + plan.begin[g];
            for (std::size_t p = 0; p < pieces; ++p)
                _mm_prefetch(ahead[r] + plan.begin[g] + 64 * p, _MM_HINT_T0);
            for (std::size_t p = 0; p < known; ++p) part[r][p] = samples(at[r] + p * register_bytes);
            sums[r].start(factors);
        }
        factors += register_bytes;
        for (std::size_t s = 0; s < steps; ++s, index += register_bytes, factors += 2 * register_bytes) {
            const __m512i where = _mm512_load_si512(index);
            __m512i found[rows_at_once];
            for (std::size_t p = 0; p < pieces; ++p, ++from) {
                for (std::size_t r = 0; r < rows_at_once; ++r) {
                    const __m512i piece =
                        known ? part[r][known ? p : 0] : samples(at[r] + p * register_bytes);
                    found[r] = p == 0 ? _mm512_permutexvar_epi8(where, piece)
                                      : _mm512_mask_permutexvar_epi8(found[r], *from, where, piece);
                }
            }
            for (std::size_t r = 0; r < rows_at_once; ++r) sums[r].add(factors, found[r]);
        }
        for (std::size_t r = 0; r < rows_at_once; ++r) sums[r].store(out[r] + g * outputs);
    }
}

void across(const RowPlan& plan, const u8* const* rows, const u8* const* ahead, u16* const* out) {
    using Pieces = void (*)(const RowPlan&, const u8* const*, const u8* const*, u16* const*);
    constexpr Pieces of[] = {across_pieces<WholeSums, 0, 0>, across_pieces<WholeSums, 1, 0>,
                             across_pieces<WholeSums, 2, 0>, across_pieces<WholeSums, 3, 0>,
                             across_pieces<HalfSums, 1, 1>,  across_pieces<HalfSums, 1, 2>};
    const std::size_t short_windows = plan.pieces == 1 && plan.steps <= 2 ? 3 + plan.steps : 0;
    of[short_windows ? short_windows : plan.pieces < 4 ? plan.pieces : 0](plan, rows, ahead, out);
}

void finish() {
    _mm_sfence();
}

}  // namespace

extern const PixelKernels avx512_pixel_kernels;
constexpr PixelKernels avx512_pixel_kernels{"avx512", register_bytes, across, down,
                                            colour,   colour_widely,  finish};

}  // namespace divs::video
