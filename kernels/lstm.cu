#include "block.hpp"
#include "lstm.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;

__device__ float sigmoid(float x) {
    return 1.0F / (1.0F + expf(-x));
}

// The gates of one element of one row.
struct Gates {
    std::size_t at, row;
    float input, forget, cell, output;
};

__device__ Gates read_gates(const float* gates, std::size_t element, int width) {
    Gates g;
    g.row = element / width;
    g.at = g.row * 4 * width + element % width;
    g.input = gates[g.at];
    g.forget = gates[g.at + width];
    g.cell = gates[g.at + 2 * static_cast<std::size_t>(width)];
    g.output = gates[g.at + 3 * static_cast<std::size_t>(width)];
    return g;
}

__device__ void write_gates(float* gates, const Gates& g, int width) {
    gates[g.at] = g.input;
    gates[g.at + width] = g.forget;
    gates[g.at + 2 * static_cast<std::size_t>(width)] = g.cell;
    gates[g.at + 3 * static_cast<std::size_t>(width)] = g.output;
}

__global__ void __launch_bounds__(block)
    cell_kernel(float* gates, const float* __restrict__ c_before, LstmShape s, float* __restrict__ c,
                float* __restrict__ h) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (i >= static_cast<std::size_t>(s.rows) * s.width) return;
    Gates g = read_gates(gates, i, s.width);
    g.input = sigmoid(g.input);
    g.forget = sigmoid(g.forget);
    g.cell = tanhf(g.cell);
    g.output = sigmoid(g.output);
    write_gates(gates, g, s.width);
    const float state = g.forget * c_before[i] + g.input * g.cell;
    c[i] = state;
    h[i] = g.output * tanhf(state);
}

__global__ void __launch_bounds__(block)
    cell_backward_kernel(const float* __restrict__ gates, const float* __restrict__ c_before,
                         const float* __restrict__ c, const float* __restrict__ dh, LstmShape s, float* dc,
                         float* __restrict__ dgates) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (i >= static_cast<std::size_t>(s.rows) * s.width) return;
    const Gates g = read_gates(gates, i, s.width);
    const float bent = tanhf(c[i]);
    const float state = dc[i] + dh[i] * g.output * (1 - bent * bent);
    Gates d = g;
    d.input = state * g.cell * g.input * (1 - g.input);
    d.forget = state * c_before[i] * g.forget * (1 - g.forget);
    d.cell = state * g.input * (1 - g.cell * g.cell);
    d.output = dh[i] * bent * g.output * (1 - g.output);
    write_gates(dgates, d, s.width);
    dc[i] = state * g.forget;
}

std::size_t size_of(const LstmShape& shape) {
    return static_cast<std::size_t>(shape.rows) * static_cast<std::size_t>(shape.width);
}

}  // namespace

void lstm_cell(float* gates, const float* c_before, const LstmShape& shape, float* c, float* h,
               cudaStream_t stream) {
    if (size_of(shape) == 0) return;
    launch(blocks_for(size_of(shape), block), block, 0, stream, cell_kernel, gates, c_before, shape, c, h);
}

void lstm_cell_backward(const float* gates, const float* c_before, const float* c, const float* dh,
                        const LstmShape& shape, float* dc, float* dgates, cudaStream_t stream) {
    if (size_of(shape) == 0) return;
    launch(blocks_for(size_of(shape), block), block, 0, stream, cell_backward_kernel, gates, c_before, c, dh,
           shape, dc, dgates);
}

}  // namespace divs::kernels
