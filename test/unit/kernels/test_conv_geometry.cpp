// The arithmetic of the convolution kernels alone: divisions, banks, coverage, and what the tensor copy
// engine and the matrix unit are told, against values worked out by hand.
#include <array>
#include <map>
#include <set>

#include "conv_boxes.hpp"
#include "conv_data.hpp"
#include "conv_tile.hpp"
#include "support/catch.hpp"

using namespace divs::kernels;
using namespace divs::kernels::test;

TEST_CASE("dividers divide") {
    const divs::Random random(3, divs::Stream::test);
    for (int i = 0; i < 20000; ++i) {
        const auto index = static_cast<std::uint64_t>(2 * i);
        const int d = 1 + static_cast<int>(random.bits(index) >> 33 >> random.below(index, 31));
        const int n = static_cast<int>(random.bits(index + 1) >> 33 >> random.below(index + 1, 31));
        const Divider divider(d);
        for (const int x : {n, 0, 1, d - 1, d, 0x7FFFFFFF, n / d * d, n / d * d - 1})
            if (x >= 0) REQUIRE(divider.quotient(x) == x / d);
    }
}

TEST_CASE("eight rows of a tile lie in eight different banks of 16 bytes, and no two chunks in one place") {
    for (const int chunks : {8, 16, 32}) {
        std::set<int> places;
        for (int row = 0; row < 64; ++row)
            for (int chunk = 0; chunk < chunks; ++chunk) {
                places.insert(tile_offset(row, chunk, chunks));
                places.insert(-1 - tile_offset_words(row, chunk, chunks));
            }
        CHECK(places.size() == static_cast<std::size_t>(2 * 64 * chunks));
        for (int row = 0; row < 64; row += 8)
            for (int chunk = 0; chunk < chunks; ++chunk) {
                std::set<int> banks;
                for (int i = 0; i < 8; ++i) banks.insert(tile_offset(row + i, chunk, chunks) / 16 % 8);
                CHECK(banks.size() == 8);
            }
        // Four rows by eight words, as the factors of TF32 products are read: all 32 banks.
        for (int row = 0; row < 64; row += 4)
            for (int column = 0; column < chunks * 4; column += 8) {
                std::set<int> banks;
                for (int k = 0; k < 4; ++k)
                    for (int m = 0; m < 8; ++m)
                        banks.insert(
                            (tile_offset_words(row + k, (column + m) / 4, chunks) / 4 + (column + m) % 4) %
                            32);
                CHECK(banks.size() == 32);
            }
    }
}

TEST_CASE("the phases of a gather cover each target pixel once, and their taps are those of the definition") {
    auto cases = conv_cases();
    for (const ConvCase& c : odd_cases()) cases.push_back(c);
    for (const ConvCase& c : cases) {
        INFO(c.name);
        const ConvShape& s = c.shape;
        const Gather g = backward_gather(s);
        std::map<int, int> written;
        // (input pixel, output pixel) -> slots, by the definition.
        std::set<std::array<int, 3>> expected, found;
        for (int n = 0; n < s.n; ++n)
            for (int p = 0; p < s.p(); ++p)
                for (int q = 0; q < s.q(); ++q)
                    for (int r = 0; r < s.r; ++r)
                        for (int t = 0; t < s.s; ++t) {
                            const int y = p * s.stride_h - s.pad_h + r * s.dilation_h;
                            const int x = q * s.stride_w - s.pad_w + t * s.dilation_w;
                            if (y >= 0 && y < s.h && x >= 0 && x < s.w)
                                expected.insert(
                                    {(n * s.h + y) * s.w + x, (n * s.p() + p) * s.q() + q, r * s.s + t});
                        }
        for (int i = 0; i < g.phases_h; ++i)
            for (int j = 0; j < g.phases_w; ++j)
                for (int row = 0; row < g.rows(i, j); ++row) {
                    const Axis &h = g.h[i], &w = g.w[j];
                    const Pixel at = pixel_of(h, w, row);
                    const int target = target_pixel(g, h, w, at.image, at.y, at.x);
                    ++written[target];
                    for (int k = 0; k < h.taps; ++k)
                        for (int l = 0; l < w.taps; ++l) {
                            const int source = source_pixel(g, h, w, at, k, l, 0);
                            if (source >= 0)
                                found.insert({target, source, weight_offset(g, h, w, {k, l, 0}) / g.reduced});
                        }
                }
        CHECK(written.size() == static_cast<std::size_t>(s.n * s.h * s.w));
        for (const auto& [pixel, times] : written) CHECK(times == 1);
        CHECK(found == expected);
    }
}

