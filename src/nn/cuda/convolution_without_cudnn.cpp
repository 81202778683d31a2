// Where the plugin is built without cuDNN.
#include "convolution_algorithms.hpp"

namespace divs::nn::cuda {

std::vector<std::unique_ptr<ConvAlgorithm>> cudnn_algorithms(const ConvProblem&, Direction,
                                                             const ConvOptions&) {
    return {};
}

std::shared_ptr<const CudnnHandle> make_cudnn_handle() {
    return nullptr;
}

std::string cudnn_version() {
    return "none";
}

}  // namespace divs::nn::cuda
