// Which tensors of a plan may share memory.
#pragma once

#include <cstddef>
#include <vector>

namespace divs::nn {

// A block of memory that is in use from moment `first` to moment `last`, both included.
struct Lifetime {
    std::size_t bytes = 0;
    int first = 0, last = 0;
    std::size_t offset = 0;  // set by place()
};

// Gives every block an offset, a multiple of `alignment`, so that no two blocks in use at one moment overlap.
// Largest first, each at the lowest gap that fits (Pisarchyk, Lee, arXiv 2001.03288, "greedy by size").
// Returns the bytes needed.
std::size_t place(std::vector<Lifetime>& blocks, std::size_t alignment);

}  // namespace divs::nn
