// Where the parameters and buffers of a model lie in their flat arenas.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "divs/nn/model.hpp"

namespace divs::nn {

inline constexpr std::size_t parameter_alignment = 16;  // elements: one cache line

// The views [first, first + count) that belong to one node.
struct ViewRange {
    std::size_t first = 0, count = 0;
};

struct ArenaLayout {
    std::vector<ParameterView> parameters, buffers;
    std::size_t parameter_elements = 0, buffer_elements = 0;  // padding included
    std::vector<ViewRange> node_parameters, node_buffers;     // one for each node
};

ArenaLayout lay_out(const ModelSpec& spec);

// Marks as frozen what lies below the prefixes, all else as free. ConfigError where a prefix names nothing.
void freeze(std::vector<ParameterView>& views, const std::vector<std::string>& prefixes);

// Neighbours with the same settings as one range; the padding behind a parameter belongs to it.
std::vector<UpdateRange> update_ranges(const ArenaLayout& layout);

// Any elements of host or device memory as a plain tensor, to copy them in and out through the backend.
// `offset` is a multiple of parameter_alignment.
Tensor arena_view(const std::shared_ptr<Storage>& storage, std::size_t offset, std::size_t size);

}  // namespace divs::nn
