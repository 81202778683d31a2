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

// Adds the rows of up to eight terms.
template <int terms>
void weigh_some(const u8* const* rows, const u16* weights, std::size_t pairs, std::size_t half, bool first,
                u16 begin, u16* __restrict out) {
    const u8* row[terms];
    u16 weight[terms];
    for (int k = 0; k < terms; ++k) row[k] = rows[k], weight[k] = weights[k];
    u16* __restrict out_odd = out + half;
    if (first) {
        for (std::size_t i = 0; i < pairs; ++i) {
            u16 even = begin, odd = begin;
            for (int k = 0; k < terms; ++k) {
                const Pair pair = load_pair(row[k] + 2 * i);
                even = static_cast<u16>(even + upper_product(pair.even, weight[k]));
                odd = static_cast<u16>(odd + upper_product(pair.odd, weight[k]));
            }
            out[i] = even;
            out_odd[i] = odd;
        }
    } else {
        for (std::size_t i = 0; i < pairs; ++i) {
            u16 even = out[i], odd = out_odd[i];
            for (int k = 0; k < terms; ++k) {
                const Pair pair = load_pair(row[k] + 2 * i);
                even = static_cast<u16>(even + upper_product(pair.even, weight[k]));
                odd = static_cast<u16>(odd + upper_product(pair.odd, weight[k]));
            }
            out[i] = even;
            out_odd[i] = odd;
        }
    }
}

void weigh(const u8* const* rows, const u16* weights, int count, std::size_t n, std::size_t half, u16* out) {
    using Some = void (*)(const u8* const*, const u16*, std::size_t, std::size_t, bool, u16, u16*);
    constexpr Some some[] = {weigh_some<1>, weigh_some<2>, weigh_some<3>, weigh_some<4>,
                             weigh_some<5>, weigh_some<6>, weigh_some<7>, weigh_some<8>};
    const std::size_t pairs = n / 2;
    for (int done = 0; done < count;) {
        const int left = count - done, terms = left > 8 ? (left >= 12 ? 8 : (left + 1) / 2) : left;
        some[terms - 1](rows + done, weights + done, pairs, half, done == 0, start(count), out);
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

// An 8x8 tile, its columns made rows: three rounds of interleaving, of 16, 32 and 64 bits.
inline void turn_tile(const u16* in, std::size_t pitch, u16* out, std::size_t out_pitch) {
    Eight a[8], b[8];
    for (std::size_t r = 0; r < 8; ++r) a[r] = load_eight(in + r * pitch);
    for (int r = 0; r < 4; ++r) {
        b[2 * r] = __builtin_shuffle(a[r], a[r + 4], Eight{0, 8, 1, 9, 2, 10, 3, 11});
        b[2 * r + 1] = __builtin_shuffle(a[r], a[r + 4], Eight{4, 12, 5, 13, 6, 14, 7, 15});
    }
    for (int r = 0; r < 4; ++r) {
        a[2 * r] = __builtin_shuffle(b[r], b[r + 4], Eight{0, 8, 1, 9, 2, 10, 3, 11});
        a[2 * r + 1] = __builtin_shuffle(b[r], b[r + 4], Eight{4, 12, 5, 13, 6, 14, 7, 15});
    }
    for (int r = 0; r < 4; ++r) {
        b[2 * r] = __builtin_shuffle(a[r], a[r + 4], Eight{0, 8, 1, 9, 2, 10, 3, 11});
        b[2 * r + 1] = __builtin_shuffle(a[r], a[r + 4], Eight{4, 12, 5, 13, 6, 14, 7, 15});
    }
    for (std::size_t c = 0; c < 8; ++c) __builtin_memcpy(out + c * out_pitch, &b[c], 16);
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

void colour(const float (*map)[4], const u16* a, const u16* b, const u16* c, std::size_t n,
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
    constexpr Sixteen low{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
    constexpr Sixteen high{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    Sixteen other[16];
    for (std::size_t c = 0; c < 16; ++c) __builtin_memcpy(&tile[c], in + c * block_rows, 16);
    for (int round = 0; round < 4; ++round) {
        for (int i = 0; i < 8; ++i) {
            other[2 * i] = __builtin_shuffle(tile[i], tile[i + 8], low);
            other[2 * i + 1] = __builtin_shuffle(tile[i], tile[i + 8], high);
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
