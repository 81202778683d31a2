// The loops behind PixelKernels, included by one file for each kind of processor and compiled with that
// file's options. Written so that compilers vectorise them. Nothing of the standard library's code may come
// in here: it would be compiled for that processor too, and the linker might keep that copy for everybody.
//
// Products of 16-bit numbers keep their upper 16 bits; what is cut off is half a unit on average, which
// start() adds back for each term.

namespace divs::video {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;

inline u16 upper_product(u16 a, u16 b) {
    return static_cast<u16>((static_cast<u32>(a) * b) >> 16);
}
inline u16 start(int terms) {
    return static_cast<u16>(terms / 2);
}

// Two samples side by side as the upper bytes of 16-bit numbers.
struct Pair {
    u16 even, odd;
};
inline Pair load_pair(const u8* at) {
    u16 both;
    __builtin_memcpy(&both, at, 2);
    const u16 up = static_cast<u16>(both << 8), down = static_cast<u16>(both & 0xFF00);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? Pair{up, down} : Pair{down, up};
}

// Adds the rows of up to eight terms to `begin`, or to what is there.
template <int terms, bool first>
void weigh_some(const u8* const* rows, const u16* weights, std::size_t pairs, std::size_t half, u16 begin,
                u16* __restrict out) {
    const u8* row[terms];
    u16 weight[terms];
    for (int k = 0; k < terms; ++k) row[k] = rows[k], weight[k] = weights[k];
    u16* __restrict out_odd = out + half;
    for (std::size_t i = 0; i < pairs; ++i) {
        u16 even = first ? begin : out[i], odd = first ? begin : out_odd[i];
        for (int k = 0; k < terms; ++k) {
            const Pair pair = load_pair(row[k] + 2 * i);
            even = static_cast<u16>(even + upper_product(pair.even, weight[k]));
            odd = static_cast<u16>(odd + upper_product(pair.odd, weight[k]));
        }
        out[i] = even;
        out_odd[i] = odd;
    }
}

template <bool first>
void weigh_terms(int terms, const u8* const* rows, const u16* weights, std::size_t pairs, std::size_t half,
                 u16 begin, u16* out) {
    using Some = void (*)(const u8* const*, const u16*, std::size_t, std::size_t, u16, u16*);
    constexpr Some some[] = {weigh_some<1, first>, weigh_some<2, first>, weigh_some<3, first>,
                             weigh_some<4, first>, weigh_some<5, first>, weigh_some<6, first>,
                             weigh_some<7, first>, weigh_some<8, first>};
    some[terms - 1](rows, weights, pairs, half, begin, out);
}

void weigh(const u8* const* rows, const u16* weights, int count, std::size_t n, std::size_t half, u16* out) {
    const std::size_t pairs = n / 2;
    for (int done = 0; done < count;) {
        const int left = count - done, terms = left <= 8 ? left : left < 12 ? (left + 1) / 2 : 8;
        (done == 0 ? weigh_terms<true> : weigh_terms<false>)(terms, rows + done, weights + done, pairs, half,
                                                             start(count), out);
        done += terms;
    }
    if (n % 2 == 0) return;
    u16 last = start(count);
    for (int k = 0; k < count; ++k)
        last = static_cast<u16>(last + upper_product(static_cast<u16>(rows[k][n - 1] << 8), weights[k]));
    out[pairs] = last;
}

using Eight = u16 __attribute__((vector_size(16)));

inline Eight load_eight(const u16* at) {
    Eight value;
    __builtin_memcpy(&value, at, 16);
    return value;
}

inline Eight low(Eight a, Eight b) {
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
inline Eight high(Eight a, Eight b) {
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

// Eight rows of eight columns, made eight rows: three rounds of interleaving row r with row r + 4. Longer
// registers bring nothing: moving the block between the caches takes as long.
inline void turn_tile(const u16* in, std::size_t pitch, u16* out, std::size_t out_pitch) {
    Eight a[8], b[8];
    for (std::size_t r = 0; r < 8; ++r) a[r] = load_eight(in + r * pitch);
    for (int r = 0; r < 4; ++r) b[2 * r] = low(a[r], a[r + 4]), b[2 * r + 1] = high(a[r], a[r + 4]);
    for (int r = 0; r < 4; ++r) a[2 * r] = low(b[r], b[r + 4]), a[2 * r + 1] = high(b[r], b[r + 4]);
    for (int r = 0; r < 4; ++r) b[2 * r] = low(a[r], a[r + 4]), b[2 * r + 1] = high(a[r], a[r + 4]);
    for (std::size_t c = 0; c < 8; ++c) __builtin_memcpy(out + c * out_pitch, &b[c], sizeof b[c]);
}

void turn(const u16* in, std::size_t pitch, std::size_t half, std::size_t pairs, u16* out) {
    for (std::size_t i = 0; i < pairs; i += 8)
        for (std::size_t odd = 0; odd < 2; ++odd)
            for (std::size_t r = 0; r < block_rows; r += 8)
                turn_tile(in + r * pitch + odd * half + i, pitch, out + (2 * i + odd) * block_rows + r,
                          2 * block_rows);
}

void across(const u16* columns, std::size_t step, const u16* weights, int count, u16* __restrict out) {
    u16 sum[block_rows];
    for (std::size_t r = 0; r < block_rows; ++r) sum[r] = start(count);
    for (int k = 0; k < count; ++k, columns += step * block_rows)
        for (std::size_t r = 0; r < block_rows; ++r)
            sum[r] = static_cast<u16>(sum[r] + upper_product(columns[r], weights[k]));
    for (std::size_t r = 0; r < block_rows; ++r) out[r] = sum[r];
}

using i16 = std::int16_t;

// A number in 2^-8 levels about the middle (128 levels), times a factor in 2^-13: in 2^-5 levels.
inline i16 signed_upper_product(i16 a, i16 b) {
    return static_cast<i16>((static_cast<int>(a) * b) >> 16);
}

void colour(const float (*map)[4], const u16* a, const u16* b, const u16* c, std::size_t n,
            u8* __restrict out) {
    i16 m[3][3], rest[3];
    for (int k = 0; k < 3; ++k) {
        float middle = map[k][3];
        for (int j = 0; j < 3; ++j) {
            const float factor = map[k][j] * 8192;
            m[k][j] = static_cast<i16>(factor < 0 ? factor - 0.5F : factor + 0.5F);
            middle += 128 * map[k][j];
        }
        // Half a level to round, and half a unit for what each of three products loses.
        const float units = 32 * middle + 16 + 1.5F;
        rest[k] = static_cast<i16>(units < 0 ? units - 0.5F : units + 0.5F);
    }
    for (std::size_t x = 0; x < n;
         ++x, a += block_rows, b += block_rows, c += block_rows, out += 3 * block_rows)
        for (std::size_t k = 0; k < 3; ++k)
            for (std::size_t r = 0; r < block_rows; ++r) {
                const i16 p = static_cast<i16>(a[r] ^ 0x8000), q = static_cast<i16>(b[r] ^ 0x8000),
                          s = static_cast<i16>(c[r] ^ 0x8000);
                i16 level = static_cast<i16>(rest[k] + signed_upper_product(p, m[k][0]));
                level = static_cast<i16>(level + signed_upper_product(q, m[k][1]));
                level = static_cast<i16>(level + signed_upper_product(s, m[k][2]));
                level = static_cast<i16>(level >> 5);
                level = level < 0 ? i16{0} : level;
                level = level > 255 ? i16{255} : level;
                out[k * block_rows + r] = static_cast<u8>(level);
            }
}

void colour_widely(const float (*map)[4], const u16* a, const u16* b, const u16* c, std::size_t n,
                   u8* __restrict out) {
    float m[3][4];
    for (int k = 0; k < 3; ++k) {
        for (int j = 0; j < 3; ++j) m[k][j] = map[k][j] / 256;
        m[k][3] = map[k][3] + 0.5F;
    }
    for (std::size_t x = 0; x < n;
         ++x, a += block_rows, b += block_rows, c += block_rows, out += 3 * block_rows)
        for (std::size_t r = 0; r < block_rows; ++r) {
            const float p = static_cast<float>(a[r]), q = static_cast<float>(b[r]),
                        s = static_cast<float>(c[r]);
            for (std::size_t k = 0; k < 3; ++k) {
                float level = m[k][0] * p + m[k][1] * q + m[k][2] * s + m[k][3];
                level = level < 0.0F ? 0.0F : level;
                level = level > 255.0F ? 255.0F : level;
                out[k * block_rows + r] = static_cast<u8>(static_cast<int>(level));
            }
        }
}

using Sixteen = u8 __attribute__((vector_size(16)));

// A tile of 16 columns and 16 rows, its columns made rows: four rounds of interleaving bytes.
inline void turn_byte_tile(const u8* in, Sixteen* tile) {
    Sixteen other[16];
    for (std::size_t c = 0; c < 16; ++c) __builtin_memcpy(&tile[c], in + c * block_rows, 16);
    for (int round = 0; round < 4; ++round) {
        for (int i = 0; i < 8; ++i) {
            other[2 * i] = __builtin_shufflevector(tile[i], tile[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5,
                                                   21, 6, 22, 7, 23);
            other[2 * i + 1] = __builtin_shufflevector(tile[i], tile[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12,
                                                       28, 13, 29, 14, 30, 15, 31);
        }
        for (int i = 0; i < 16; ++i) tile[i] = other[i];
    }
}

void turn_bytes(const u8* in, std::size_t n, std::size_t rows, std::size_t pitch, u8* out) {
    Sixteen tile[16];
    for (std::size_t r = 0; r < rows; r += 16)
        for (std::size_t c = 0; c < n; c += 16) {
            turn_byte_tile(in + c * block_rows + r, tile);
            const std::size_t bytes = n - c < 16 ? n - c : 16, lines = rows - r < 16 ? rows - r : 16;
            u8* at = out + r * pitch + c;
            if (bytes == 16)
                for (std::size_t i = 0; i < lines; ++i, at += pitch) __builtin_memcpy(at, &tile[i], 16);
            else
                for (std::size_t i = 0; i < lines; ++i, at += pitch) __builtin_memcpy(at, &tile[i], bytes);
        }
}

}  // namespace
}  // namespace divs::video
