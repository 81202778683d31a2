// What the tensor copy engine and the warpgroup products of sm_90a are told: plain values, worked out here
// and tested without either. A tile is made of boxes: rows of 64 bfloat16 (128 bytes), one behind the other,
// whose 16-byte chunks are turned by the row as tile_offset() does (the engine's 128-byte swizzle). A box
// starts on 1024 bytes.
#pragma once

#include "conv_geometry.hpp"

namespace divs::kernels {

inline constexpr int box_channels = 64;
inline constexpr int box_row_bytes = 128;

// Describes a factor in shared memory to wgmma (PTX ISA, "matrix descriptor format"): address, leading and
// stride offsets in units of 16 bytes, 128-byte swizzle. Where rows hold the summed index's 64 values: stride
// is from 8 rows to the next 8, leading is not used. Where rows are the summed index: stride likewise,
// leading from 64 columns to the next 64.
constexpr std::uint64_t matrix_descriptor(std::uint32_t address, int leading, int stride) {
    return static_cast<std::uint64_t>((address & 0x3FFFF) >> 4) |
           static_cast<std::uint64_t>(static_cast<std::uint32_t>(leading) >> 4 & 0x3FFF) << 16 |
           static_cast<std::uint64_t>(static_cast<std::uint32_t>(stride) >> 4 & 0x3FFF) << 32 |
           std::uint64_t{1} << 62;
}

// The same factor, `bytes` (a multiple of 16) further on.
constexpr std::uint64_t moved(std::uint64_t descriptor, int bytes) {
    return descriptor + static_cast<std::uint64_t>(bytes >> 4);
}

// A tensor for the copy engine. Dimension 0 is the channel; strides are bytes from one index to the next of
// dimensions 1... Im2col boxes: positions are those from `lower` on, by `steps`, that stay within `upper`.
struct BoxMap {
    int rank = 0;
    bool pixels = false;  // im2col
    std::uint64_t sizes[5] = {}, strides[4] = {};
    int lower[3] = {}, upper[3] = {};  // along w, h, t
    std::uint32_t steps[5] = {1, 1, 1, 1, 1};
    std::uint32_t box[3] = {1, 1, 1};  // tiled: elements along dimensions 0, 1, 2
    std::uint32_t rows = 0;            // im2col: pixels a box
};

// The first tap of an axis that is nearest to the source's beginning; taps count from it.
constexpr int lowest_tap(const Axis& a) {
    const int last = a.first + (a.taps > 0 ? a.taps - 1 : 0) * a.pitch;
    return last < a.first ? last : a.first;
}
constexpr int tap_distance(const Axis& a, int tap) {
    return a.first + tap * a.pitch - lowest_tap(a);
}
// Distances of an axis' taps one after the other: those of the first, and from each to the next.
struct Distances {
    int first = 0, step = 0;
};
constexpr Distances distances(const Axis& a) {
    return {tap_distance(a, 0), a.pitch};
}
// The last position, counted from the source's last element, as the engine wants it.
constexpr int upper_corner(const Axis& a) {
    return lowest_tap(a) + (a.positions - 1) * a.step + 1 - a.source;
}

// The source of a gather, as pixels: (C, W, H, N), or (C, W, H, T, clips) where channels are shifted in time.
constexpr BoxMap source_map(const Axis& h, const Axis& w, int images, int channels, int pitch, int rows,
                            int shift, int frames) {
    BoxMap m;
    m.pixels = true;
    m.rank = shift > 0 ? 5 : 4;
    m.rows = static_cast<std::uint32_t>(rows);
    const std::uint64_t sizes[5] = {
        static_cast<std::uint64_t>(channels), static_cast<std::uint64_t>(w.source),
        static_cast<std::uint64_t>(h.source), static_cast<std::uint64_t>(shift > 0 ? frames : images),
        static_cast<std::uint64_t>(images / frames)};
    std::uint64_t stride = static_cast<std::uint64_t>(pitch) * 2;
    for (int i = 0; i < m.rank; ++i) m.sizes[i] = sizes[i];
    for (int i = 1; i < m.rank; ++i) {
        m.strides[i - 1] = stride;
        stride *= sizes[i];
    }
    m.lower[0] = lowest_tap(w);
    m.lower[1] = lowest_tap(h);
    m.upper[0] = upper_corner(w);
    m.upper[1] = upper_corner(h);
    m.lower[2] = m.upper[2] = -1;  // a frame before, at and after: distances 0, 1, 2
    m.steps[1] = static_cast<std::uint32_t>(w.step);
    m.steps[2] = static_cast<std::uint32_t>(h.step);
    return m;
}

// Weights (columns, slots, reduced), `columns` rows of 64 channels of one slot a box.
constexpr BoxMap weights_map(int columns, int slots, int reduced, int box_columns) {
    BoxMap m;
    m.rank = 3;
    m.sizes[0] = static_cast<std::uint64_t>(reduced);
    m.sizes[1] = static_cast<std::uint64_t>(slots);
    m.sizes[2] = static_cast<std::uint64_t>(columns);
    m.strides[0] = static_cast<std::uint64_t>(reduced) * 2;
    m.strides[1] = m.strides[0] * static_cast<std::uint64_t>(slots);
    m.box[0] = box_channels;
    m.box[2] = static_cast<std::uint32_t>(box_columns);
    return m;
}

// A matrix (pixels, channels), 64 channels of `rows` pixels a box.
constexpr BoxMap matrix_map(int pixels, int channels, int pitch, int rows) {
    BoxMap m;
    m.rank = 2;
    m.sizes[0] = static_cast<std::uint64_t>(channels);
    m.sizes[1] = static_cast<std::uint64_t>(pixels);
    m.strides[0] = static_cast<std::uint64_t>(pitch) * 2;
    m.box[0] = box_channels;
    m.box[1] = static_cast<std::uint32_t>(rows);
    return m;
}

// Channels are read a box of 64 at a time, and a box whose channels are not all shifted alike several times:
// once for each piece of it. A piece begins where the one before it ends.
constexpr int piece_end(int channel, int channels, int shift) {
    int end = (channel / box_channels + 1) * box_channels;
    if (channel < shift && shift < end) end = shift;
    if (channel < 2 * shift && 2 * shift < end && channel >= shift) end = 2 * shift;
    return end < channels ? end : channels;
}
constexpr int pieces_of(int channels, int shift) {
    int pieces = 0;
    for (int c = 0; c < channels; c = piece_end(c, channels, shift)) ++pieces;
    return pieces;
}
// The first channel of a piece.
constexpr int piece_begin(int piece, int channels, int shift) {
    int c = 0;
    for (; piece > 0; --piece) c = piece_end(c, channels, shift);
    return c;
}

// How blocks share out the steps of tiles (stream-K: Osama et al., arXiv 2301.03598): the steps of all tiles
// stand in one sequence, of less than 2^31, and the blocks have as many of them each, the first ones one
// more. A tile's sums come in parts, one for each block that has steps of it.
struct StepShares {
    int tiles = 1, steps = 1, blocks = 1;  // steps: of a tile
    int each = 1, longer = 0;              // steps of a block, and the blocks that have one more
    int most = 1;                          // parts of any tile

