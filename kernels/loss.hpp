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

// Numbers that are added up over ranks, and one that is not: the loss (0 where it is not finite), weight,
// correct, 1 where the loss is not finite, then what the host adds.
struct StepSums {
    enum Place { loss, weight, correct, not_finite, more, most = 8 };
    double values[most] = {};
    std::int64_t first_not_finite = -1;
};
struct HostNumbers {
    double values[StepSums::most - StepSums::more] = {};
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

// totals: null where there was no batch.
void step_sums(const LossTotals* totals, const HostNumbers& more, StepSums* sums, cudaStream_t stream);

}  // namespace divs::kernels
