// Optimisers over the flat arena in one pass, which also writes the copies of the weights that compute reads.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "bf16.hpp"
#include "loss.hpp"
#include "weight_form.hpp"

namespace divs::kernels {

// What is known of each 16 elements of the arena (one cache line, and so of one parameter).
struct ArenaLine {
    std::uint8_t decays = 0, frozen = 0;
    std::uint16_t owner = 0xFFFF;  // index of the parameter's copies; 0xFFFF: none
};

// The copies of one parameter, which begins at element `begin` of the arena.
template <class T>
struct ArenaCopies {
    std::size_t begin = 0, size = 0;
    WeightCopy<T> copies[2];  // unused ones are null
};

template <class T>
struct Arena {
    float* parameters = nullptr;
    const float* gradients = nullptr;
    std::size_t size = 0;                    // a multiple of 16
    const ArenaLine* lines = nullptr;        // device: one for each 16 elements
    const ArenaCopies<T>* copies = nullptr;  // device; by owner
};

// What an optimiser makes of the summed gradient: see nn::gradient_scale(). Where the factor is 0, its pass
// changes nothing.
struct GradientScale {
    double norm = 0;
    float factor = 0;
};
// What the sum of gradients is divided by: as the host knows it, or (not null) what stands in the step's sums
// by then; where a loss there is not finite, nothing is to change.
struct GradientWeight {
    double known = 0;
    const StepSums* queued = nullptr;
};
// Clips: norm = sqrt(sum of squares) / weight. `partial`: squares_partials() doubles of scratch.
std::size_t squares_partials();
void gradient_scale(const float* gradients, std::size_t size, GradientWeight weight, double clip_norm,
                    double* partial, GradientScale* scale, cudaStream_t stream);

// v = momentum v + g, p -= rate v, or rate (g + momentum v) with nesterov; g = factor gradient + decay p.
// velocity may be null: p -= rate g. The scale lies on the device.
struct SgdStep {
    float rate = 0, decay = 0, momentum = 0;
    bool nesterov = false;
};
template <class T>
void sgd(const SgdStep& step, const GradientScale* scale, const Arena<T>& arena, float* velocity,
         cudaStream_t stream);

// Loshchilov, Hutter, arXiv 1711.05101. correction1 = 1 / (1 - beta1^t), root_correction2 = 1 / sqrt(1 -
// beta2^t).
struct AdamwStep {
    float rate = 0, decay = 0, beta1 = 0, rest1 = 1, beta2 = 0, rest2 = 1, epsilon = 0;
    float correction1 = 1, root_correction2 = 1;
};
template <class T>
void adamw(const AdamwStep& step, const GradientScale* scale, const Arena<T>& arena, float* first,
           float* second, cudaStream_t stream);

}  // namespace divs::kernels
