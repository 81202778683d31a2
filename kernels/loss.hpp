// Softmax cross-entropy with label smoothing and class weights, as nn/cross_entropy defines it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "bf16.hpp"

namespace divs::kernels {

struct LossRow {
    double loss, weight;
    std::int32_t correct, finite;
};
struct LossTotals {
    double loss = 0, weight = 0;
    std::int64_t correct = 0;
    std::int64_t first_not_finite = -1;
};

struct LossShape {
    int rows = 0, classes = 0, pitch = 0;
    float smoothing = 0;
};

// logits, gradient: (rows, pitch); the gradient may be null. class_weights (classes) is never null. `each`:
// scratch, one a row.
template <class T>
void cross_entropy(const T* logits, const LossShape& shape, const std::int32_t* labels,
                   const float* class_weights, T* gradient, LossRow* each, LossTotals* totals,
                   cudaStream_t stream);

}  // namespace divs::kernels