    constexpr StepShares(int all_tiles, int tile_steps, int all_blocks)
        : tiles(all_tiles),
          steps(tile_steps),
          blocks(all_blocks),
          each(total() / blocks),
          longer(total() % blocks) {
        for (int tile = 0; tile < tiles; ++tile)
            if (parts(tile) > most) most = parts(tile);
    }
    constexpr int total() const { return tiles * steps; }
    constexpr int begin(int block) const { return block * each + (block < longer ? block : longer); }
    // The block that has a step.
    constexpr int block_of(int step) const {
        const int by_longer = step / (each + 1);
        return by_longer < longer ? by_longer : (step - longer) / each;
    }
    constexpr int first_block(int tile) const { return block_of(tile * steps); }
    constexpr int parts(int tile) const { return block_of((tile + 1) * steps - 1) - first_block(tile) + 1; }
};
// A block's next steps of one tile, from a step of the sequence on.
struct TileSteps {
    int tile = 0, begin = 0, end = 0;
};
constexpr TileSteps tile_steps(const StepShares& shares, int from, int to) {
    const int tile = from / shares.steps, begin = from - tile * shares.steps, left = to - from;
    return {tile, begin, left < shares.steps - begin ? begin + left : shares.steps};
}

// Whether the engine can have it: corners, tap distances and steps have few bits (PTX ISA, "im2col mode").
constexpr bool fits_engine(const BoxMap& m, int most_distance) {
    if (!m.pixels) return true;
    const int corner = m.rank == 5 ? 16 : 128, distance = m.rank == 5 ? 32 : 256;
    for (int i = 0; i < m.rank - 2; ++i)
        if (m.lower[i] < -corner || m.lower[i] >= corner || m.upper[i] < -corner || m.upper[i] >= corner)
            return false;
    return most_distance < distance && m.steps[1] <= 8 && m.steps[2] <= 8;
}

// The tiles of all phases of a gather in one sequence: phase by phase, rows slowest.
struct TilePosition {
    int phase_h = 0, phase_w = 0, row0 = 0, column0 = 0;
};
constexpr int tiles_of_phase(const Gather& g, int phase_h, int phase_w, int rows, int columns) {
    return ceil_div(g.rows(phase_h, phase_w), rows) * ceil_div(g.columns, columns);
}
constexpr int tiles_of(const Gather& g, int rows, int columns) {
    int sum = 0;
    for (int i = 0; i < g.phases_h; ++i)
        for (int j = 0; j < g.phases_w; ++j) sum += tiles_of_phase(g, i, j, rows, columns);
    return sum;
}
constexpr TilePosition tile_position(const Gather& g, int rows, int columns, int index) {
    for (int i = 0; i < g.phases_h; ++i)
        for (int j = 0; j < g.phases_w; ++j) {
            const int here = tiles_of_phase(g, i, j, rows, columns);
            if (index < here) {
                const int across = ceil_div(g.columns, columns);
                return {i, j, index / across * rows, index % across * columns};
            }
            index -= here;
        }
    return {};
}

}  // namespace divs::kernels
