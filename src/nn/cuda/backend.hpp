// The cuda backend.
#pragma once

#include <memory>

#include "divs/nn/backend.hpp"

namespace divs::nn::cuda {

// Error, in words for people, where no GPU can be used here.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace divs::nn::cuda
