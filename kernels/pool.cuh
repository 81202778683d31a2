// What pooling's forward and backward passes share.
#pragma once

#include "block.hpp"
#include "pool.hpp"
#include "vector.hpp"

namespace divs::kernels::pools {

inline constexpr int block = 256;  // threads; three blocks a multiprocessor leave each thread 80 registers

__device__ inline std::size_t element(int image, int h, int w, int pitch, int row, int column, int channel) {
    return ((static_cast<std::size_t>(image) * h + row) * w + column) * pitch + channel;
}

__device__ inline float share_of(const Range& rows, const Range& columns) {
    return 1.0F / static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
}

// Threads a block, and blocks, for rows of so many packs.
struct Row {
    unsigned threads, parts;
    Row(int pixels, int packs) {
        const auto all = static_cast<std::size_t>(pixels) * static_cast<std::size_t>(packs);
        threads = all < block ? static_cast<unsigned>(all + 31) / 32 * 32 : block;
        parts = blocks_for(all, static_cast<int>(threads));
    }
};

}  // namespace divs::kernels::pools
