// How tiles of matrix products lie in shared memory and in a warp's registers. A row of a tile is a number of
// 16-byte chunks; a chunk's place within each eight (128 bytes, all banks once) is turned by the row, so that
// the eight rows that an instruction reads in one column of chunks lie in different banks.
#pragma once

namespace divs::kernels {

inline constexpr int chunk_bytes = 16;

// Byte offset of a chunk in a tile of `chunks` (a multiple of 8) chunks a row.
constexpr int tile_offset(int row, int chunk, int chunks) {
    return (row * chunks + (chunk ^ (row & 7))) * chunk_bytes;
}

// The same for tiles of 4-byte elements that are read element by element, 4 rows by 8 columns at a time: two
// chunks of each of four rows must lie apart.
constexpr int tile_offset_words(int row, int chunk, int chunks) {
    return (row * chunks + (chunk ^ ((row & 3) << 1))) * chunk_bytes;
}

struct TilePlace {
    int row, chunk;
};

// Which row and chunk lane `lane` addresses for load_matrices(), from the corner of a block of 16 rows and 2
// chunks. As left factor: registers 0..3 are (rows 0-7, chunk 0), (8-15, 0), (0-7, 1), (8-15, 1).
constexpr TilePlace left_place(int lane) {
    return {((lane >> 3) & 1) * 8 + (lane & 7), lane >> 4};
}
// As right factor, of two products side by side: (0-7, 0), (0-7, 1), (8-15, 0), (8-15, 1).
constexpr TilePlace right_place(int lane) {
    return {(lane >> 4) * 8 + (lane & 7), (lane >> 3) & 1};
}
// The same where rows are the summed index, read transposed: of 16 rows (summed) and 2 chunks.
constexpr TilePlace left_place_transposed(int lane) {
    return {(lane >> 4) * 8 + (lane & 7), (lane >> 3) & 1};
}
constexpr TilePlace right_place_transposed(int lane) {
    return {((lane >> 3) & 1) * 8 + (lane & 7), lane >> 4};
}

// The element of a 16 x 8 product that register i of a lane holds.
struct Element {
    int row, column;
};
constexpr Element product_element(int lane, int i) {
    return {(lane >> 2) + (i >> 1) * 8, (lane & 3) * 2 + (i & 1)};
}

}  // namespace divs::kernels
