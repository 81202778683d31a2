// The models of the zoo, one function each.
#pragma once

#include "divs/nn/model.hpp"

namespace divs::nn {

ModelSpec zoo_tiny(const ModelSize& size);
ModelSpec zoo_alexnet(const ModelSize& size);
ModelSpec zoo_resnet18(const ModelSize& size);
ModelSpec zoo_resnet50(const ModelSize& size);
ModelSpec zoo_tsm_resnet18(const ModelSize& size);
ModelSpec zoo_tsm_resnet50(const ModelSize& size);
ModelSpec zoo_mobilenet_v2(const ModelSize& size);

}  // namespace divs::nn
