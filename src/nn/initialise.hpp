// First values of parameters and buffers.
#pragma once

#include <cstdint>
#include <span>

#include "arena.hpp"

namespace divs::nn {

// Fills both arenas; padding stays as it is.
void fill_initial(const ModelSpec& spec, const ArenaLayout& layout, std::uint64_t seed,
                  const InitialiseOptions& options, std::span<float> parameters, std::span<float> buffers);
// Running means 0, running variances 1.
void fill_buffers(const ArenaLayout& layout, std::span<float> buffers);

}  // namespace divs::nn
