// Host memory of a backend: zeroed, aligned for vectors, on large pages where it is large.
#pragma once

#include <memory>

#include "divs/nn/tensor.hpp"

namespace divs::nn {

std::shared_ptr<Storage> allocate_host(std::size_t bytes);

}  // namespace divs::nn
