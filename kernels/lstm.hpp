// The cell of a long short-term memory (Hochreiter, Schmidhuber, 1997; with a forget gate, Gers et al.,
// 2000), element by element between the matrix products. Gates lie as torch orders them: input, forget, cell,
// output. float32.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace divs::kernels {

struct LstmShape {
    int rows = 0, width = 0;  // batch, hidden size
};

// gates (rows, 4 width): before their functions in, after them out, for backward. c_before, c, h: (rows,
// width); c = sigmoid(f) c_before + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c).
void lstm_cell(float* gates, const float* c_before, const LstmShape& shape, float* c, float* h,
               cudaStream_t stream);

// gates: what lstm_cell left. dh: gradient of h; dc: in, the gradient of c from the later step, out, that of
// c_before. dgates: gradient of the gates before their functions.
void lstm_cell_backward(const float* gates, const float* c_before, const float* c, const float* dh,
                        const LstmShape& shape, float* dc, float* dgates, cudaStream_t stream);

}  // namespace divs::kernels
