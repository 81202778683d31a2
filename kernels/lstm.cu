#include "block.hpp"
#include "lstm.hpp"
#include "vector.hpp"

namespace divs::kernels {
namespace {

constexpr int block = 256;

__device__ float sigmoid(float x) {
    return 1.0F / (1.0F + expf(-x));
}

// One number of one clip's state: where it lies in arrays of the step and of the clips, and its gates there.
struct Place {
    int unit;
    std::size_t step, clips, gates, gates_of_clips;
};

__device__ Place place_of(std::size_t element, const LstmStep& s) {
    const std::size_t clip = element / s.pitch, row = clip * s.frames;
    const int unit = static_cast<int>(element % s.pitch);
    return {unit, element, row * s.pitch + unit, clip * s.gate_pitch + unit, row * s.gate_pitch + unit};
}

struct Gates {
    float input, forget, cell, output;
};

template <class T>
__device__ Gates read_gates(const T* gates, std::size_t width) {
    return {to_float(gates[0]), to_float(gates[width]), to_float(gates[2 * width]),
            to_float(gates[3 * width])};
}

template <class T>
__device__ void write_gates(T* gates, const Gates& g, std::size_t width) {
    gates[0] = from_float<T>(g.input);
    gates[width] = from_float<T>(g.forget);
    gates[2 * width] = from_float<T>(g.cell);
    gates[3 * width] = from_float<T>(g.output);
}

template <class T>
__global__ void __launch_bounds__(block)
    cell_kernel(const T* __restrict__ x, const T* __restrict__ gates, const float* __restrict__ c_before,
                LstmStep s, float* __restrict__ values, float* __restrict__ c, T* __restrict__ h,
                T* __restrict__ output) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (i >= static_cast<std::size_t>(s.clips) * s.pitch) return;
    const Place p = place_of(i, s);
    if (p.unit >= s.width) {
        h[p.step] = output[p.clips] = from_float<T>(0);
        return;
    }
    const Gates a = read_gates(x + p.gates_of_clips, s.width), b = read_gates(gates + p.gates, s.width);
    const Gates g{sigmoid(a.input + b.input), sigmoid(a.forget + b.forget), tanhf(a.cell + b.cell),
                  sigmoid(a.output + b.output)};
    write_gates(values + p.gates, g, s.width);
    const float state = g.forget * c_before[p.step] + g.input * g.cell;
    c[p.step] = state;
    h[p.step] = output[p.clips] = from_float<T>(g.output * tanhf(state));
}

template <class T>
__global__ void __launch_bounds__(block)
    cell_backward_kernel(const float* __restrict__ values, const float* __restrict__ c_before,
                         const float* __restrict__ c, const T* __restrict__ dh,
                         const T* __restrict__ dh_later, LstmStep s, float* __restrict__ dc,
                         T* __restrict__ dgates, T* __restrict__ dx) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * block + threadIdx.x;
    if (i >= static_cast<std::size_t>(s.clips) * s.pitch) return;
    const Place p = place_of(i, s);
    if (p.unit >= s.width) return;
    const Gates g = read_gates(values + p.gates, s.width);
    const float gradient = to_float(dh[p.clips]) + to_float(dh_later[p.step]), bent = tanhf(c[p.step]);
    const float state = dc[p.step] + gradient * g.output * (1 - bent * bent);
    const Gates d{state * g.cell * g.input * (1 - g.input),
                  state * c_before[p.step] * g.forget * (1 - g.forget),
                  state * g.input * (1 - g.cell * g.cell), gradient * bent * g.output * (1 - g.output)};
    write_gates(dgates + p.gates, d, s.width);
    write_gates(dx + p.gates_of_clips, d, s.width);
    dc[p.step] = state * g.forget;
}

std::size_t size_of(const LstmStep& step) {
    return static_cast<std::size_t>(step.clips) * static_cast<std::size_t>(step.pitch);
}

}  // namespace

template <class T>
void lstm_cell(const T* x, const T* gates, const float* c_before, const LstmStep& step, float* values,
               float* c, T* h, T* output, cudaStream_t stream) {
    if (size_of(step) == 0) return;
    launch(blocks_for(size_of(step), block), block, 0, stream, cell_kernel<T>, x, gates, c_before, step,
           values, c, h, output);
}

template <class T>
void lstm_cell_backward(const float* values, const float* c_before, const float* c, const T* dh,
                        const T* dh_later, const LstmStep& step, float* dc, T* dgates, T* dx,
                        cudaStream_t stream) {
    if (size_of(step) == 0) return;
    launch(blocks_for(size_of(step), block), block, 0, stream, cell_backward_kernel<T>, values, c_before, c,
           dh, dh_later, step, dc, dgates, dx);
}

#define DIVS_LSTM(T)                                                                                   \
    template void lstm_cell(const T*, const T*, const float*, const LstmStep&, float*, float*, T*, T*, \
                            cudaStream_t);                                                             \
    template void lstm_cell_backward(const float*, const float*, const float*, const T*, const T*,     \
                                     const LstmStep&, float*, T*, T*, cudaStream_t);
DIVS_LSTM(float)
DIVS_LSTM(bf16)
#undef DIVS_LSTM

}  // namespace divs::kernels
