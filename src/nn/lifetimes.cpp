#include "lifetimes.hpp"

#include <algorithm>
#include <numeric>

namespace divs::nn {

std::size_t place(std::vector<Lifetime>& blocks, std::size_t alignment) {
    std::vector<std::size_t> order(blocks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return blocks[a].bytes > blocks[b].bytes; });
    auto aligned = [&](std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; };
    std::vector<const Lifetime*> placed;  // by offset
    std::size_t total = 0;
    for (const std::size_t index : order) {
        Lifetime& block = blocks[index];
        std::size_t offset = 0;
        for (const Lifetime* other : placed) {
            if (other->last < block.first || block.last < other->first) continue;
            if (offset + block.bytes <= other->offset) break;
            offset = std::max(offset, aligned(other->offset + other->bytes));
        }
        block.offset = offset;
        total = std::max(total, aligned(offset + block.bytes));
        placed.insert(
            std::upper_bound(placed.begin(), placed.end(), &block,
                             [](const Lifetime* a, const Lifetime* b) { return a->offset < b->offset; }),
            &block);
    }
    return total;
}

}  // namespace divs::nn
