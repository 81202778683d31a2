// The cell of a long short-term memory (Hochreiter, Schmidhuber, 1997; with a forget gate, Gers et al.,
// 2000), frame by frame between the matrix products. Gates lie as torch orders them: input, forget, cell,
// output. float32 or bfloat16; what only the cell itself reads (c, its gradient, the values of the gates'
// functions) is float32, since differences from 1 are taken of it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "bf16.hpp"

namespace divs::kernels {

// One frame of every clip. An array of the step has one row a clip; an array of the clips has `frames` rows a
// clip, and is handed over from this frame's row of the first clip on. Rows of `width` numbers (c, h and
// their gradients) are `pitch` elements apart, those of 4 width (gates) `gate_pitch`.
struct LstmStep {
    int clips = 0, frames = 1, width = 0;
    int pitch = 0, gate_pitch = 0;
};

// With x (of the clips) + gates (of the step) as the gates before their functions, and all else of the step
// but the output: values = the functions', for backward; c = sigmoid(f) c_before + sigmoid(i) tanh(g), h =
// sigmoid(o) tanh(c). output (of the clips): h again. What pads rows of h and output becomes zero.
template <class T>
void lstm_cell(const T* x, const T* gates, const float* c_before, const LstmStep& step, float* values,
               float* c, T* h, T* output, cudaStream_t stream);

// The gradient of h is dh (of the clips) + dh_later (of the step). dc: in, the gradient of c from the frame
// behind, out, that of c_before. dgates (of the step), dx (of the clips): both the gradient of the gates
// before their functions. What pads rows stays as it is.
template <class T>
void lstm_cell_backward(const float* values, const float* c_before, const float* c, const T* dh,
                        const T* dh_later, const LstmStep& step, float* dc, T* dgates, T* dx,
                        cudaStream_t stream);

}  // namespace divs::kernels
