// Where candidates come from.
#pragma once

#include "convolution.hpp"

namespace divs::nn::cuda {

// Changes with every change of a kernel, so that times measured before are not used any more.
inline constexpr int divs_kernels_version = 5;

// Ours; never empty.
std::vector<std::unique_ptr<ConvAlgorithm>> divs_algorithms(const Device& device, const ConvProblem& problem,
                                                            Direction direction, std::size_t workspace_limit);
// cuDNN's engines, those first that it expects to be fastest; empty where it has none for this problem.
std::vector<std::unique_ptr<ConvAlgorithm>> cudnn_algorithms(const ConvProblem& problem, Direction direction,
                                                             const ConvOptions& options);
std::shared_ptr<const CudnnHandle> make_cudnn_handle();  // null where the plugin is built without cuDNN
std::string cudnn_version();

}  // namespace divs::nn::cuda