TEST_CASE("shifted channels are written once each, and what leaves a clip leaves a zero") {
    for (const int frames : {1, 2, 5})
        for (const int offset : {-1, 0, 1}) {
            std::set<int> images;
            for (int image = 0; image < 2 * frames; ++image) {
                const ShiftedTarget to = shifted_target(image, image % frames, frames, offset);
                images.insert(to.image);
                CHECK(to.zero == (shifted_image(image, frames, offset) < 0));
                CHECK(to.image / frames == image / frames);
            }
            CHECK(images.size() == static_cast<std::size_t>(2 * frames));
        }
}

TEST_CASE("matrix descriptors have the bits of the PTX manual") {
    // Address 0x1400: 0x140 in bits 0-13. Leading 8192: 0x200 in 16-29. Stride 1024: 0x40 in 32-45. Mode 1 in
    // 62-63.
    CHECK(matrix_descriptor(0x1400, 8192, 1024) == 0x4000'0040'0200'0140ULL);
    CHECK(matrix_descriptor(0x1420, 16, 1024) == 0x4000'0040'0001'0142ULL);
    CHECK((matrix_descriptor(0x3FFF0, 16, 1024) & 0x3FFF) == 0x3FFF);
}

TEST_CASE("tensor maps describe the positions of a convolution") {
    // 3x3, stride 2, pad 1 on 56x56: 28 positions from -1 to 53, the last element being 55.
    const Gather forward = forward_gather(conv_shape(4, 56, 56, 64, 128, 3, 2, 1));
    const BoxMap m = source_map(forward.h[0], forward.w[0], 4, 64, 64, 128, 0, 1);
    CHECK(m.rank == 4);
    CHECK(m.lower[0] == -1);
    CHECK(m.upper[0] == -2);
    CHECK(m.steps[1] == 2);
    CHECK(m.steps[2] == 2);
    CHECK(m.sizes[3] == 4);
    CHECK(m.strides[0] == 128);
    CHECK(m.strides[2] == 56 * 56 * 128);
    CHECK(tap_distance(forward.w[0], 2) == 2);
    // Backward from 28x28 to 56x56: even positions meet one tap (1), at their own place; odd ones two, 0 and
    // 1 away.
    const Gather backward = backward_gather(conv_shape(4, 56, 56, 64, 128, 3, 2, 1));
    CHECK(backward.w[0].taps == 1);
    CHECK(backward.w[0].slot == 1);
    CHECK(lowest_tap(backward.w[0]) == 0);
    CHECK(upper_corner(backward.w[0]) == 0);
    CHECK(backward.w[1].taps == 2);
    CHECK(tap_distance(backward.w[1], 0) == 1);  // kernel column 0 reads one further
    CHECK(tap_distance(backward.w[1], 1) == 0);
    // Clips of 8 frames: a frame before and after by distances 0 and 2 from one before.
    const BoxMap t = source_map(forward.h[0], forward.w[0], 16, 64, 64, 128, 64, 8);
    CHECK(t.rank == 5);
    CHECK(t.sizes[3] == 8);
    CHECK(t.sizes[4] == 2);
    CHECK(t.lower[2] == -1);
    CHECK(t.upper[2] == -1);
    CHECK(t.strides[3] == 8ULL * 56 * 56 * 128);
}

TEST_CASE("tiles of all phases come once each") {
    const Gather g = backward_gather(conv_shape(2, 13, 14, 72, 40, 3, 2, 1));
    std::set<std::array<int, 4>> seen;
    const int tiles = tiles_of(g, 128, 64);
    for (int i = 0; i < tiles; ++i) {
        const TilePosition at = tile_position(g, 128, 64, i);
        CHECK(at.row0 < g.rows(at.phase_h, at.phase_w));
        CHECK(at.column0 < g.columns);
        seen.insert({at.phase_h, at.phase_w, at.row0, at.column0});
    }
    CHECK(seen.size() == static_cast<std::size_t>(tiles));
    CHECK(tiles == 8);  // four phases of one tile of rows, 72 columns in two
}
